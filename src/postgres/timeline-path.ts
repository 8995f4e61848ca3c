import type { Lsn } from './lsn.ts'
import type { TimelineHistory } from './timeline-history.ts'
import { segmentOfLsn, type TimelineId } from './wal-segment.ts'

/** A stretch of WAL on one timeline. */
export interface TimelineSpan {
  readonly timeline: TimelineId
  readonly beginLsn: Lsn
  /** First position that belongs to the next span; null for the last one, which goes on. */
  readonly endLsn: Lsn | null
}

/** The spans that lead to the timeline of a history, oldest first; the last one is that timeline itself. */
export function timelineSpans(history: TimelineHistory): readonly TimelineSpan[] {
  let beginLsn = 0n as Lsn
  const spans = history.switches.map(({ parent, switchLsn }): TimelineSpan => {
    const span = { timeline: parent, beginLsn, endLsn: switchLsn }
    beginLsn = switchLsn
    return span
  })
  return [...spans, { timeline: history.timeline, beginLsn, endLsn: null }]
}

/** True when WAL of `timeline` up to `lsn` belongs to the path. */
export function isOnPath(spans: readonly TimelineSpan[], timeline: TimelineId, lsn: Lsn): boolean {
  const span = spans.find(each => each.timeline === timeline)
  return span !== undefined && (span.endLsn === null || lsn <= span.endLsn)
}

/**
 * The timelines whose file of the segment `number` recovery may read, the first that exists counts: newest first, as
 * PostgreSQL tries them. The segment of a switch exists on both sides; a child's file holds the parent's part, too.
 */
export function timelinesOfSegment(
  spans: readonly TimelineSpan[],
  number: bigint,
  segmentBytes: number,
): readonly TimelineId[] {
  return spans
    .filter(({ timeline, beginLsn, endLsn }) => {
      if (segmentOfLsn(timeline, beginLsn, segmentBytes).number > number) return false
      if (endLsn === null) return true
      return endLsn > 0n && segmentOfLsn(timeline, (endLsn - 1n) as Lsn, segmentBytes).number >= number
    })
    .map(({ timeline }) => timeline)
    .reverse()
}

/**
 * Up to where two clusters have the same WAL: the end of the last span that both began at the same place. Undefined when they
 * have nothing in common. An LSN that neither has left is null: one is the ancestor of the other, and still goes on.
 */
export function lastCommonLsn(
  left: readonly TimelineSpan[],
  right: readonly TimelineSpan[],
): Lsn | null | undefined {
  let common: Lsn | null | undefined
  for (const [index, span] of left.entries()) {
    const other = right[index]
    if (other === undefined || other.timeline !== span.timeline || other.beginLsn !== span.beginLsn) break
    const ends = [span.endLsn, other.endLsn].filter(lsn => lsn !== null)
    common = ends.length === 0 ? null : ends.reduce((least, lsn) => (lsn < least ? lsn : least))
  }
  return common
}
