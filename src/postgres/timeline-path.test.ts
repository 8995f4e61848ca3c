import { describe, expect, test } from 'bun:test'
import { type Lsn, toLsn } from './lsn.ts'
import { isOnPath, lastCommonLsn, timelineSpans, timelinesOfSegment } from './timeline-path.ts'
import { type TimelineId, toTimelineId } from './wal-segment.ts'

const BYTES = 16 << 20
const at = (segment: number, offset = 0): Lsn => toLsn(segment * BYTES + offset)
const history = (timeline: number, ...switches: readonly (readonly [number, Lsn])[]) =>
  timelineSpans({
    timeline: toTimelineId(timeline),
    switches: switches.map(([parent, switchLsn]) => ({
      parent: toTimelineId(parent),
      switchLsn,
      reason: '',
    })),
  })
const three = history(3, [1, at(5, 99)], [2, at(8)])
const one = toTimelineId(1)
const two = toTimelineId(2)

describe('the way to a timeline', () => {
  test('has the parts of its ancestors before the switches away from them', () => {
    expect(isOnPath(three, one, at(5, 99))).toBe(true)
    expect(isOnPath(three, one, at(5, 100))).toBe(false)
    expect(isOnPath(three, toTimelineId(3), at(100))).toBe(true)
    expect(isOnPath(three, toTimelineId(4), at(1))).toBe(false)
  })

  test('in the segment of a switch both files will do, the newer first; at its border only one', () => {
    const timelines = (number: bigint): readonly TimelineId[] => timelinesOfSegment(three, number, BYTES)
    expect(timelines(4n)).toEqual([one])
    expect(timelines(5n)).toEqual([two, one])
    expect(timelines(7n)).toEqual([two])
    expect(timelines(8n)).toEqual([toTimelineId(3)])
  })

  test('two clusters have the same WAL up to the first switch that one of them made alone', () => {
    const other = history(2, [1, at(4)])
    expect(lastCommonLsn(three, other)).toBe(at(4))
    expect(lastCommonLsn(history(1), three)).toBe(at(5, 99))
    expect(lastCommonLsn(history(1), history(1))).toBeNull()
    expect(lastCommonLsn(history(7), history(8))).toBeUndefined()
  })
})
