// LZMA encoding, after the public specification of the format: hash chains for matches, one symbol of lazy
// evaluation, range coder. Properties are fixed: lc 3, lp 0, pb 2, a window of 8 MiB, an end mark.
// Tables hold positions modulo 2^32; what they say is always compared with the content, so a stale one does no harm.

import {
  AT, BUFFER, BUFFER_BYTES, CHAIN, DEPTH, END, HEADS, HEADS_2, HEADS_LOG, HELD, IS_LONG_0, IS_MATCH, IS_REPEAT, IS_REPEAT_0, IS_REPEAT_1,
  IS_REPEAT_2, MATCH_BYTES_MAX, MATCH_LENGTH, MATCHES, NEXT_MATCHES, NICE, OUTPUT, OUTPUT_BYTES, POSITION, PROBABILITIES, RANGE, REPEATS,
  REPEAT_LENGTH, STATE, STATE_BYTES, WINDOW_BYTES, WRITTEN, AHEAD_BYTES,
} from './parts/lzma-state';
import { putDistance, putLength, putLiteral } from './parts/lzma-symbols';
import { enter, findMatches, isLaterBetter, isRepetitionBetter, longestRepetition, preferNear, repeatsLater } from './parts/match-finder';
import { finishCoder, outputReach, putBit, resumeCoder, suspendCoder } from './parts/range-encoder';

/** No symbol writes more. */
const SYMBOL_ROOM_BYTES: usize = 256;

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

/** Says that a match follows which repeats one of the recent distances; it becomes the most recent. */
function putRepetition(state: usize, s: u32, place: u32, repeat: u32, length: u32): void {
  putBit(state + IS_MATCH + (<usize>((s << 4) + place) << 1), 1);
  putBit(state + IS_REPEAT + (<usize>s << 1), 1);
  putBit(state + IS_REPEAT_0 + (<usize>s << 1), repeat == 0 ? 0 : 1);
  if (repeat == 0) {
    putBit(state + IS_LONG_0 + (<usize>((s << 4) + place) << 1), 1);
  } else {
    putBit(state + IS_REPEAT_1 + (<usize>s << 1), repeat == 1 ? 0 : 1);
    if (repeat > 1) putBit(state + IS_REPEAT_2 + (<usize>s << 1), repeat - 2);
    const recent = state + REPEATS;
    const distance = load<u32>(recent + (<usize>repeat << 2));
    memory.copy(recent + 4, recent, <usize>repeat << 2);
    store<u32>(recent, distance);
  }
  putLength(state + REPEAT_LENGTH, length, place);
}

function putMatch(state: usize, s: u32, place: u32, distance: u32, length: u32): void {
  putBit(state + IS_MATCH + (<usize>((s << 4) + place) << 1), 1);
  putBit(state + IS_REPEAT + (<usize>s << 1), 0);
  putLength(state + MATCH_LENGTH, length, place);
  putDistance(state, distance, length);
  memory.copy(state + REPEATS + 4, state + REPEATS, 12);
  store<u32>(state, distance, REPEATS);
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
  resumeCoder(state, output + <usize>load<u32>(state, WRITTEN));
  let result = 0;
  let hasMatches = false, found: u32 = 0;

  while (offset < end && (isLast || end - offset > AHEAD_BYTES)) {
    if (outputReach() + SYMBOL_ROOM_BYTES > outputEnd) {
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
    const repetition = longestRepetition(state, at, reach, limit);
    const repeat = repetition >> 16, repeatLength = repetition & 0xffff;
    let length: u32 = 0, distance: u32 = 0;
    if (repeatLength < nice && found > 0) {
      found = preferNear(list, found, nice);
      const chosen = list + (<usize>(found - 1) << 3);
      length = load<u32>(chosen);
      distance = load<u32>(chosen, 4);
      if (length == 2 && distance >= 128) length = 0;
    }
    const isRepeat = isRepetitionBetter(repeatLength, length, distance, nice);
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
      isBetter = isBetter || repeatsLater(state, at, reach, max<u32>(2, length - 1));
      if (isBetter) {
        length = 0;
        found = later;
        hasMatches = true;
      }
    }
    if (!isRepeat && length < 2) {
      putBit(state + IS_MATCH + (<usize>((s << 4) + place) << 1), 0);
      putLiteral(state, s, at, offset == 0 ? 0 : <u32>load<u8>(at - 1), load<u32>(state, REPEATS));
      s = s < 4 ? 0 : s < 10 ? s - 3 : s - 6;
      offset++;
      position++;
      continue;
    }
    if (isRepeat) length = repeatLength;
    if (isRepeat) putRepetition(state, s, place, repeat, length);
    else putMatch(state, s, place, distance, length);
    s = isRepeat ? (s < 7 ? 8 : 11) : s < 7 ? 7 : 10;
    for (let i = entered; i < length; i++) {
      if (end - offset - i >= 4) enter(state, heads, chain, at + i, position + i);
    }
    offset += length;
    position += length;
  }

  if (isLast && offset == end && result == 0) {
    if (outputReach() + SYMBOL_ROOM_BYTES > outputEnd) {
      result = 1;
    } else {
      const place = (position - 1) & 3;
      putMatch(state, s, place, 0xffffffff, 2);
      finishCoder();
    }
  }
  store<u32>(state, offset, AT);
  store<u32>(state, position, POSITION);
  store<u32>(state, s, STATE);
  store<u32>(state, <u32>(suspendCoder(state) - output), WRITTEN);
  return result;
}
