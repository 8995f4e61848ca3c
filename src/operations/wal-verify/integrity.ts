import type { TimelineHistory } from '../../postgres/timeline-history.ts'
import { segmentOfLsn, type TimelineId, type WalSegment } from '../../postgres/wal-segment.ts'

export type SegmentStatus = 'FOUND' | 'MISSING_DELAYED' | 'MISSING_UPLOADING' | 'MISSING_LOST'
export type CheckStatus = 'OK' | 'WARNING' | 'FAILURE'

/** Neighbouring segments of one timeline and one status, `first` and `last` included. */
export interface SegmentRun {
  readonly timeline: TimelineId
  first: bigint
  readonly last: bigint
  readonly status: SegmentStatus
}

export interface IntegrityScan {
  /** Where PostgreSQL writes now; the scan begins just before it. */
  readonly current: WalSegment
  /** The oldest segment that must be there. */
  readonly stopNumber: bigint
  /** No backup tells where to stop: what is missing before the first found segment is only a warning. */
  readonly isLenient: boolean
  readonly history: TimelineHistory | null
  readonly segmentBytes: number
  readonly delayedMax: number
  readonly uploadingMax: number
  has(timeline: TimelineId, number: bigint): boolean
}

/** Walks from the newest segment down; returns runs in ascending order. Pure. */
export function scanIntegrity(scan: IntegrityScan): {
  readonly status: CheckStatus
  readonly runs: SegmentRun[]
} {
  const runs: SegmentRun[] = []
  let timeline = scan.current.timeline
  let delayedLeft = scan.delayedMax
  let uploadingLeft = scan.uploadingMax
  for (let number = scan.current.number - 1n; number >= scan.stopNumber; number -= 1n) {
    timeline = timelineAt(scan, timeline, number)
    const isFound = scan.has(timeline, number)
    let missing: SegmentStatus = 'MISSING_LOST'
    if (delayedLeft > 0) {
      missing = 'MISSING_DELAYED'
      delayedLeft = isFound ? 0 : delayedLeft - 1
    } else if (uploadingLeft > 0) {
      missing = 'MISSING_UPLOADING'
      uploadingLeft -= 1
    }
    const status = isFound ? 'FOUND' : missing
    const run = runs.at(-1)
    if (run !== undefined && run.timeline === timeline && run.status === status) run.first = number
    else runs.push({ timeline, first: number, last: number, status })
  }
  runs.reverse()
  return { status: statusOf(runs, scan.isLenient), runs }
}

/** Below a switch the parent's segments count; in the segment of the switch only when the child's is not there. */
function timelineAt(scan: IntegrityScan, timeline: TimelineId, number: bigint): TimelineId {
  let at = timeline
  for (const { parent, switchLsn } of (scan.history?.switches ?? []).toReversed()) {
    if (parent >= at) continue
    const { number: switchNumber } = segmentOfLsn(parent, switchLsn, scan.segmentBytes)
    if (number > switchNumber || (number === switchNumber && scan.has(at, number))) break
    at = parent
  }
  return at
}

function statusOf(runs: readonly SegmentRun[], isLenient: boolean): CheckStatus {
  const firstFound = runs.findIndex(({ status }) => status === 'FOUND')
  const isLost = runs.some(
    ({ status }, at) => status === 'MISSING_LOST' && !(isLenient && (firstFound < 0 || at < firstFound)),
  )
  if (isLost) return 'FAILURE'
  return runs.some(({ status }) => status !== 'FOUND') ? 'WARNING' : 'OK'
}
