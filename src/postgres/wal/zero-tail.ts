import { formatLsn, toLsn } from '../lsn.ts'
import { firstLsnOf } from '../wal-segment.ts'
import type { SegmentReport } from './page-reader.ts'
import { RecordReader } from './record-reader.ts'
import type { ReadSegment, UnsoundTail } from './segment-tail.ts'
import { decodeSegmentHeader, LONG_HEADER_BYTES } from './wal-page.ts'

/**
 * Judges zeros at the end of a sound segment, where `endsInZeros` says so. PostgreSQL fills a segment with them when it makes
 * the file, and leaves them behind a switch record: behind any other one the server had not written the segment to its end when it stopped.
 * Undefined: the segment is finished.
 */
export function judgeZeroTail(report: SegmentReport, read: ReadSegment): UnsoundTail | undefined {
  const { walPageBytes = 0, usedBytes } = report
  // a record that is short begins in the last page or the one before; what those two do not prove, the whole segment does
  const near = Math.max(0, usedBytes - 2 * walPageBytes)
  if (isFinished(report, read, near).isFinished) return undefined
  const { isFinished: isWhole, endLsn } = isFinished(report, read, 0)
  if (isWhole) return undefined
  const firstLsn = firstLsnOf(report.name, report.segmentBytes!)!
  const soundBytes = endLsn === undefined ? usedBytes : Number(endLsn - firstLsn)
  const told = formatLsn(toLsn(firstLsn + BigInt(soundBytes)))
  return {
    isUnfinished: true,
    soundBytes,
    endLsn: told,
    message: `is written up to byte ${soundBytes} only (LSN ${told}), zeros follow`,
  }
}

interface Reading {
  readonly isFinished: boolean
  /** Of the last good record. */
  readonly endLsn: bigint | undefined
}

/** Reads records from the page at `from` on, up to the zeros. */
function isFinished(report: SegmentReport, read: ReadSegment, from: number): Reading {
  const { name, usedBytes, sizeBytes, segmentBytes, walPageBytes } = report
  const head = new Uint8Array(LONG_HEADER_BYTES)
  read(head, 0)
  const segment = decodeSegmentHeader(new DataView(head.buffer), 0)
  const firstLsn = firstLsnOf(name, segmentBytes!)!
  if (segment === undefined) return { isFinished: false, endLsn: undefined }
  const timeline = Number.parseInt(name.slice(0, 8), 16)
  const reader = new RecordReader(segment, toLsn(firstLsn + BigInt(from)), timeline)
  const page = new Uint8Array(walPageBytes!)
  for (let at = from; at < usedBytes; at += page.length) {
    read(page, at)
    if (!reader.readPage(page)) break
  }
  const { endLsn } = reader
  const isAtEnd = endLsn === firstLsn + BigInt(segmentBytes!)
  return { isFinished: isAtEnd || (usedBytes === sizeBytes && !reader.isAtUnwritten), endLsn }
}
