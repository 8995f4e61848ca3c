import { describe, expect, test } from 'bun:test'
import { toLsn } from '../../postgres/lsn.ts'
import { toTimelineId } from '../../postgres/wal-segment.ts'
import { type IntegrityScan, scanIntegrity } from './integrity.ts'

const SEGMENT_BYTES = 16 << 20
const history = {
  timeline: toTimelineId(2),
  switches: [{ parent: toTimelineId(1), switchLsn: toLsn(5 * SEGMENT_BYTES + 99), reason: '' }],
}

/** Segments as `timeline/number`; the server writes segment 9 of timeline 2. */
function scan(present: readonly string[], more: Partial<IntegrityScan> = {}) {
  const { status, runs } = scanIntegrity({
    current: { timeline: toTimelineId(2), number: 9n },
    stopNumber: 3n,
    isLenient: false,
    history,
    segmentBytes: SEGMENT_BYTES,
    delayedMax: 0,
    uploadingMax: 0,
    has: (timeline, number) => present.includes(`${timeline}/${number}`),
    ...more,
  })
  return { status, runs: runs.map(run => `${run.timeline}/${run.first}-${run.last} ${run.status}`) }
}

describe('the integrity check', () => {
  test('follows the history down, and takes the segment of the switch from the child where it has it', () => {
    const newer = ['2/6', '2/7', '2/8']
    expect(scan(['1/3', '1/4', '1/5', '2/5', ...newer])).toEqual({
      status: 'OK',
      runs: ['1/3-4 FOUND', '2/5-8 FOUND'],
    })
    expect(scan(['1/3', '1/4', '1/5', ...newer]).runs).toEqual(['1/3-5 FOUND', '2/6-8 FOUND'])
  })

  test('a segment that is missing is lost, unless it may still be on its way', () => {
    const present = ['1/3', '1/4', '2/5', '2/7']
    expect(scan(present)).toEqual({
      status: 'FAILURE',
      runs: ['1/3-4 FOUND', '2/5-5 FOUND', '2/6-6 MISSING_LOST', '2/7-7 FOUND', '2/8-8 MISSING_LOST'],
    })
    expect(scan(present, { delayedMax: 2, uploadingMax: 1 })).toEqual({
      status: 'WARNING',
      runs: ['1/3-4 FOUND', '2/5-5 FOUND', '2/6-6 MISSING_UPLOADING', '2/7-7 FOUND', '2/8-8 MISSING_DELAYED'],
    })
  })

  test('without a backup to begin from, what is missing before the first segment is a warning', () => {
    const present = ['2/6', '2/7', '2/8']
    expect(scan(present, { isLenient: true, stopNumber: 1n }).status).toBe('WARNING')
    expect(scan(['2/6', '2/8'], { isLenient: true, stopNumber: 1n }).status).toBe('FAILURE')
  })
})
