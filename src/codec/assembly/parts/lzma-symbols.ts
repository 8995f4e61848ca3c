// What LZMA says: lengths, distances, literals.

import { ALIGN, LITERAL, SLOT, SPECIAL } from './lzma-state';
import { putBit, putDirect, putReverseTree, putTree } from './range-encoder';

export function putLength(at: usize, length: u32, place: u32): void {
  length -= 2;
  if (length < 8) {
    putBit(at, 0);
    putTree(at + 4 + (<usize>place << 4), 3, length);
  } else if (length < 16) {
    putBit(at, 1);
    putBit(at + 2, 0);
    putTree(at + 4 + 256 + (<usize>place << 4), 3, length - 8);
  } else {
    putBit(at, 1);
    putBit(at + 2, 1);
    putTree(at + 4 + 512, 8, length - 16);
  }
}

/** `distance` is one less than how far back the match is; all ones is the end mark. */
export function putDistance(state: usize, distance: u32, length: u32): void {
  const trees = state + SLOT + (<usize>min<u32>(length - 2, 3) << 7);
  if (distance < 4) {
    putTree(trees, 6, distance);
    return;
  }
  const top = 31 - clz<u32>(distance);
  const slot = (top << 1) | ((distance >> (top - 1)) & 1);
  putTree(trees, 6, slot);
  const bits = top - 1, high = (2 | (slot & 1)) << bits, rest = distance - high;
  if (slot < 14) {
    putReverseTree(state + SPECIAL + (<usize>(high - slot) << 1), bits, rest);
  } else {
    putDirect(bits - 4, rest >> 4);
    putReverseTree(state + ALIGN, 4, rest & 15);
  }
}

export function putLiteral(state: usize, s: u32, at: usize, previous: u32, rep0: u32): void {
  const trees = state + LITERAL + <usize>(previous >> 5) * (2 * 0x300);
  const byte = <u32>load<u8>(at);
  let m: u32 = 1;
  if (s < 7) {
    for (let i = 7; i >= 0; i--) {
      const bit = (byte >> i) & 1;
      putBit(trees + (<usize>m << 1), bit);
      m = (m << 1) | bit;
    }
    return;
  }
  // after a match: coded together with the byte that the match would have gone on with
  const matched = <u32>load<u8>(at - rep0 - 1);
  let isSame = true;
  for (let i = 7; i >= 0; i--) {
    const bit = (byte >> i) & 1, other = (matched >> i) & 1;
    putBit(trees + (<usize>(isSame ? ((1 + other) << 8) + m : m) << 1), bit);
    m = (m << 1) | bit;
    isSame = isSame && bit == other;
  }
}
