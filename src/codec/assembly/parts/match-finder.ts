// Hash chains over the window, and which match to prefer.

import { HEADS_2, HEADS_3, HEADS_LOG, REPEATS, WINDOW_BYTES } from './lzma-state';

// @ts-ignore: decorator
@inline export function equalBytes(a: usize, b: usize, from: u32, limit: u32): u32 {
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
@inline export function enter(state: usize, heads: usize, chain: usize, at: usize, position: u32): u32 {
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
export function findMatches(
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

/** Drops the last match while one that is a byte shorter lies much nearer, unless it is a nice one. Returns how many remain. */
export function preferNear(list: usize, found: u32, nice: u32): u32 {
  if (load<u32>(list + (<usize>(found - 1) << 3)) >= nice) return found;
  while (found > 1) {
    const last = list + (<usize>(found - 1) << 3), before = last - 8;
    if (load<u32>(last) != load<u32>(before) + 1 || load<u32>(last, 4) >> 7 <= load<u32>(before, 4)) break;
    found--;
  }
  return found;
}

/** The longest match at one of the four recent distances: which of them, and in the low 16 bits how long. */
export function longestRepetition(state: usize, at: usize, reach: u32, limit: u32): u32 {
  let best: u32 = 0;
  if (limit < 2) return 0;
  for (let i: u32 = 0; i < 4; i++) {
    const distance = load<u32>(state + REPEATS + (<usize>i << 2));
    if (distance >= reach || load<u16>(at - distance - 1) != load<u16>(at)) continue;
    const length = equalBytes(at, at - distance - 1, 2, limit);
    if (length > (best & 0xffff)) best = (i << 16) | length;
  }
  return best;
}

/** Does a recent distance match `wanted` bytes from the next byte on? */
export function repeatsLater(state: usize, at: usize, reach: u32, wanted: u32): bool {
  for (let i: u32 = 0; i < 4; i++) {
    const distance = load<u32>(state + REPEATS + (<usize>i << 2));
    if (distance > reach || distance >= WINDOW_BYTES - 1) continue;
    if (equalBytes(at + 1, at - distance, 0, wanted) == wanted) return true;
  }
  return false;
}

/** Is a repetition to be preferred to a match, which costs the bits of its distance? */
export function isRepetitionBetter(repeatLength: u32, length: u32, distance: u32, nice: u32): bool {
  if (repeatLength >= nice) return true;
  if (repeatLength < 2 || length >= nice) return false;
  if (repeatLength + 1 >= length) return true;
  if (repeatLength + 2 >= length && distance >= 1 << 9) return true;
  return repeatLength + 3 >= length && distance >= 1 << 15;
}

/** Is the match that begins one byte later worth a literal first? */
// @ts-ignore: decorator
@inline export function isLaterBetter(length: u32, distance: u32, laterLength: u32, laterDistance: u32): bool {
  if (laterLength < 2) return false;
  if (laterLength >= length && laterDistance < distance) return true;
  if (laterLength == length + 1) return !(distance < laterDistance >> 7);
  if (laterLength > length + 1) return true;
  return laterLength + 1 >= length && length >= 3 && laterDistance < distance >> 7;
}
