import { type Lsn, toLsn } from '../lsn.ts'
import { RecordReader } from './record-reader.ts'
import { mainDataAt } from './recovery-records.ts'
import type { WalPlace } from './segment-piece.ts'
import type { WalSegmentHeader } from './wal-page.ts'

const INFO_AT = 16
const RMGR_AT = 17
const RMGR_XLOG = 0
/** XLOG_CHECKPOINT_SHUTDOWN and XLOG_CHECKPOINT_ONLINE. */
const CHECKPOINT_INFOS: readonly number[] = [0x00, 0x10]
/** Within `CheckPoint`, PostgreSQL 13 to 18. */
const TIME_AT = 64

/** What tells one checkpoint from any other of the same cluster. */
export interface Checkpoint {
  readonly redoLsn: Lsn
  /** Seconds since 1970, by the clock of the server. */
  readonly timeSeconds: bigint
}

/** What the WAL has where a checkpoint record may begin. `other`: something else, so other WAL was there. */
export type CheckpointAt =
  | { readonly kind: 'checkpoint'; readonly checkpoint: Checkpoint }
  | { readonly kind: 'other' }
  | { readonly kind: 'unreadable'; readonly reason: string }

/** The bytes of a segment in which a checkpoint record that begins at `lsn` lies: at most two pages. Relative to the segment. */
export function pagesFrom(
  lsn: Lsn,
  { segmentBytes, walPageBytes }: Pick<WalSegmentHeader, 'segmentBytes' | 'walPageBytes'>,
): { readonly from: number; readonly to: number } {
  const at = Number(lsn % BigInt(segmentBytes))
  const from = at - (at % walPageBytes)
  return { from, to: Math.min(from + 2 * walPageBytes, segmentBytes) }
}

/** Looks for the checkpoint record (`CheckPoint` in catalog/pg_control.h) that begins at `lsn`, in the pages that `pagesFrom` names. */
export function findCheckpoint(
  pages: Uint8Array,
  {
    segment,
    timeline,
    lsn,
  }: { readonly segment: WalSegmentHeader; readonly timeline: number; readonly lsn: Lsn },
): CheckpointAt {
  const { walPageBytes } = segment
  const firstLsn = toLsn(lsn - (lsn % BigInt(walPageBytes)))
  let found: CheckpointAt | undefined
  const reader: RecordReader = new RecordReader(segment, firstLsn, timeline, {
    sink: (view, at, totalBytes) => {
      if (reader.lastStartLsn === lsn) found = decodeCheckpoint(view, at, totalBytes)
    },
  })
  for (let at = 0; at < pages.length && found === undefined; at += walPageBytes) {
    if (!reader.readPage(pages.subarray(at, at + walPageBytes))) break
  }
  if (found !== undefined) return found
  if (reader.pendingStartLsn === lsn) {
    return { kind: 'unreadable', reason: 'the record there goes on in the next segment' }
  }
  const { stopReason } = reader
  if (stopReason === undefined || reader.isAtUnwritten) return { kind: 'other' }
  return { kind: 'unreadable', reason: stopReason }
}

/** Where the checkpoint record at `lsn` is looked for. */
export function placeOfCheckpoint(lsn: Lsn): WalPlace<CheckpointAt> {
  return {
    lsn,
    stretch: sizes => pagesFrom(lsn, sizes),
    judge: (pages, segment, timeline) => findCheckpoint(pages, { segment, timeline, lsn }),
  }
}

/** Whether it is another one than `expected`: other WAL was written there. */
export function isOtherCheckpoint(at: CheckpointAt, expected: Checkpoint): boolean {
  if (at.kind === 'unreadable') return false
  if (at.kind === 'other') return true
  const { redoLsn, timeSeconds } = at.checkpoint
  return redoLsn !== expected.redoLsn || timeSeconds !== expected.timeSeconds
}

/** Of the record that begins at `at`; `other` when it is none of a checkpoint. */
export function decodeCheckpoint(view: DataView, at: number, totalBytes: number): CheckpointAt {
  const isCheckpoint =
    view.getUint8(at + RMGR_AT) === RMGR_XLOG && CHECKPOINT_INFOS.includes(view.getUint8(at + INFO_AT) & 0xf0)
  if (!isCheckpoint) return { kind: 'other' }
  const bytes = Math.min(totalBytes, view.byteLength - at)
  const record = new DataView(view.buffer, view.byteOffset + at, bytes)
  const dataAt = mainDataAt(record)
  if (dataAt === undefined || dataAt + TIME_AT + 8 > bytes) {
    return { kind: 'unreadable', reason: 'the checkpoint record there is too short' }
  }
  const redoLsn = toLsn(record.getBigUint64(dataAt, true))
  return {
    kind: 'checkpoint',
    checkpoint: { redoLsn, timeSeconds: record.getBigInt64(dataAt + TIME_AT, true) },
  }
}
