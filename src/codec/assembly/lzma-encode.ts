// LZMA encoding, after the public specification of the format: hash chains for matches, one symbol of lazy
// evaluation, range coder. Properties are fixed: lc 3, lp 0, pb 2, a window of 8 MiB, an end mark.
// Tables hold positions modulo 2^32; what they say is always compared with the content, so a stale one does no harm.

// The state in the caller's memory, filled by `open`:
const BUFFER: usize = 0; // the window and what is ahead of it
const BUFFER_BYTES: usize = 4;
const AT: usize = 8; // offset in the buffer of the next byte to encode
const END: usize = 12; // offset of the end of what was given
const POSITION: usize = 16; // of AT in the content, modulo 2^32, plus 1
const HEADS: usize = 20; // 4-byte hash table
const CHAIN: usize = 24;
const OUTPUT: usize = 28;
const OUTPUT_BYTES: usize = 32;
const WRITTEN: usize = 36;
const RANGE: usize = 40;
const CACHE: usize = 44;
const LOW: usize = 48; // u64
const HELD: usize = 56; // u64, bytes that a carry may still change
const STATE: usize = 64;
const REPEATS: usize = 68; // 4 x u32
const NICE: usize = 84;
const DEPTH: usize = 88;
const PROBABILITIES: usize = 128; // u16, 8216 of them
const HEADS_2: usize = 128 + 2 * 8216;
const HEADS_3: usize = HEADS_2 + 4 * 1024;
const MATCHES: usize = HEADS_3 + 4 * 65536; // pairs of u32: length, distance
const NEXT_MATCHES: usize = MATCHES + 8 * 280;
const STATE_BYTES: usize = NEXT_MATCHES + 8 * 280;

const WINDOW_BYTES: u32 = 8 << 20;
const HEADS_LOG: u32 = 19;
const MATCH_BYTES_MAX: u32 = 273;
/** So many bytes must be ahead of a symbol, unless the content ends. */
const AHEAD_BYTES: u32 = MATCH_BYTES_MAX + 8;

const IS_MATCH: usize = PROBABILITIES;
const IS_REPEAT: usize = PROBABILITIES + 2 * 192;
const IS_REPEAT_0: usize = PROBABILITIES + 2 * 204;
const IS_REPEAT_1: usize = PROBABILITIES + 2 * 216;
const IS_REPEAT_2: usize = PROBABILITIES + 2 * 228;
const IS_LONG_0: usize = PROBABILITIES + 2 * 240;
const SLOT: usize = PROBABILITIES + 2 * 432;
const SPECIAL: usize = PROBABILITIES + 2 * 688;
const ALIGN: usize = PROBABILITIES + 2 * 804;
const MATCH_LENGTH: usize = PROBABILITIES + 2 * 820;
const REPEAT_LENGTH: usize = PROBABILITIES + 2 * 1334;
const LITERAL: usize = PROBABILITIES + 2 * 1848;

export function stateBytes(): usize { return STATE_BYTES; }
export function headsBytes(): usize { return <usize>4 << HEADS_LOG; }
export function chainBytes(): usize { return <usize>4 * WINDOW_BYTES; }

export function open(
  state: usize, buffer: usize, bufferBytes: u32, heads: usize, chain: usize, output: usize, outputBytes: u32, nice: u32, depth: u32,
): void {
  memory.fill(state, 0, STATE_BYTES);
  memory.fill(heads, 0, headsBytes());
  store<u32>(state, <u32>buffer, BUFFER);
  store<u32>(state, bufferBytes, BUFFER_BYTES);
  store<u32>(state, 1, POSITION);
  store<u32>(state, <u32>heads, HEADS);
  store<u32>(state, <u32>chain, CHAIN);
  store<u32>(state, <u32>output, OUTPUT);
  store<u32>(state, outputBytes, OUTPUT_BYTES);
  store<u32>(state, 0xffffffff, RANGE);
  store<u64>(state, 1, HELD); // the leading zero byte of the range coder
  store<u32>(state, nice, NICE);
  store<u32>(state, depth, DEPTH);
  for (let p = state + PROBABILITIES; p < state + HEADS_2; p += 2) store<u16>(p, 1024);
}

/** Takes bytes in; the window moves to the front of the buffer when room is short. False: encode first. */
export function give(state: usize, input: usize, count: u32): bool {
  const buffer = <usize>load<u32>(state, BUFFER);
  let end = load<u32>(state, END);
  if (end + count > load<u32>(state, BUFFER_BYTES)) {
    const at = load<u32>(state, AT);
    const dropped = at > WINDOW_BYTES ? at - WINDOW_BYTES : 0;
    if (end - dropped + count > load<u32>(state, BUFFER_BYTES)) return false;
    memory.copy(buffer, buffer + dropped, end - dropped);
    end -= dropped;
    store<u32>(state, at - dropped, AT);
  }
  memory.copy(buffer + end, input, count);
  store<u32>(state, end + count, END);
  return true;
}

/** What `encode` has written; the output is empty again. */
export function takeWritten(state: usize): u32 {
  const written = load<u32>(state, WRITTEN);
  store<u32>(state, 0, WRITTEN);
  return written;
}

// The range coder, in globals while `encode` runs
let range: u32 = 0;
let low: u64 = 0;
let cache: u32 = 0;
let held: u64 = 0;
let out: usize = 0;

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
@inline function putBit(at: usize, bit: u32): void {
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

function putTree(at: usize, bits: u32, symbol: u32): void {
  let m: u32 = 1;
  for (let i = <i32>bits - 1; i >= 0; i--) {
    const bit = (symbol >> i) & 1;
    putBit(at + (<usize>m << 1), bit);
    m = (m << 1) | bit;
  }
}

function putReverseTree(at: usize, bits: u32, symbol: u32): void {
  let m: u32 = 1;
  for (let i: u32 = 0; i < bits; i++) {
    const bit = (symbol >> i) & 1;
    putBit(at + (<usize>m << 1), bit);
    m = (m << 1) | bit;
  }
}

function putDirect(bits: u32, value: u32): void {
  for (let i = <i32>bits - 1; i >= 0; i--) {
    range >>= 1;
    if ((value >> i) & 1) low += range;
    if (range < 0x1000000) {
      range <<= 8;
      shiftLow();
    }
  }
}

function putLength(at: usize, length: u32, place: u32): void {
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
function putDistance(state: usize, distance: u32, length: u32): void {
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

function putLiteral(state: usize, s: u32, at: usize, previous: u32, rep0: u32): void {
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

// @ts-ignore: decorator
@inline function equalBytes(a: usize, b: usize, from: u32, limit: u32): u32 {
  let n = from;
  while (n + 8 <= limit) {
    const difference = load<u64>(a + n) ^ load<u64>(b + n);
    if (difference != 0) return n + <u32>(ctz(difference) >> 3);
    n += 8;
  }
  while (n < limit && load<u8>(a + n) == load<u8>(b + n)) n++;
  return n;
}

/** Enters the position into the tables without looking. */
// @ts-ignore: decorator
@inline function enter(state: usize, heads: usize, chain: usize, at: usize, position: u32): u32 {
  const word = load<u32>(at);
  store<u32>(state + HEADS_2 + (<usize>((word & 0xffff) * 40503 >> 6 & 1023) << 2), position);
  store<u32>(state + HEADS_3 + (<usize>(((word << 8) * 506832829) >> 16) << 2), position);
  const slot = heads + (<usize>((word * 2654435761) >> (32 - HEADS_LOG)) << 2);
  const older = load<u32>(slot);
  store<u32>(chain + (<usize>(position & (WINDOW_BYTES - 1)) << 2), older);
  store<u32>(slot, position);
  return older;
}

/**
 * Looks for matches at `at`, each longer than the one before, and enters the position. Returns their number; the list is
 * pairs of length and distance. `reach` is how far back content goes, `limit` how long a match can be.
 */
function findMatches(
  state: usize, heads: usize, chain: usize, at: usize, position: u32, reach: u32, limit: u32, nice: u32, depth: u32, list: usize,
): u32 {
  const word = load<u32>(at);
  const near2 = position - load<u32>(state + HEADS_2 + (<usize>((word & 0xffff) * 40503 >> 6 & 1023) << 2));
  const near3 = position - load<u32>(state + HEADS_3 + (<usize>(((word << 8) * 506832829) >> 16) << 2));
  let candidate = enter(state, heads, chain, at, position);
  let best: u32 = 1, found: u32 = 0;
  if (near2 - 1 < reach && load<u16>(at - near2) == <u16>word) {
    best = equalBytes(at, at - near2, 2, limit);
    store<u32>(list, best);
    store<u32>(list, near2 - 1, 4);
    found = 1;
  }
  if (near3 != near2 && near3 - 1 < reach && best < limit) {
    const length = equalBytes(at, at - near3, 0, limit);
    if (length > best && length >= 3) {
      best = length;
      store<u32>(list + (<usize>found << 3), length);
      store<u32>(list + (<usize>found << 3), near3 - 1, 4);
      found++;
    }
  }
  let last: u32 = 0;
  for (; depth > 0 && best < nice; depth--) {
    const distance = position - candidate;
    // chains lead further and further back
    if (distance - 1 >= reach || distance <= last) break;
    last = distance;
    const other = at - distance;
    if (load<u8>(other + best) == load<u8>(at + best) && load<u32>(other) == word) {
      const length = equalBytes(at, other, 4, limit);
      if (length > best) {
        best = length;
        store<u32>(list + (<usize>found << 3), length);
        store<u32>(list + (<usize>found << 3), distance - 1, 4);
        found++;
        if (length == limit) break;
      }
    }
    candidate = load<u32>(chain + (<usize>(candidate & (WINDOW_BYTES - 1)) << 2));
  }
  return found;
}

/** Drops the last match while one that is a byte shorter lies much nearer. Returns how many remain. */
function preferNear(list: usize, found: u32): u32 {
  while (found > 1) {
    const last = list + (<usize>(found - 1) << 3), before = last - 8;
    if (load<u32>(last) != load<u32>(before) + 1 || load<u32>(last, 4) >> 7 <= load<u32>(before, 4)) break;
    found--;
  }
  return found;
}

/** Is the match that begins one byte later worth a literal first? */
// @ts-ignore: decorator
@inline function isLaterBetter(length: u32, distance: u32, laterLength: u32, laterDistance: u32): bool {
  if (laterLength < 2) return false;
  if (laterLength >= length && laterDistance < distance) return true;
  if (laterLength == length + 1) return !(distance < laterDistance >> 7);
  if (laterLength > length + 1) return true;
  return laterLength + 1 >= length && length >= 3 && laterDistance < distance >> 7;
}

/**
 * Encodes what was given, as far as enough is ahead (with `isLast`: all of it, and the end mark). Returns 1 when
 * the output must be taken before it can go on, else 0.
 */
export function encode(state: usize, isLast: bool): i32 {
  const buffer = <usize>load<u32>(state, BUFFER), output = <usize>load<u32>(state, OUTPUT);
  const outputEnd = output + <usize>load<u32>(state, OUTPUT_BYTES);
  const heads = <usize>load<u32>(state, HEADS), chain = <usize>load<u32>(state, CHAIN);
  const nice = load<u32>(state, NICE), depth = load<u32>(state, DEPTH);
  const list = state + MATCHES, laterList = state + NEXT_MATCHES;
  const end = load<u32>(state, END);
  let offset = load<u32>(state, AT), position = load<u32>(state, POSITION), s = load<u32>(state, STATE);
  let rep0 = load<u32>(state, REPEATS), rep1 = load<u32>(state, REPEATS + 4), rep2 = load<u32>(state, REPEATS + 8), rep3 = load<u32>(state, REPEATS + 12);
  range = load<u32>(state, RANGE);
  low = load<u64>(state, LOW);
  cache = load<u32>(state, CACHE);
  held = load<u64>(state, HELD);
  out = output + <usize>load<u32>(state, WRITTEN);
  let result = 0;
  let hasMatches = false, found: u32 = 0;

  while (offset < end && (isLast || end - offset > AHEAD_BYTES)) {
    if (out + <usize>held + 256 > outputEnd) {
      result = 1;
      break;
    }
    const at = buffer + offset, place = (position - 1) & 3;
    const reach = min<u32>(offset, WINDOW_BYTES - 1), limit = min<u32>(end - offset, MATCH_BYTES_MAX);
    if (!hasMatches) {
      found = limit >= 4 ? findMatches(state, heads, chain, at, position, reach, limit, nice, depth, list) : 0;
    } else {
      memory.copy(list, laterList, found << 3);
      hasMatches = false;
    }
    // the longest repetition of a recent distance
    let repeat: u32 = 0, repeatLength: u32 = 0;
    for (let i: u32 = 0; i < 4; i++) {
      const distance = i == 0 ? rep0 : i == 1 ? rep1 : i == 2 ? rep2 : rep3;
      if (distance >= reach || limit < 2) continue;
      const other = at - distance - 1;
      if (load<u16>(other) != load<u16>(at)) continue;
      const length = equalBytes(at, other, 2, limit);
      if (length > repeatLength) {
        repeat = i;
        repeatLength = length;
      }
    }
    let length: u32 = 0, distance: u32 = 0;
    let isRepeat = repeatLength >= nice;
    if (!isRepeat && found > 0) {
      const longest = load<u32>(list + (<usize>(found - 1) << 3));
      if (longest < nice) found = preferNear(list, found);
      const chosen = list + (<usize>(found - 1) << 3);
      length = load<u32>(chosen);
      distance = load<u32>(chosen, 4);
      if (length == 2 && distance >= 128) length = 0;
      if (length < nice) {
        isRepeat = repeatLength >= 2 && (
          repeatLength + 1 >= length ||
          (repeatLength + 2 >= length && distance >= 1 << 9) ||
          (repeatLength + 3 >= length && distance >= 1 << 15)
        );
      }
    } else if (!isRepeat) {
      isRepeat = repeatLength >= 2;
    }
    let entered: u32 = 1;
    if (!isRepeat && length >= 2 && length < nice && limit >= 6) {
      // one byte later, is there a better one?
      const laterLimit = min<u32>(end - offset - 1, MATCH_BYTES_MAX);
      let later = findMatches(state, heads, chain, at + 1, position + 1, min<u32>(offset + 1, WINDOW_BYTES - 1), laterLimit, nice, depth, laterList);
      entered = 2;
      let isBetter = false;
      if (later > 0) {
        const last = laterList + (<usize>(later - 1) << 3);
        isBetter = isLaterBetter(length, distance, load<u32>(last), load<u32>(last, 4));
      }
      const wanted = max<u32>(2, length - 1);
      for (let i: u32 = 0; i < 4 && !isBetter; i++) {
        const back = i == 0 ? rep0 : i == 1 ? rep1 : i == 2 ? rep2 : rep3;
        if (back <= reach && back < WINDOW_BYTES - 1) isBetter = equalBytes(at + 1, at - back, 0, wanted) == wanted;
      }
      if (isBetter) {
        length = 0;
        found = later;
        hasMatches = true;
      }
    }
    if (!isRepeat && length < 2) {
      putBit(state + IS_MATCH + (<usize>((s << 4) + place) << 1), 0);
      putLiteral(state, s, at, offset == 0 ? 0 : <u32>load<u8>(at - 1), rep0);
      s = s < 4 ? 0 : s < 10 ? s - 3 : s - 6;
      offset++;
      position++;
      continue;
    }
    putBit(state + IS_MATCH + (<usize>((s << 4) + place) << 1), 1);
    if (isRepeat) {
      length = repeatLength;
      putBit(state + IS_REPEAT + (<usize>s << 1), 1);
      if (repeat == 0) {
        putBit(state + IS_REPEAT_0 + (<usize>s << 1), 0);
        putBit(state + IS_LONG_0 + (<usize>((s << 4) + place) << 1), 1);
      } else {
        putBit(state + IS_REPEAT_0 + (<usize>s << 1), 1);
        putBit(state + IS_REPEAT_1 + (<usize>s << 1), repeat == 1 ? 0 : 1);
        if (repeat > 1) putBit(state + IS_REPEAT_2 + (<usize>s << 1), repeat - 2);
        const again = repeat == 1 ? rep1 : repeat == 2 ? rep2 : rep3;
        if (repeat == 3) rep3 = rep2;
        if (repeat >= 2) rep2 = rep1;
        rep1 = rep0;
        rep0 = again;
      }
      putLength(state + REPEAT_LENGTH, length, place);
      s = s < 7 ? 8 : 11;
    } else {
      putBit(state + IS_REPEAT + (<usize>s << 1), 0);
      putLength(state + MATCH_LENGTH, length, place);
      putDistance(state, distance, length);
      rep3 = rep2;
      rep2 = rep1;
      rep1 = rep0;
      rep0 = distance;
      s = s < 7 ? 7 : 10;
    }
    for (let i = entered; i < length; i++) {
      if (end - offset - i >= 4) enter(state, heads, chain, at + i, position + i);
    }
    offset += length;
    position += length;
  }

  if (isLast && offset == end && result == 0) {
    if (out + <usize>held + 256 > outputEnd) {
      result = 1;
    } else {
      const place = (position - 1) & 3;
      putBit(state + IS_MATCH + (<usize>((s << 4) + place) << 1), 1);
      putBit(state + IS_REPEAT + (<usize>s << 1), 0);
      putLength(state + MATCH_LENGTH, 2, place);
      putDistance(state, 0xffffffff, 2);
      for (let i = 0; i < 5; i++) shiftLow();
    }
  }
  store<u32>(state, offset, AT);
  store<u32>(state, position, POSITION);
  store<u32>(state, s, STATE);
  store<u32>(state, rep0, REPEATS);
  store<u32>(state, rep1, REPEATS + 4);
  store<u32>(state, rep2, REPEATS + 8);
  store<u32>(state, rep3, REPEATS + 12);
  store<u32>(state, range, RANGE);
  store<u64>(state, low, LOW);
  store<u32>(state, cache, CACHE);
  store<u64>(state, held, HELD);
  store<u32>(state, <u32>(out - output), WRITTEN);
  return result;
}
