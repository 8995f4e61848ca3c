import { type Lsn, toLsn } from '../lsn.ts'
import { RECORD_HEADER_BYTES } from './partial-record.ts'
import { RecordReader } from './record-reader.ts'
import { mainDataAt } from './recovery-records.ts'
import type { WalPageHeader, WalSegmentHeader } from './wal-page.ts'
import { decodePageHeader, FLAG_LONG_HEADER, LONG_HEADER_BYTES, SHORT_HEADER_BYTES } from './wal-page.ts'

const RMGR_AT = 17
const INFO_AT = 16
const RMGR_XLOG = 0
const XLOG_BACKUP_END = 0x50

/**
 * What the WAL has at a place where a record may end. `between`: no record ends there, so other WAL was there. `switched`: it is the
 * end of a segment, and the pages before it are empty, as a switch record somewhere in front of them leaves them.
 */
export type RecordEnd =
  | EndingRecord
  | { readonly kind: 'switched' }
  | { readonly kind: 'between' }
  | { readonly kind: 'unreadable'; readonly reason: string }

/** A record that ends at the place. */
export interface EndingRecord {
  readonly kind: 'record'
  /** undefined: it began before the pages that were read. */
  readonly startLsn: Lsn | undefined
  /** Of the record that pg_backup_stop writes: where the backup began. */
  readonly backupStartLsn: Lsn | undefined
}

export interface RecordEndPlace {
  readonly segment: WalSegmentHeader
  /** Of the segment's name. */
  readonly timeline: number
  readonly endLsn: Lsn
}

/**
 * The bytes of a segment in which a record that ends at `endLsn` is looked for: the page with its last byte and the one before, in
 * which a short record may begin. Relative to the segment.
 */
export function pagesBefore(
  endLsn: Lsn,
  { segmentBytes, walPageBytes }: Pick<WalSegmentHeader, 'segmentBytes' | 'walPageBytes'>,
): { readonly from: number; readonly to: number } {
  const at = Number((endLsn - 1n) % BigInt(segmentBytes))
  const lastPage = at - (at % walPageBytes)
  return { from: Math.max(0, lastPage - walPageBytes), to: lastPage + walPageBytes }
}

/** Looks for the record that ends at a place, in the pages that `pagesBefore` names. */
export function findRecordEnd(pages: Uint8Array, { segment, timeline, endLsn }: RecordEndPlace): RecordEnd {
  const { walPageBytes } = segment
  const lastPageLsn = endLsn - 1n - ((endLsn - 1n) % BigInt(walPageBytes))
  const firstLsn = lastPageLsn - BigInt(pages.length - walPageBytes)
  let ending: EndingRecord | undefined
  const reader: RecordReader = new RecordReader(segment, toLsn(firstLsn), timeline, {
    sink: (view, at, totalBytes) => {
      if (reader.endLsn !== endLsn) return
      const backupStartLsn = backupStartOf(view, at, totalBytes)
      ending = { kind: 'record', startLsn: reader.lastStartLsn, backupStartLsn }
    },
  })
  for (let at = 0; at < pages.length; at += walPageBytes) {
    if (!reader.readPage(pages.subarray(at, at + walPageBytes))) break
  }
  if (ending !== undefined) return ending
  if (reader.endLsn === endLsn) {
    // a switch record ends with its segment
    return { kind: 'record', startLsn: reader.lastStartLsn, backupStartLsn: undefined }
  }
  const view = new DataView(pages.buffer, pages.byteOffset + pages.length - walPageBytes, walPageBytes)
  const header = decodePageHeader(view, 0)
  if (header.pageLsn === lastPageLsn && beginOfRecords(header) === endLsn) {
    return { kind: 'record', startLsn: undefined, backupStartLsn: undefined }
  }
  if (endLsn % BigInt(segment.segmentBytes) === 0n && pages.every(byte => byte === 0))
    return { kind: 'switched' }
  const { stopReason } = reader
  if (stopReason === undefined || reader.isAtUnwritten) return { kind: 'between' }
  return { kind: 'unreadable', reason: stopReason }
}

/** Where the first record of a page begins: behind the end of one that goes on there. */
function beginOfRecords({ pageLsn, flags, remainingBytes }: WalPageHeader): bigint {
  const headerBytes = (flags & FLAG_LONG_HEADER) === 0 ? SHORT_HEADER_BYTES : LONG_HEADER_BYTES
  return pageLsn + BigInt((headerBytes + remainingBytes + 7) & ~7)
}

/** Of XLOG_BACKUP_END, whose data is the start of the backup; undefined for any other record. */
function backupStartOf(view: DataView, at: number, totalBytes: number): Lsn | undefined {
  if (view.getUint8(at + RMGR_AT) !== RMGR_XLOG || (view.getUint8(at + INFO_AT) & 0xf0) !== XLOG_BACKUP_END) {
    return undefined
  }
  const bytes = Math.min(totalBytes, view.byteLength - at)
  if (bytes < RECORD_HEADER_BYTES) return undefined
  const record = new DataView(view.buffer, view.byteOffset + at, bytes)
  const dataAt = mainDataAt(record)
  return dataAt === undefined || dataAt + 8 > bytes ? undefined : toLsn(record.getBigUint64(dataAt, true))
}
