import { WalgError } from '../../kit/errors.ts'
import { crc32c } from '../crc32c.ts'
import { type Lsn, toLsn } from '../lsn.ts'
import { type TimelineId, toTimelineId } from '../wal-segment.ts'
import type { WalChanges } from './record-content.ts'

/** A file of `pg_wal/summaries` by its name: which WAL it sums up. */
export interface SummaryFile {
  readonly name: string
  readonly timeline: TimelineId
  readonly beginLsn: Lsn
  readonly endLsn: Lsn
}

const NAME = /^([0-9A-F]{8})([0-9A-F]{16})([0-9A-F]{16})\.summary$/
const MAGIC = 0x652b137b
const ENTRY_BYTES = 24
const CRC_BYTES = 4
const BLOCK_NUMBER_NONE = 0xffff_ffff
/** One chunk stands for so many blocks, in one of two forms: offsets, or when there are more than these, a bitmap. */
const CHUNK_BLOCKS = 1 << 16
const CHUNK_WORDS_MAX = CHUNK_BLOCKS / 16
const WORD_BYTES = 2

/** undefined for any other file. */
export function parseSummaryName(name: string): SummaryFile | undefined {
  const match = NAME.exec(name)
  if (match === null) return undefined
  return {
    name,
    timeline: toTimelineId(Number.parseInt(match[1]!, 16)),
    beginLsn: toLsn(BigInt(`0x${match[2]}`)),
    endLsn: toLsn(BigInt(`0x${match[3]}`)),
  }
}

/**
 * The summaries, of those that are there, that together cover `beginLsn` up to `endLsn` of a timeline without a gap; or how far
 * they reach when they do not.
 */
export function coverWithSummaries(
  files: readonly SummaryFile[],
  wanted: { readonly timeline: TimelineId; readonly beginLsn: Lsn; readonly endLsn: Lsn },
): { readonly files: readonly SummaryFile[]; readonly reachedLsn: Lsn } {
  const useful = files
    .filter(file => file.timeline === wanted.timeline)
    .filter(file => file.beginLsn < wanted.endLsn && file.endLsn > wanted.beginLsn)
    .sort((one, other) => (one.beginLsn < other.beginLsn ? -1 : one.beginLsn > other.beginLsn ? 1 : 0))
  let reachedLsn = wanted.beginLsn
  for (const { beginLsn, endLsn } of useful) {
    if (beginLsn > reachedLsn) break
    if (endLsn > reachedLsn) reachedLsn = endLsn
  }
  return { files: useful, reachedLsn }
}

/**
 * Tells `changes` what a summary holds. Source of the layout: PostgreSQL's common/blkreftable.c (17, 18). Throws FORMAT_INVALID,
 * FORMAT_TRUNCATED, CHECKSUM_MISMATCH.
 */
export function readSummary(bytes: Uint8Array, name: string, changes: WalChanges): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const bodyEnd = bytes.length - CRC_BYTES
  if (bodyEnd < 4 + ENTRY_BYTES) throw cut(name)
  if (view.getUint32(0, true) !== MAGIC) {
    throw new WalgError('FORMAT_INVALID', `"${name}" is no WAL summary`, { facts: { file: name } })
  }
  if (crc32c(bytes.subarray(0, bodyEnd)) !== view.getUint32(bodyEnd, true)) {
    throw new WalgError('CHECKSUM_MISMATCH', `the checksum of WAL summary "${name}" does not match`, {
      facts: { file: name },
    })
  }
  for (let at = 4; ; ) {
    if (at + ENTRY_BYTES > bodyEnd) throw cut(name)
    const entry = readEntry(view, at)
    at += ENTRY_BYTES
    if (entry.tablespace === 0 && entry.chunksCount === 0) {
      if (at !== bodyEnd) throw cut(name)
      return
    }
    if (entry.relation === 0) changes.database(entry.tablespace, entry.database)
    else if (entry.limitBlock !== BLOCK_NUMBER_NONE) {
      changes.limit(entry.tablespace, entry.database, entry.relation, entry.fork, entry.limitBlock)
    }
    at = readChunks(view, at, bodyEnd, entry, name, changes)
  }
}

interface Entry {
  readonly tablespace: number
  readonly database: number
  readonly relation: number
  readonly fork: number
  readonly limitBlock: number
  readonly chunksCount: number
}

function readEntry(view: DataView, at: number): Entry {
  return {
    tablespace: view.getUint32(at, true),
    database: view.getUint32(at + 4, true),
    relation: view.getUint32(at + 8, true),
    fork: view.getUint32(at + 12, true),
    limitBlock: view.getUint32(at + 16, true),
    chunksCount: view.getUint32(at + 20, true),
  }
}

/** Returns where the next entry begins. */
function readChunks(
  view: DataView,
  from: number,
  end: number,
  { tablespace, database, relation, fork, chunksCount }: Entry,
  name: string,
  changes: WalChanges,
): number {
  let at = from + chunksCount * WORD_BYTES
  if (at > end) throw cut(name)
  for (let chunk = 0; chunk < chunksCount; chunk++) {
    const words = view.getUint16(from + chunk * WORD_BYTES, true)
    if (words > CHUNK_WORDS_MAX || at + words * WORD_BYTES > end) throw cut(name)
    const first = chunk * CHUNK_BLOCKS
    for (let index = 0; index < words; index++, at += WORD_BYTES) {
      const word = view.getUint16(at, true)
      if (words < CHUNK_WORDS_MAX) changes.block(tablespace, database, relation, fork, first + word)
      else {
        for (let bit = 0; bit < 16; bit++) {
          if ((word & (1 << bit)) !== 0)
            changes.block(tablespace, database, relation, fork, first + index * 16 + bit)
        }
      }
    }
  }
  return at
}

function cut(name: string): WalgError {
  return new WalgError('FORMAT_TRUNCATED', `WAL summary "${name}" is not whole`, { facts: { file: name } })
}
