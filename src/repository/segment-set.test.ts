import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { seed } from '../../test/support/seeded-random.ts'
import { toTimelineId } from '../postgres/wal-segment.ts'
import { SegmentSet } from './segment-set.ts'

test('holds what a set of bigints holds, in whatever order it comes', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.integer({ min: 1, max: 3 }), fc.bigInt({ min: 0n, max: 40n })), {
        maxLength: 3000,
      }),
      fc.array(fc.bigInt({ min: 0n, max: 1n << 44n }), { maxLength: 5 }),
      (pairs, large) => {
        const set = new SegmentSet()
        const model = new Map<number, Set<bigint>>()
        for (const [timeline, number] of [...pairs, ...large.map(each => [2, each] as const)]) {
          set.add(toTimelineId(timeline), number)
          model.set(timeline, (model.get(timeline) ?? new Set()).add(number))
        }
        expect(set.timelines.map(Number)).toEqual([...model.keys()].sort((left, right) => left - right))
        for (const timeline of [1, 2, 3]) {
          const known = model.get(timeline) ?? new Set<bigint>()
          const sorted = [...known].sort((left, right) => (left < right ? -1 : 1))
          expect([...set.sorted(toTimelineId(timeline))]).toEqual(sorted)
          for (const number of [0n, 20n, 40n, 41n, ...large]) {
            expect(set.has(toTimelineId(timeline), number)).toBe(known.has(number))
          }
        }
      },
    ),
    { seed, numRuns: 100 },
  )
})
