// LZMA decoding, after the public specification of the format. One symbol at a time, as long as there is enough
// input for the longest one; the dictionary is a ring that the caller lends out as output.

// The state, 96 bytes in the caller's memory:
const RANGE: usize = 0;
const CODE: usize = 4;
const STATE: usize = 8;
const REPEATS: usize = 12; // 4 x u32
const LITERAL_CONTEXT: usize = 28;
const LITERAL_POSITION: usize = 32;
const POSITION: usize = 36;
const PROBABILITIES: usize = 40;
const RING: usize = 44;
const RING_BYTES: usize = 48;
const RING_AT: usize = 52;
const RING_FILLED: usize = 56;
const MATCH_LEFT: usize = 60;
const CONTENT_LEFT: usize = 64; // u64, all ones when not known
const CONTENT_SEEN: usize = 72; // u64
const CONSUMED: usize = 80; // of the last call
const WRITTEN: usize = 84; // of the last call

const UNKNOWN: u64 = 0xffffffffffffffff;
/** No symbol takes more. */
const SYMBOL_BYTES_MAX: usize = 24;
const MATCH_BYTES_MIN: u32 = 2;

// Results of `decode`
const GOES_ON: i32 = 0;
const ENDED: i32 = 1;
const DAMAGED: i32 = -1;
const CUT: i32 = -2;
const TOO_FAR: i32 = -3;

// Probabilities are u16; these are their byte offsets
const IS_MATCH: usize = 0;
const IS_REPEAT: usize = 2 * 192;
const IS_REPEAT_0: usize = 2 * 204;
const IS_REPEAT_1: usize = 2 * 216;
const IS_REPEAT_2: usize = 2 * 228;
const IS_LONG_0: usize = 2 * 240;
const SLOT: usize = 2 * 432;
const SPECIAL: usize = 2 * 688;
const ALIGN: usize = 2 * 804;
const MATCH_LENGTH: usize = 2 * 820;
const REPEAT_LENGTH: usize = 2 * 1334;
const LITERAL: usize = 2 * 1848;

let range: u32 = 0;
let code: u32 = 0;
let from: usize = 0;
let fromEnd: usize = 0;
let isCut: bool = false;

/** Bytes of probabilities that lc + lp need. */
export function probabilityBytes(literalBits: u32): usize {
  return LITERAL + (<usize>(2 * 0x300) << literalBits);
}

/** `size` is all ones when the header does not tell. The first five bytes of the data are given big-endian, without the leading zero. */
export function open(
  state: usize, lc: u32, lp: u32, pb: u32, probabilities: usize, ring: usize, ringBytes: u32, size: u64, firstWord: u32,
): void {
  memory.fill(state, 0, 96);
  store<u32>(state, 0xffffffff, RANGE);
  store<u32>(state, firstWord, CODE);
  store<u32>(state, lc, LITERAL_CONTEXT);
  store<u32>(state, (1 << lp) - 1, LITERAL_POSITION);
  store<u32>(state, (1 << pb) - 1, POSITION);
  store<u32>(state, <u32>probabilities, PROBABILITIES);
  store<u32>(state, <u32>ring, RING);
  store<u32>(state, ringBytes, RING_BYTES);
  store<u64>(state, size, CONTENT_LEFT);
  const end = probabilities + probabilityBytes(lc + lp);
  for (let p = probabilities; p < end; p += 2) store<u16>(p, 1024);
}

// @ts-ignore: decorator
@inline function normalize(): void {
  if (range < 0x1000000) {
    range <<= 8;
    if (from < fromEnd) code = (code << 8) | <u32>load<u8>(from);
    else isCut = true;
    from++;
  }
}

// @ts-ignore: decorator
@inline function bit(at: usize): u32 {
  const probability = <u32>load<u16>(at), bound = (range >> 11) * probability;
  let result: u32;
  if (code < bound) {
    range = bound;
    store<u16>(at, <u16>(probability + ((2048 - probability) >> 5)));
    result = 0;
  } else {
    range -= bound;
    code -= bound;
    store<u16>(at, <u16>(probability - (probability >> 5)));
    result = 1;
  }
  normalize();
  return result;
}

function tree(at: usize, bits: u32): u32 {
  let m: u32 = 1;
  for (let i: u32 = 0; i < bits; i++) m = (m << 1) + bit(at + (<usize>m << 1));
  return m - (1 << bits);
}

function reverseTree(at: usize, bits: u32): u32 {
  let m: u32 = 1, symbol: u32 = 0;
  for (let i: u32 = 0; i < bits; i++) {
    const b = bit(at + (<usize>m << 1));
    m = (m << 1) + b;
    symbol |= b << i;
  }
  return symbol;
}

function directBits(count: u32): u32 {
  let result: u32 = 0;
  for (; count > 0; count--) {
    range >>= 1;
    const isOne = <u32>(code >= range);
    if (isOne) code -= range;
    result = (result << 1) + isOne;
    normalize();
  }
  return result;
}

function length(at: usize, position: u32): u32 {
  if (bit(at) == 0) return tree(at + 4 + (<usize>position << 4), 3);
  if (bit(at + 2) == 0) return 8 + tree(at + 4 + 256 + (<usize>position << 4), 3);
  return 16 + tree(at + 4 + 512, 8);
}

function distance(probabilities: usize, matchLength: u32): u32 {
  const lengthState = min<u32>(matchLength, 3);
  const slot = tree(probabilities + SLOT + (<usize>lengthState << 7), 6);
  if (slot < 4) return slot;
  const bits = (slot >> 1) - 1;
  const high = (2 | (slot & 1)) << bits;
  if (slot < 14) return high + reverseTree(probabilities + SPECIAL + (<usize>(high - slot) << 1), bits);
  return high + (directBits(bits - 4) << 4) + reverseTree(probabilities + ALIGN, 4);
}

function literal(at: usize, isAfterMatch: bool, matched: u32): u32 {
  let symbol: u32 = 1;
  if (isAfterMatch) {
    do {
      const matchBit = (matched >> 7) & 1;
      matched <<= 1;
      const b = bit(at + (<usize>(((1 + matchBit) << 8) + symbol) << 1));
      symbol = (symbol << 1) | b;
      if (matchBit != b) break;
    } while (symbol < 0x100);
  }
  while (symbol < 0x100) symbol = (symbol << 1) | bit(at + (<usize>symbol << 1));
  return symbol & 0xff;
}

/**
 * Decodes until `room` bytes are written (never past the ring's end) or the input runs out; with `isLast` no more
 * input follows. CONSUMED and WRITTEN in the state tell how far it came.
 */
export function decode(state: usize, input: usize, count: usize, isLast: bool, room: u32): i32 {
  range = load<u32>(state, RANGE);
  code = load<u32>(state, CODE);
  from = input;
  fromEnd = input + count;
  isCut = false;
  const probabilities = <usize>load<u32>(state, PROBABILITIES), ring = <usize>load<u32>(state, RING);
  const ringBytes = load<u32>(state, RING_BYTES), begin = load<u32>(state, RING_AT);
  const lc = load<u32>(state, LITERAL_CONTEXT), lpMask = load<u32>(state, LITERAL_POSITION), pbMask = load<u32>(state, POSITION);
  let s = load<u32>(state, STATE), filled = load<u32>(state, RING_FILLED), matchLeft = load<u32>(state, MATCH_LEFT);
  let rep0 = load<u32>(state, REPEATS), rep1 = load<u32>(state, REPEATS + 4), rep2 = load<u32>(state, REPEATS + 8), rep3 = load<u32>(state, REPEATS + 12);
  const left = load<u64>(state, CONTENT_LEFT), seen = load<u64>(state, CONTENT_SEEN);
  let stop = begin + min<u32>(room, ringBytes - begin);
  if (<u64>(stop - begin) > left) stop = begin + <u32>left;
  let at = begin, result = GOES_ON;

  while (true) {
    if (matchLeft > 0) {
      // what is left of a match, as far as there is room
      const n = min<u32>(matchLeft, stop - at);
      let source = at > rep0 ? at - rep0 - 1 : at + ringBytes - rep0 - 1;
      for (let i: u32 = 0; i < n; i++) {
        store<u8>(ring + at++, load<u8>(ring + source));
        if (++source == ringBytes) source = 0;
      }
      matchLeft -= n;
    }
    if (left == <u64>(at - begin)) {
      // all content is there: the data may end here, or with an end mark
      if (matchLeft > 0) { result = DAMAGED; break; }
      if (code == 0 && isLast && from == fromEnd) { result = ENDED; break; }
    } else if (at == stop) break;
    const available = fromEnd - from;
    if (available < SYMBOL_BYTES_MAX && !isLast) break;

    const total = <u32>seen + (at - begin), position = total & pbMask;
    const valid = <u32>min<u64>(<u64>ringBytes, <u64>filled + <u64>(at - begin));
    if (bit(probabilities + IS_MATCH + (<usize>((s << 4) + position) << 1)) == 0) {
      if (left == <u64>(at - begin)) { result = isCut ? CUT : DAMAGED; break; }
      const previous = valid == 0 ? 0 : <u32>load<u8>(ring + (at == 0 ? ringBytes - 1 : at - 1));
      const context = ((total & lpMask) << lc) + (previous >> (8 - lc));
      const isAfterMatch = s >= 7;
      const matched = isAfterMatch ? <u32>load<u8>(ring + (at > rep0 ? at - rep0 - 1 : at + ringBytes - rep0 - 1)) : 0;
      const byte = literal(probabilities + LITERAL + (<usize>context * (2 * 0x300)), isAfterMatch, matched);
      if (isCut) { result = CUT; break; }
      store<u8>(ring + at++, <u8>byte);
      s = s < 4 ? 0 : s < 10 ? s - 3 : s - 6;
      continue;
    }
    let matchLength: u32;
    if (bit(probabilities + IS_REPEAT + (<usize>s << 1)) == 0) {
      rep3 = rep2;
      rep2 = rep1;
      rep1 = rep0;
      matchLength = length(probabilities + MATCH_LENGTH, position);
      rep0 = distance(probabilities, matchLength);
      s = s < 7 ? 7 : 10;
      if (isCut) { result = CUT; break; }
      if (rep0 == 0xffffffff) {
        const isWhole = left == UNKNOWN || left == <u64>(at - begin);
        result = code == 0 && isWhole ? ENDED : DAMAGED;
        break;
      }
    } else {
      let isShort = false;
      if (bit(probabilities + IS_REPEAT_0 + (<usize>s << 1)) == 0) {
        isShort = bit(probabilities + IS_LONG_0 + (<usize>((s << 4) + position) << 1)) == 0;
      } else {
        let again: u32;
        if (bit(probabilities + IS_REPEAT_1 + (<usize>s << 1)) == 0) {
          again = rep1;
        } else {
          if (bit(probabilities + IS_REPEAT_2 + (<usize>s << 1)) == 0) {
            again = rep2;
          } else {
            again = rep3;
            rep3 = rep2;
          }
          rep2 = rep1;
        }
        rep1 = rep0;
        rep0 = again;
      }
      if (isShort) {
        matchLength = 0;
        s = s < 7 ? 9 : 11;
      } else {
        matchLength = length(probabilities + REPEAT_LENGTH, position);
        s = s < 7 ? 8 : 11;
      }
      if (isCut) { result = CUT; break; }
      matchLeft = isShort ? 1 : 0;
    }
    if (rep0 >= valid) { result = rep0 >= ringBytes ? TOO_FAR : DAMAGED; break; }
    if (matchLeft == 0) matchLeft = matchLength + MATCH_BYTES_MIN;
  }

  // all content is there, the rest of the data is not
  if (result == DAMAGED && isLast && from >= fromEnd && left == <u64>(at - begin)) result = CUT;
  const written = at - begin;
  store<u32>(state, range, RANGE);
  store<u32>(state, code, CODE);
  store<u32>(state, s, STATE);
  store<u32>(state, rep0, REPEATS);
  store<u32>(state, rep1, REPEATS + 4);
  store<u32>(state, rep2, REPEATS + 8);
  store<u32>(state, rep3, REPEATS + 12);
  store<u32>(state, at == ringBytes ? 0 : at, RING_AT);
  store<u32>(state, <u32>min<u64>(<u64>ringBytes, <u64>filled + <u64>written), RING_FILLED);
  store<u32>(state, matchLeft, MATCH_LEFT);
  if (left != UNKNOWN) store<u64>(state, left - <u64>written, CONTENT_LEFT);
  store<u64>(state, seen + <u64>written, CONTENT_SEEN);
  store<u32>(state, <u32>(from - input), CONSUMED);
  store<u32>(state, written, WRITTEN);
  return result;
}
