import { formatLsn, toLsn } from '../lsn.ts'
import { firstLsnOf } from '../wal-segment.ts'
import type { SegmentReport } from './page-reader.ts'

/** A segment file that begins as its name says and does not go on so. */
export interface UnsoundTail {
  /**
   * True: the server had not written the segment to its end when it stopped; the file was new, or recycled under this name. PostgreSQL takes
   * the place for the end of WAL.
   */
  readonly isUnfinished: boolean
  /** Bytes of WAL from the beginning on. */
  readonly soundBytes: number
  /** Where that WAL ends, as PostgreSQL writes it. */
  readonly endLsn: string
  /** What was found there, lower case, without the name. */
  readonly message: string
}

/** Reads bytes of a segment from a position on, as many as `into` takes. */
export type ReadSegment = (into: Uint8Array, positionBytes: number) => void

const END_BYTES = 8

/** True when a sound segment has zeros at its end: `judgeZeroTail` tells whether it is finished. */
export function endsInZeros(report: SegmentReport, read: ReadSegment): boolean {
  const { fault, sizeBytes, segmentBytes, usedBytes, majorVersion } = report
  // of a server newer than known nothing is claimed
  if (fault !== undefined || sizeBytes !== segmentBytes || usedBytes === 0 || majorVersion === undefined)
    return false
  if (usedBytes < sizeBytes) return true
  const end = new Uint8Array(END_BYTES)
  read(end, sizeBytes - END_BYTES)
  return end.every(byte => byte === 0)
}

/**
 * Judges what comes behind a segment's head, of which `judgeSegmentHead` tells. Undefined: nothing wrong, but for zeros at the
 * end, of which `endsInZeros` tells.
 */
export function judgeSegmentTail({
  name,
  segmentBytes,
  sizeBytes,
  fault,
}: SegmentReport): UnsoundTail | undefined {
  if (fault === undefined || segmentBytes === undefined || fault.kind === 'size') return undefined
  const soundBytes = fault.offsetBytes
  const firstLsn = firstLsnOf(name, segmentBytes)
  if (firstLsn === undefined || (soundBytes === 0 && fault.kind !== 'timeline')) return undefined
  const endLsn = formatLsn(toLsn(firstLsn + BigInt(soundBytes)))
  const isUnfinished = fault.kind === 'stale' && sizeBytes === segmentBytes
  const message = isUnfinished
    ? `is written up to byte ${soundBytes} only (LSN ${endLsn}), pages of an older segment follow`
    : `is damaged from byte ${soundBytes} on (LSN ${endLsn}): it ${fault.message.replace(/^WAL segment \S+ /, '')}`
  return { isUnfinished, soundBytes, endLsn, message }
}
