import zlib from 'node:zlib'
import type { CompressionOptions, ZstdLevelName } from '../codec.ts'

const C = zlib.constants

export type ZstdParameters = Readonly<Record<number, number>>

const LEVELS: Readonly<Record<Exclude<ZstdLevelName, 'default'>, number>> = {
  fastest: 1,
  better: 7,
  best: 19,
}
/** The window of the named levels for parts: the original's own, so that it reads whatever we write. */
const NAMED_WINDOW_LOG = 23
/** Copies of one catalogue lie side by side in a part, and a WAL segment gains nothing from more. */
const WINDOW_LOG = 21
/** Pages of rows and indexes: short matches, each looked for once in a table that stays near the processor. */
const FOR_ROWS: ZstdParameters = {
  [C.ZSTD_c_compressionLevel]: 2,
  [C.ZSTD_c_minMatch]: 5,
  [C.ZSTD_c_hashLog]: 15,
}
/** Thousands of files alike: long matches first, found in a second table; both are small. */
const FOR_SMALL_FILES: ZstdParameters = {
  [C.ZSTD_c_compressionLevel]: 3,
  [C.ZSTD_c_hashLog]: 15,
  [C.ZSTD_c_chainLog]: 13,
}
/** Words come again in matches that are no shorter than they, and soon: what lies further back costs more than it saves. */
const FOR_WORDS: ZstdParameters = {
  [C.ZSTD_c_compressionLevel]: 2,
  [C.ZSTD_c_minMatch]: 6,
  [C.ZSTD_c_hashLog]: 17,
  [C.ZSTD_c_windowLog]: 20,
}
/** Text that repeats whole phrases: long matches first, found in a second table. */
const FOR_TEXT: ZstdParameters = {
  [C.ZSTD_c_compressionLevel]: 3,
  [C.ZSTD_c_hashLog]: 17,
  [C.ZSTD_c_chainLog]: 15,
}
/**
 * Threads of the library compress the pieces of an object while this one reads and hashes on. Each piece begins with the
 * 64 KiB before it in its window, so that nothing is stored larger.
 */
const IN_PIECES: ZstdParameters = {
  [C.ZSTD_c_jobSize]: 1 << 20,
  [C.ZSTD_c_overlapLog]: 4,
}
/** PostgreSQL waits for a process that has one segment to compress. */
const SEGMENT_THREADS = 2
/** An object whose first block is shorter is not worth a thread. */
const PIECES_BEGINNING_BYTES_MIN = 256 << 10

/** What is tried with each of the tables, of a part's first block; what they must save of it to be worth their time. */
const TRIAL_BYTES = 512 << 10
const WORDS_GAIN_MIN = 0.02
const TEXT_GAIN_MIN = 0.03

const SAMPLE_STRIDE = 61
const TEXT_BYTES_SHARE_MIN = 0.8
/** Hexadecimal digits are no text. */
const DIGITS_SHARE_MAX = 0.7
/** Bits per byte. Below lies padding, above it what is compressed or encrypted. */
const TEXT_ENTROPY_MIN = 3.8
const TEXT_ENTROPY_MAX = 6.5

/**
 * What the library is told for one object, from its level, its use and the beginning of its content. `default` is the fastest
 * that stores no more than the original does (docs/decisions/zstd-default-level.md).
 */
export function zstdParameters(
  options: CompressionOptions,
  beginning: Uint8Array,
  cpus: number = navigator.hardwareConcurrency,
): ZstdParameters {
  const { use, zstdLevel = 'default' } = options
  const isPlain = use === 'wal' || zstdLevel === 'default'
  const tables =
    zstdLevel === 'default' ? tablesFor(use, beginning) : { [C.ZSTD_c_compressionLevel]: LEVELS[zstdLevel] }
  const threadsCount = use === 'wal' && cpus > 1 ? SEGMENT_THREADS : (options.threadsCount ?? 0)
  const isInPieces =
    threadsCount > 1 && zstdLevel === 'default' && beginning.length >= PIECES_BEGINNING_BYTES_MIN
  return {
    [C.ZSTD_c_windowLog]: isPlain ? WINDOW_LOG : NAMED_WINDOW_LOG,
    ...tables,
    ...(isInPieces ? { ...IN_PIECES, [C.ZSTD_c_nbWorkers]: threadsCount } : {}),
    [C.ZSTD_c_checksumFlag]: 1,
  }
}

function tablesFor(use: CompressionOptions['use'], beginning: Uint8Array): ZstdParameters {
  if (use === 'small files') return FOR_SMALL_FILES
  if (!looksLikeText(beginning)) return FOR_ROWS
  return use === 'wal' ? FOR_TEXT : tablesForText(beginning)
}

/** Printable bytes (those of any UTF-8 text among them) in about the variety of a language; looks at a sample. */
export function looksLikeText(bytes: Uint8Array): boolean {
  const counts = new Uint32Array(256)
  for (let at = 0; at < bytes.length; at += SAMPLE_STRIDE) counts[bytes[at]!]! += 1
  const sampled = Math.ceil(bytes.length / SAMPLE_STRIDE)
  let printable = 0
  let digits = 0
  let entropy = 0
  for (let byte = 0; byte < 256; byte++) {
    const share = counts[byte]! / sampled
    if (share === 0) continue
    entropy -= share * Math.log2(share)
    if ((byte >= 32 && byte !== 127) || byte === 10 || byte === 13) printable += share
    if (isHexadecimalDigit(byte)) digits += share
  }
  if (printable < TEXT_BYTES_SHARE_MIN || digits > DIGITS_SHARE_MAX) return false
  return entropy >= TEXT_ENTROPY_MIN && entropy <= TEXT_ENTROPY_MAX
}

function isHexadecimalDigit(byte: number): boolean {
  return (byte >= 48 && byte <= 57) || (byte >= 97 && byte <= 102)
}

/** The fastest tables that none of the slower ones betters by enough. */
function tablesForText(beginning: Uint8Array): ZstdParameters {
  const trial = beginning.subarray(0, TRIAL_BYTES)
  const sizeWith = (params: ZstdParameters): number => zlib.zstdCompressSync(trial, { params }).length
  const asRows = sizeWith(FOR_ROWS)
  const asWords = sizeWith(FOR_WORDS)
  const isOfWords = asWords < asRows * (1 - WORDS_GAIN_MIN)
  const isOfPhrases = sizeWith(FOR_TEXT) < (isOfWords ? asWords : asRows) * (1 - TEXT_GAIN_MIN)
  if (isOfPhrases) return FOR_TEXT
  return isOfWords ? FOR_WORDS : FOR_ROWS
}
