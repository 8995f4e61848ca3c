import { DELTA_GROUP_SEGMENTS } from '../../../delta/map/delta-object.ts'
import { type Lsn, toLsn } from '../../../postgres/lsn.ts'
import { type TimelineHistory, timelineOfLsn } from '../../../postgres/timeline-history.ts'
import { formatSegmentName, type TimelineId, type WalSegment } from '../../../postgres/wal-segment.ts'

/** WAL from the start of the parent up to the start of the new backup, on the way that the cluster took. */
export interface WalRange {
  readonly beginLsn: Lsn
  readonly endLsn: Lsn
  /** On which `endLsn` lies. */
  readonly timeline: TimelineId
  /** null: the cluster never changed its timeline. */
  readonly history: TimelineHistory | null
}

/** A piece of a range that lies on one timeline. */
export interface TimelinePiece {
  readonly timeline: TimelineId
  readonly beginLsn: Lsn
  readonly endLsn: Lsn
}

/** Segments of one group of sixteen, as far as they are in the range. */
export interface SegmentGroup {
  /** First segment of the whole group: what its `_delta` object is named after. */
  readonly deltaName: string
  /** undefined: no such object can say what the group's part of the range changed, and little more. */
  readonly beginLsn: Lsn | undefined
  readonly names: readonly string[]
}

/** The range cut where the cluster changed its timeline. */
export function timelinePieces({ beginLsn, endLsn, timeline, history }: WalRange): TimelinePiece[] {
  const pieces: TimelinePiece[] = []
  let from = beginLsn
  for (const { parent, switchLsn } of history?.switches ?? []) {
    if (switchLsn <= from || switchLsn > endLsn) continue
    pieces.push({ timeline: parent, beginLsn: from, endLsn: switchLsn })
    from = switchLsn
  }
  if (from < endLsn) pieces.push({ timeline, beginLsn: from, endLsn })
  return pieces
}

/**
 * The segments to read, the one that holds the end included, by group. In the segment where a timeline was left, the file of the
 * newer one holds both: what was written before the switch is copied into it.
 */
export function segmentGroups(range: WalRange, segmentBytes: number): SegmentGroup[] {
  const size = BigInt(segmentBytes)
  const count = BigInt(DELTA_GROUP_SEGMENTS)
  const first = range.beginLsn / size
  const last = range.endLsn / size
  const segmentAt = (number: bigint): WalSegment => ({ number, timeline: timelineOf(range, number, size) })
  const groups: SegmentGroup[] = []
  for (let begin = first - (first % count); begin <= last; begin += count) {
    const numbers: bigint[] = []
    for (let number = begin; number < begin + count; number++) {
      if (number >= first && number <= last) numbers.push(number)
    }
    const segments = numbers.map(segmentAt)
    const { timeline } = segments.at(-1)!
    // one that begins long before the range names blocks that have not changed in it, one that goes on behind it is not complete
    // in the archive, one of two timelines is nobody's
    const isInside = begin >= first && begin + count <= last
    const isPossible = isInside && segments.every(one => one.timeline === timeline)
    groups.push({
      deltaName: formatSegmentName({ number: begin, timeline }, segmentBytes),
      beginLsn: isPossible ? toLsn(begin * size) : undefined,
      names: segments.map(one => formatSegmentName(one, segmentBytes)),
    })
  }
  return groups
}

function timelineOf({ endLsn, timeline, history }: WalRange, number: bigint, size: bigint): TimelineId {
  if (history === null) return timeline
  const lastLsn = (number + 1n) * size - 1n
  return lastLsn >= endLsn ? timeline : timelineOfLsn(history, toLsn(lastLsn))
}
