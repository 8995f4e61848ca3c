// The range coder of LZMA and its bit trees.

import { CACHE, HELD, LOW, RANGE } from './lzma-state';

// The range coder, in globals while `encode` runs
let range: u32 = 0;
let low: u64 = 0;
let cache: u32 = 0;
let held: u64 = 0;
let out: usize = 0;

/** Takes the coder up where the state has it. */
export function resumeCoder(state: usize, target: usize): void {
  range = load<u32>(state, RANGE);
  low = load<u64>(state, LOW);
  cache = load<u32>(state, CACHE);
  held = load<u64>(state, HELD);
  out = target;
}

/** Leaves the coder in the state; returns where its output ends. */
export function suspendCoder(state: usize): usize {
  store<u32>(state, range, RANGE);
  store<u64>(state, low, LOW);
  store<u32>(state, cache, CACHE);
  store<u64>(state, held, HELD);
  return out;
}

/** Where the output would end with what a carry may still change. */
export function outputReach(): usize {
  return out + <usize>held;
}

/** Writes what is left, so that a decoder finds its end. */
export function finishCoder(): void {
  for (let i = 0; i < 5; i++) shiftLow();
}

function shiftLow(): void {
  if (<u32>low < 0xff000000 || low >> 32 != 0) {
    const carry = <u32>(low >> 32);
    let byte = cache;
    while (held > 0) {
      store<u8>(out++, <u8>(byte + carry));
      byte = 0xff;
      held--;
    }
    cache = (<u32>low >> 24) & 0xff;
  }
  held++;
  low = <u64>(<u32>low << 8);
}

// @ts-ignore: decorator
@inline export function putBit(at: usize, bit: u32): void {
  const probability = <u32>load<u16>(at), bound = (range >> 11) * probability;
  if (bit == 0) {
    range = bound;
    store<u16>(at, <u16>(probability + ((2048 - probability) >> 5)));
  } else {
    low += bound;
    range -= bound;
    store<u16>(at, <u16>(probability - (probability >> 5)));
  }
  if (range < 0x1000000) {
    range <<= 8;
    shiftLow();
  }
}

export function putTree(at: usize, bits: u32, symbol: u32): void {
  let m: u32 = 1;
  for (let i = <i32>bits - 1; i >= 0; i--) {
    const bit = (symbol >> i) & 1;
    putBit(at + (<usize>m << 1), bit);
    m = (m << 1) | bit;
  }
}

export function putReverseTree(at: usize, bits: u32, symbol: u32): void {
  let m: u32 = 1;
  for (let i: u32 = 0; i < bits; i++) {
    const bit = (symbol >> i) & 1;
    putBit(at + (<usize>m << 1), bit);
    m = (m << 1) | bit;
  }
}

export function putDirect(bits: u32, value: u32): void {
  for (let i = <i32>bits - 1; i >= 0; i--) {
    range >>= 1;
    if ((value >> i) & 1) low += range;
    if (range < 0x1000000) {
      range <<= 8;
      shiftLow();
    }
  }
}
