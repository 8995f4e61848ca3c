import { formatLsn, toLsn } from '../lsn.ts'
import { firstLsnOf } from '../wal-segment.ts'
import type { SegmentReport } from './page-reader.ts'

/** A segment file that begins as its name says and does not go on so. */
export interface UnsoundTail {
  /**
   * True: the file was recycled under this name, and the server had not written it to its end when it stopped. PostgreSQL takes the
   * place for the end of WAL.
   */
  readonly isUnfinished: boolean
  /** Bytes of WAL from the beginning on. */
  readonly soundBytes: number
  /** Where that WAL ends, as PostgreSQL writes it. */
  readonly endLsn: string
  /** What was found there, lower case, without the name. */
  readonly message: string
}

/**
 * Judges what comes behind a segment's head, of which `judgeSegmentHead` tells. Undefined: nothing wrong; zeros at the end
 * are not, for that is how PostgreSQL fills a segment after a switch.
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
