// The LZ4 block format and XXH32, on blocks that lie in a memory which the caller owns and lays out.
// Areas that are read or written need SLACK_BYTES (64) of memory behind them: copies go in steps of 16.

const MATCH_BYTES_MIN: usize = 4;
/** The format: the last match begins 12 bytes before the end at the latest, the last 5 bytes are literals. */
const MATCH_START_LIMIT: usize = 12;
const LAST_LITERALS: usize = 5;
/** Probes without a match before the steps grow: data that does not compress is passed over quickly. */
const SKIP_TRIGGER: u32 = 8;
/**
 * The table (256 KiB) holds positions in the block, and above each ten bits of its hash: whether it is a match is known
 * before the bytes there are looked at, which are seldom near the processor.
 */
const TABLE_LOG: u32 = 16;
const POSITION_BITS: u32 = 22;
const POSITION_MASK: u32 = (1 << POSITION_BITS) - 1;
const DISTANCE_MAX: u32 = 65535;

/** A sequence of few literals and a short match lies within so much of a block, and of its content, whatever it says. */
const SHORT_STORED_BYTES: usize = 20;
const SHORT_BYTES: usize = 40;

// @ts-ignore: decorator
@inline function copy16(to: usize, from: usize): void {
  const low = load<u64>(from), high = load<u64>(from, 8);
  store<u64>(to, low);
  store<u64>(to, high, 8);
}

// @ts-ignore: decorator
@inline function copyLiterals(to: usize, from: usize, count: usize): void {
  if (count > 1024) {
    memory.copy(to, from, count);
    return;
  }
  const end = to + count;
  do {
    copy16(to, from);
    to += 16;
    from += 16;
  } while (to < end);
}

/** Hash of 6 bytes: finds longer matches than one of 4 or 5. */
// @ts-ignore: decorator
@inline function hashOf(at: usize): u64 {
  return (load<u64>(at) << 16) * 227718039650203;
}

// @ts-ignore: decorator
@inline function slotOf(table: usize, hash: u64): usize {
  return table + (<usize>(hash >> (64 - TABLE_LOG)) << 2);
}

/** The difference of two entries is the distance between them, or more than any distance when their bits of the hash differ. */
// @ts-ignore: decorator
@inline function entryOf(hash: u64, at: usize, source: usize): u32 {
  return (<u32>(hash >> (32 - TABLE_LOG)) & ~POSITION_MASK) + <u32>(at - source);
}

// @ts-ignore: decorator
@inline function enter(table: usize, at: usize, source: usize): void {
  const hash = hashOf(at);
  store<u32>(slotOf(table, hash), entryOf(hash, at, source));
}

/** End of the run of equal bytes that begins at `at` and `match`. */
// @ts-ignore: decorator
@inline function endOfMatch(at: usize, match: usize, limit: usize): usize {
  while (at + 8 <= limit) {
    const difference = load<u64>(at) ^ load<u64>(match);
    if (difference != 0) return at + <usize>(ctz(difference) >> 3);
    at += 8;
    match += 8;
  }
  while (at < limit && load<u8>(at) == load<u8>(match)) {
    at++;
    match++;
  }
  return at;
}

/** The bytes that continue a length which did not fit its four bits. */
// @ts-ignore: decorator
@inline function storeLength(to: usize, length: usize): usize {
  while (length >= 255) {
    store<u8>(to++, 255);
    length -= 255;
  }
  store<u8>(to++, <u8>length);
  return to;
}

// @ts-ignore: decorator
@inline function storeLiterals(to: usize, from: usize, count: usize): usize {
  if (count < 15) {
    store<u8>(to++, <u8>(count << 4));
    copy16(to, from);
    return to + count;
  }
  store<u8>(to++, 15 << 4);
  to = storeLength(to, count - 15);
  copyLiterals(to, from, count);
  return to + count;
}

/**
 * Compresses `count` bytes, 4 MiB at most, into at most `limit` bytes and returns their number; 0 when they do not fit.
 * `table` is 256 KiB of scratch.
 */
export function compressBlock(source: usize, count: usize, target: usize, limit: usize, table: usize): usize {
  const end = source + count, stop = target + limit;
  let anchor = source, to = target;
  if (count > MATCH_START_LIMIT) {
    const startLimit = end - MATCH_START_LIMIT, matchLimit = end - LAST_LITERALS;
    memory.fill(table, 0, <usize>4 << TABLE_LOG);
    let at = source + 1;
    while (true) {
      // search, from the end of the match before: another one may begin there
      let probes: u32 = 1 << SKIP_TRIGGER, match = at;
      let ahead = at, hash = hashOf(at);
      while (true) {
        at = ahead;
        ahead += <usize>(probes++ >> SKIP_TRIGGER);
        if (ahead > startLimit) break;
        const slot = slotOf(table, hash), entry = entryOf(hash, at, source);
        hash = hashOf(ahead);
        const distance = entry - load<u32>(slot);
        store<u32>(slot, entry);
        if (distance - 1 < DISTANCE_MAX) {
          match = at - <usize>distance;
          if (load<u32>(match) == load<u32>(at)) break;
        }
      }
      if (ahead > startLimit) break;
      while (at > anchor && match > source && load<u8>(at - 1) == load<u8>(match - 1)) {
        at--;
        match--;
      }
      const literals = at - anchor;
      if (to + literals + literals / 255 + 16 > stop) return 0;
      const token = to;
      to = storeLiterals(to, anchor, literals);
      store<u16>(to, <u16>(at - match));
      to += 2;
      const inMatch = at + 1;
      anchor = endOfMatch(at + MATCH_BYTES_MIN, match + MATCH_BYTES_MIN, matchLimit);
      const length = anchor - at - MATCH_BYTES_MIN;
      at = anchor;
      if (length < 15) {
        store<u8>(token, <u8>(<usize>load<u8>(token) + length));
        if (at >= startLimit) break;
      } else {
        store<u8>(token, load<u8>(token) + 15);
        if (to + length / 255 + 16 > stop) return 0;
        to = storeLength(to, length - 15);
        if (at >= startLimit) break;
        enter(table, at - 6, source);
      }
      // so much of what was passed over is enough to be found again
      enter(table, inMatch, source);
      enter(table, at - 2, source);
    }
  }
  const literals = end - anchor;
  if (to + literals + literals / 255 + 16 > stop) return 0;
  return storeLiterals(to, anchor, literals) - target;
}

/**
 * Decompresses one block into at most `capacity` bytes; -1 for anything that is not a block. `history` bytes in
 * front of `target` may be referred to (linked blocks).
 */
export function decompressBlock(source: usize, count: usize, target: usize, capacity: usize, history: usize): isize {
  let from = source, to = target;
  const end = source + count, stop = target + capacity, low = target - history;
  const shortEnd = max(end, source + SHORT_STORED_BYTES) - SHORT_STORED_BYTES;
  const shortStop = max(stop, target + SHORT_BYTES) - SHORT_BYTES;
  while (from < end) {
    const token = <usize>load<u8>(from++);
    let literals = token >> 4, distance: usize;
    if (literals < 15 && from < shortEnd && to < shortStop) {
      copy16(to, from);
      from += literals;
      to += literals;
      distance = <usize>load<u16>(from);
      from += 2;
      if ((token & 15) < 15 && distance >= 8 && distance <= to - low) {
        const match = to - distance;
        store<u64>(to, load<u64>(match));
        store<u64>(to, load<u64>(match, 8), 8);
        store<u16>(to, load<u16>(match, 16), 16);
        to += (token & 15) + MATCH_BYTES_MIN;
        continue;
      }
    } else {
      if (literals == 15) {
        let more: usize;
        do {
          if (from >= end) return -1;
          more = <usize>load<u8>(from++);
          literals += more;
        } while (more == 255);
      }
      if (literals > end - from || literals > stop - to) return -1;
      copyLiterals(to, from, literals);
      from += literals;
      to += literals;
      // a block ends with literals; the token of the last sequence has no match
      if (from == end) return token & 15 ? -1 : <isize>(to - target);
      if (end - from < 2) return -1;
      distance = <usize>load<u16>(from);
      from += 2;
    }
    if (distance == 0 || distance > to - low) return -1;
    let length = (token & 15) + MATCH_BYTES_MIN;
    if (length == 15 + MATCH_BYTES_MIN) {
      let more: usize;
      do {
        if (from >= end) return -1;
        more = <usize>load<u8>(from++);
        length += more;
      } while (more == 255);
    }
    if (length > stop - to) return -1;
    copyMatch(to, distance, length);
    to += length;
  }
  return -1;
}

// @ts-ignore: decorator
@inline function copyMatch(to: usize, distance: usize, length: usize): void {
  const stop = to + length;
  let from = to - distance;
  if (distance >= 16) {
    do {
      copy16(to, from);
      to += 16;
      from += 16;
    } while (to < stop);
  } else if (distance == 1) {
    memory.fill(to, load<u8>(from), length);
  } else if (distance >= 8) {
    do {
      store<u64>(to, load<u64>(from));
      to += 8;
      from += 8;
    } while (to < stop);
  } else {
    do store<u8>(to++, load<u8>(from++)); while (to < stop);
  }
}

// XXH32, seed 0, streaming. State: 4 u32 lanes, u32 count of buffered bytes at 16, u64 total at 24, 16 bytes buffered at 32.
const P1: u32 = 2654435761;
const P2: u32 = 2246822519;
const P3: u32 = 3266489917;
const P4: u32 = 668265263;
const P5: u32 = 374761393;

export function resetHash(state: usize): void {
  store<u32>(state, P1 + P2, 0);
  store<u32>(state, P2, 4);
  store<u32>(state, 0, 8);
  store<u32>(state, 0 - P1, 12);
  store<u32>(state, 0, 16);
  store<u64>(state, 0, 24);
}

function hashStripes(state: usize, from: usize, end: usize): void {
  let a = load<u32>(state), b = load<u32>(state, 4), c = load<u32>(state, 8), d = load<u32>(state, 12);
  for (; from < end; from += 16) {
    a = rotl<u32>(a + load<u32>(from) * P2, 13) * P1;
    b = rotl<u32>(b + load<u32>(from, 4) * P2, 13) * P1;
    c = rotl<u32>(c + load<u32>(from, 8) * P2, 13) * P1;
    d = rotl<u32>(d + load<u32>(from, 12) * P2, 13) * P1;
  }
  store<u32>(state, a);
  store<u32>(state, b, 4);
  store<u32>(state, c, 8);
  store<u32>(state, d, 12);
}

export function updateHash(state: usize, from: usize, count: usize): void {
  store<u64>(state, load<u64>(state, 24) + <u64>count, 24);
  const buffer = state + 32, end = from + count;
  let buffered = <usize>load<u32>(state, 16);
  if (buffered > 0) {
    const missing = min<usize>(16 - buffered, count);
    memory.copy(buffer + buffered, from, missing);
    from += missing;
    buffered += missing;
    if (buffered == 16) {
      hashStripes(state, buffer, buffer + 16);
      buffered = 0;
    }
  }
  if (from < end) {
    const whole = (end - from) & ~(<usize>15);
    hashStripes(state, from, from + whole);
    from += whole;
    buffered = end - from;
    memory.copy(buffer, from, buffered);
  }
  store<u32>(state, <u32>buffered, 16);
}

export function digestHash(state: usize): u32 {
  const total = load<u64>(state, 24);
  let h = P5;
  if (total >= 16) {
    h = rotl<u32>(load<u32>(state), 1) + rotl<u32>(load<u32>(state, 4), 7);
    h += rotl<u32>(load<u32>(state, 8), 12) + rotl<u32>(load<u32>(state, 12), 18);
  }
  h += <u32>total;
  let from = state + 32;
  const end = from + <usize>load<u32>(state, 16);
  for (; from + 4 <= end; from += 4) h = rotl<u32>(h + load<u32>(from) * P3, 17) * P4;
  for (; from < end; from++) h = rotl<u32>(h + <u32>load<u8>(from) * P5, 11) * P1;
  h = (h ^ (h >> 15)) * P2;
  h = (h ^ (h >> 13)) * P3;
  return h ^ (h >> 16);
}
