import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { seed } from '../../../test/support/seeded-random.ts'
import { toBackupName } from '../../repository/backup-name.ts'
import { planWork, type VerifiedObject, type WorkItem, type WorkLimits } from './plan-work.ts'

const DAY_MS = 86_400_000
const NOW = 1_000n * 86_400_000_000_000n
const LIMITS: WorkLimits = { isIncremental: false, maxAgeMs: null, percent: 100, nowNs: NOW }

function item(key: string, sizeBytes = 10, modifiedNs = 1n): WorkItem {
  return { kind: 'part', key, sizeBytes, modifiedNs, backups: [toBackupName('base_1')] }
}

function known(one: WorkItem, daysAgo: number): VerifiedObject {
  const { sizeBytes, modifiedNs } = one
  return { sizeBytes, modifiedNs, verifiedNs: NOW - BigInt(daysAgo) * 86_400_000_000_000n }
}

const keys = (items: readonly WorkItem[]): string[] => items.map(({ key }) => key)

describe('what verify reads', () => {
  const [a, b, c] = [item('a'), item('b'), item('c')]

  test('is everything, unless something else is asked for', () => {
    const plan = planWork([a, b, c], new Map([['a', known(a, 1)]]), LIMITS)
    expect(keys(plan.read)).toEqual(['a', 'b', 'c'])
  })

  test('leaves alone what is known to be good and unchanged, and only that', () => {
    const verified = new Map([
      ['a', known(a, 1)],
      ['b', known(item('b', 11), 1)],
      ['c', known(item('c', 10, 2n), 1)],
    ])
    const plan = planWork([a, b, c], verified, { ...LIMITS, isIncremental: true })
    expect(keys(plan.read)).toEqual(['b', 'c'])
    expect(keys(plan.trusted)).toEqual(['a'])
  })

  test('reads again what was found good longer ago than the age', () => {
    const verified = new Map([
      ['a', known(a, 40)],
      ['b', known(b, 20)],
    ])
    const plan = planWork([a, b, c], verified, { ...LIMITS, isIncremental: true, maxAgeMs: 30 * DAY_MS })
    expect(keys(plan.read)).toEqual(['a', 'c'])
  })

  test('is a share, of what was never read first and then of what was read longest ago', () => {
    const verified = new Map([
      ['a', known(a, 3)],
      ['b', known(b, 9)],
    ])
    expect(keys(planWork([a, b, c], verified, { ...LIMITS, percent: 30 }).read)).toEqual(['c'])
    expect(keys(planWork([a, b, c], verified, { ...LIMITS, percent: 50 }).read)).toEqual(['b', 'c'])
  })
})

test('runs of a share come round to everything, whatever the sizes', () => {
  fc.assert(
    fc.property(
      fc.array(fc.integer({ min: 0, max: 1000 }), { minLength: 1, maxLength: 40 }),
      fc.integer({ min: 1, max: 100 }),
      (sizes, percent) => {
        const items = sizes.map((size, at) => item(String(at), size))
        const verified = new Map<string, VerifiedObject>()
        const runsMax = items.length
        for (let run = 1; run <= runsMax; run += 1) {
          const plan = planWork(items, verified, { ...LIMITS, percent })
          expect(plan.read.length).toBeGreaterThan(0)
          expect(plan.read.length + plan.trusted.length + plan.left.length).toBe(items.length)
          for (const each of plan.read) verified.set(each.key, { ...known(each, 0), verifiedNs: BigInt(run) })
        }
        expect(verified.size).toBe(items.length)
      },
    ),
    { seed, numRuns: 100 },
  )
})
