// Layout of the encoder's state, and its limits.

// The state in the caller's memory, filled by `open`:
export const BUFFER: usize = 0; // the window and what is ahead of it
export const BUFFER_BYTES: usize = 4;
export const AT: usize = 8; // offset in the buffer of the next byte to encode
export const END: usize = 12; // offset of the end of what was given
export const POSITION: usize = 16; // of AT in the content, modulo 2^32, plus 1
export const HEADS: usize = 20; // 4-byte hash table
export const CHAIN: usize = 24;
export const OUTPUT: usize = 28;
export const OUTPUT_BYTES: usize = 32;
export const WRITTEN: usize = 36;
export const RANGE: usize = 40;
export const CACHE: usize = 44;
export const LOW: usize = 48; // u64
export const HELD: usize = 56; // u64, bytes that a carry may still change
export const STATE: usize = 64;
export const REPEATS: usize = 68; // 4 x u32
export const NICE: usize = 84;
export const DEPTH: usize = 88;
export const PROBABILITIES: usize = 128; // u16, 8216 of them
export const HEADS_2: usize = 128 + 2 * 8216;
export const HEADS_3: usize = HEADS_2 + 4 * 1024;
export const MATCHES: usize = HEADS_3 + 4 * 65536; // pairs of u32: length, distance
export const NEXT_MATCHES: usize = MATCHES + 8 * 280;
export const STATE_BYTES: usize = NEXT_MATCHES + 8 * 280;

export const WINDOW_BYTES: u32 = 8 << 20;
export const HEADS_LOG: u32 = 19;
export const MATCH_BYTES_MAX: u32 = 273;
/** So many bytes must be ahead of a symbol, unless the content ends. */
export const AHEAD_BYTES: u32 = MATCH_BYTES_MAX + 8;

export const IS_MATCH: usize = PROBABILITIES;
export const IS_REPEAT: usize = PROBABILITIES + 2 * 192;
export const IS_REPEAT_0: usize = PROBABILITIES + 2 * 204;
export const IS_REPEAT_1: usize = PROBABILITIES + 2 * 216;
export const IS_REPEAT_2: usize = PROBABILITIES + 2 * 228;
export const IS_LONG_0: usize = PROBABILITIES + 2 * 240;
export const SLOT: usize = PROBABILITIES + 2 * 432;
export const SPECIAL: usize = PROBABILITIES + 2 * 688;
export const ALIGN: usize = PROBABILITIES + 2 * 804;
export const MATCH_LENGTH: usize = PROBABILITIES + 2 * 820;
export const REPEAT_LENGTH: usize = PROBABILITIES + 2 * 1334;
export const LITERAL: usize = PROBABILITIES + 2 * 1848;
