import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import {
  hourNs,
  type MadeBackup,
  madeBackup,
  madeInventory,
  planOptions,
  walName,
} from '../../../test/support/made-inventory.ts'
import { seed } from '../../../test/support/seeded-random.ts'
import type { Inventory, InventoryBackup } from './inventory.ts'
import type { DeletePlan } from './plan.ts'
import { planPolicy } from './plan-policy.ts'
import { type CALENDAR_UNITS, calendarPeriod, type RetentionPolicy } from './policy.ts'

const NOW = 1000
const HOUR_MS = 3_600_000
const options = planOptions(NOW)

const NOTHING: RetentionPolicy = {
  fulls: null,
  ageMs: null,
  windowMs: null,
  calendar: { hourly: 0, daily: 0, weekly: 0, monthly: 0, yearly: 0 },
  userData: [],
}

function policy(given: Partial<Omit<RetentionPolicy, 'calendar'>>, calendar = {}): RetentionPolicy {
  return { ...NOTHING, ...given, calendar: { ...NOTHING.calendar, ...calendar } }
}

function kept(inventory: Inventory, wanted: RetentionPolicy): string[] {
  const plan = planPolicy(inventory, wanted, options)
  return (plan?.keepBackups ?? []).map(({ backup }) => backup)
}

function keptWal(inventory: Inventory, plan: DeletePlan): string[] {
  const gone = new Set([...plan.remove].map(({ key }) => key))
  const wal = [...inventory.objects].filter(({ key }) => key.startsWith('wal_005/') && !gone.has(key))
  return wal.map(({ key }) => key.slice('wal_005/'.length, -'.lz4'.length))
}

/** A full a day at noon, from 1970-01-01 on. */
const days = (count: number): InventoryBackup[] =>
  Array.from({ length: count }, (_, day) => madeBackup({ hour: day * 24 + 12, segment: 10 + day * 10 }))

describe('a retention policy', () => {
  test('keeps the newest full backups and everything since the oldest of them', () => {
    const [first, second, third] = days(3) as [InventoryBackup, InventoryBackup, InventoryBackup]
    const delta = madeBackup({ hour: 70, segment: 35, base: third.name })
    const inventory = madeInventory([first, second, third, delta], [])
    expect(kept(inventory, policy({ fulls: 2 }))).toEqual([second.name, third.name, delta.name])
    expect(kept(inventory, policy({ fulls: 9 }))).toHaveLength(4)
  })

  test('keeps what is younger than the age, and the newest backup however old it is', () => {
    const backups = days(10)
    const inventory = madeInventory(backups, [])
    const newest = backups.at(-1)!
    expect(kept(inventory, policy({ ageMs: HOUR_MS }))).toEqual([newest.name])
    const ageMs = (NOW - 7 * 24 - 12) * HOUR_MS
    expect(kept(inventory, policy({ ageMs }))).toEqual(backups.slice(7).map(({ name }) => name))
  })

  test('keeps the newest backup that had ended when the window begins, and all WAL since', () => {
    const backups = days(4)
    const wal = Array.from({ length: 45 }, (_, segment) => [1, segment, segment * 2.4] as const)
    const inventory = madeInventory(backups, wal)
    // The backup of day 2 begins at hour 60 and ends at hour 60.1.
    const inside = policy({ windowMs: (NOW - 60.05) * HOUR_MS })
    expect(kept(inventory, inside)).toEqual(backups.slice(1).map(({ name }) => name))
    const after = policy({ windowMs: (NOW - 60.2) * HOUR_MS })
    expect(kept(inventory, after)).toEqual(backups.slice(2).map(({ name }) => name))
    expect(keptWal(inventory, planPolicy(inventory, after, options)!)[0]).toBe(walName(1, 30))
  })

  test('keeps everything when the window is older than the oldest backup', () => {
    const inventory = madeInventory(days(4), [])
    expect(kept(inventory, policy({ windowMs: 2 * NOW * HOUR_MS }))).toHaveLength(4)
  })

  test('keeps the newest of each calendar period, with no more WAL than starts it', () => {
    const backups = days(40)
    const wal = Array.from({ length: 410 }, (_, segment) => [1, segment, segment * 2.4] as const)
    const inventory = madeInventory(backups, wal)
    const plan = planPolicy(inventory, policy({}, { weekly: 3, monthly: 2 }), options)!
    // Day 39 is a Monday, the days 38 and 31 are Sundays; January ends with day 30.
    const expected = [30, 31, 38, 39].map(day => backups[day]!.name)
    expect(plan.keepBackups.map(({ backup }) => backup)).toEqual(expected)
    expect(keptWal(inventory, plan).filter(name => name < walName(1, 400))).toEqual(
      [310, 320, 390].map(segment => walName(1, segment)),
    )
  })

  test('keeps backups by their user data, compared as JSON', () => {
    const marked = madeBackup({ hour: 1, segment: 2, userData: '{"a":1,"keep":true}' })
    const other = madeBackup({ hour: 2, segment: 4, userData: '{"a":2}' })
    const newest = madeBackup({ hour: 3, segment: 6 })
    const inventory = madeInventory([marked, other, newest], [])
    expect(kept(inventory, policy({ userData: ['{ "keep": true, "a": 1 }'] }))).toEqual([
      marked.name,
      newest.name,
    ])
  })

  test('counts no broken backup, and plans nothing when nothing can be restored', () => {
    const good = madeBackup({ hour: 1, segment: 2 })
    const broken = madeBackup({ hour: 2, segment: 4, isBroken: true })
    expect(kept(madeInventory([good, broken], []), policy({ fulls: 1 }))).toEqual([good.name, broken.name])
    expect(planPolicy(madeInventory([broken], []), policy({ fulls: 1 }), options)).toBeNull()
  })

  test('keeps the chain of a delta that a rule keeps', () => {
    const full = madeBackup({ hour: 1, segment: 2 })
    const middle = madeBackup({ hour: 30, segment: 4, base: full.name })
    const delta = madeBackup({ hour: 31, segment: 6, base: middle.name, full: full.name })
    const newest = madeBackup({ hour: 90, segment: 8 })
    const inventory = madeInventory([full, middle, delta, newest], [])
    expect(kept(inventory, policy({}, { daily: 2 }))).toHaveLength(4)
  })
})

test('periods of the calendar begin with the hour, the day, Monday, the month and the year of UTC', () => {
  const at = (text: string): bigint => BigInt(Date.parse(text)) * 1_000_000n
  const isSame = (unit: (typeof CALENDAR_UNITS)[number], left: string, right: string): boolean =>
    calendarPeriod(at(left), unit) === calendarPeriod(at(right), unit)
  expect(isSame('hourly', '2026-03-01T10:00:00Z', '2026-03-01T10:59:59Z')).toBe(true)
  expect(isSame('hourly', '2026-03-01T10:59:59Z', '2026-03-01T11:00:00Z')).toBe(false)
  expect(isSame('weekly', '2026-11-22T23:59:59Z', '2026-11-23T00:00:00Z')).toBe(false)
  expect(isSame('weekly', '2026-11-23T00:00:00Z', '2026-11-29T23:59:59Z')).toBe(true)
  expect(isSame('monthly', '2025-12-31T23:59:59Z', '2026-01-01T00:00:00Z')).toBe(false)
  expect(isSame('yearly', '2026-01-01T00:00:00Z', '2026-12-31T23:59:59Z')).toBe(true)
})

describe('whatever the repository and the policy', () => {
  const steps = fc.array(
    fc.record({
      gapHours: fc.integer({ min: 1, max: 40 }),
      gapSegments: fc.integer({ min: 1, max: 5 }),
      isDelta: fc.boolean(),
      isBroken: fc.integer({ min: 0, max: 9 }).map(roll => roll === 0),
      isPermanent: fc.integer({ min: 0, max: 9 }).map(roll => roll === 0),
      userData: fc.constantFrom(null, '1', '2'),
    }),
    { minLength: 1, maxLength: 25 },
  )
  const inventories = steps.map(made => {
    const backups: InventoryBackup[] = []
    let hour = 0
    let segment = 2
    let full: InventoryBackup | undefined
    for (const step of made) {
      hour += step.gapHours
      segment += step.gapSegments
      const parent = step.isDelta && full !== undefined ? backups.at(-1) : undefined
      const more: Partial<MadeBackup> = {
        ...(parent === undefined ? {} : { base: parent.name, full: full!.name }),
        ...(step.userData === null ? {} : { userData: step.userData }),
      }
      const backup = madeBackup({ ...step, ...more, hour, segment } as MadeBackup)
      if (parent === undefined) full = backup
      backups.push(backup)
    }
    const wal = Array.from({ length: segment + 4 }, (_, at) => [1, at, at * 3] as const)
    return madeInventory(backups, wal)
  })
  const spans = fc.option(fc.integer({ min: 1, max: 1200 }).map(hours => hours * HOUR_MS))
  const count = fc.integer({ min: 0, max: 5 })
  const policies: fc.Arbitrary<RetentionPolicy> = fc.record({
    fulls: fc.option(fc.integer({ min: 1, max: 6 })),
    ageMs: spans,
    windowMs: spans,
    calendar: fc.record({ hourly: count, daily: count, weekly: count, monthly: count, yearly: count }),
    userData: fc.subarray(['1', '2']),
  })
  const goodOf = ({ backups }: Inventory): InventoryBackup[] =>
    backups.filter(({ damage }) => damage === null)

  test('no chain is broken, and each kept backup has the WAL to start', () => {
    fc.assert(
      fc.property(inventories, policies, (inventory, wanted) => {
        const plan = planPolicy(inventory, wanted, options)
        if (plan === null) {
          expect(goodOf(inventory)).toEqual([])
          return
        }
        const names = new Set<string>(plan.keepBackups.map(({ backup }) => backup))
        expect(names.has(goodOf(inventory).at(-1)!.name)).toBe(true)
        const gone = new Set([...plan.remove].map(({ key }) => key))
        for (const backup of inventory.backups) {
          const isKept = names.has(backup.name)
          expect(gone.has(`basebackups_005/${backup.name}_backup_stop_sentinel.json`)).toBe(!isKept)
          if (!isKept) {
            expect(backup.isPermanent).toBe(false)
            continue
          }
          for (const base of backup.bases) expect(names.has(base)).toBe(true)
          expect(gone.has(`wal_005/${backup.walFile}.lz4`)).toBe(false)
        }
      }),
      { seed, numRuns: 300 },
    )
  })

  test('from the target on all WAL stays, and before it none that no kept backup starts with', () => {
    fc.assert(
      fc.property(inventories, policies, (inventory, wanted) => {
        const plan = planPolicy(inventory, wanted, options)
        if (plan === null) return
        const target = inventory.backups.find(({ name }) => name === plan.target)!
        const names = new Set<string>(plan.keepBackups.map(({ backup }) => backup))
        const starts = new Set(
          inventory.backups.filter(({ name }) => names.has(name)).map(({ walFile }) => walFile),
        )
        const stays = new Set(keptWal(inventory, plan))
        for (const { key } of inventory.objects) {
          if (!key.startsWith('wal_005/')) continue
          const name = key.slice('wal_005/'.length, -'.lz4'.length)
          expect(stays.has(name)).toBe(name >= target.walFile || starts.has(name))
        }
      }),
      { seed, numRuns: 300 },
    )
  })

  test('a more generous policy never keeps less', () => {
    const more = (wanted: RetentionPolicy, extra: RetentionPolicy): RetentionPolicy => {
      const larger = (left: number | null, right: number | null): number | null =>
        left === null || right === null ? (left ?? right) : Math.max(left, right)
      return {
        fulls: larger(wanted.fulls, extra.fulls),
        ageMs: larger(wanted.ageMs, extra.ageMs),
        windowMs: larger(wanted.windowMs, extra.windowMs),
        calendar: {
          hourly: Math.max(wanted.calendar.hourly, extra.calendar.hourly),
          daily: Math.max(wanted.calendar.daily, extra.calendar.daily),
          weekly: Math.max(wanted.calendar.weekly, extra.calendar.weekly),
          monthly: Math.max(wanted.calendar.monthly, extra.calendar.monthly),
          yearly: Math.max(wanted.calendar.yearly, extra.calendar.yearly),
        },
        userData: [...new Set([...wanted.userData, ...extra.userData])],
      }
    }
    fc.assert(
      fc.property(inventories, policies, policies, (inventory, wanted, extra) => {
        const strict = planPolicy(inventory, wanted, options)
        const generous = planPolicy(inventory, more(wanted, extra), options)
        const gone = new Set([...(strict?.remove ?? [])].map(({ key }) => key))
        for (const { key } of generous?.remove ?? []) expect(gone.has(key)).toBe(true)
      }),
      { seed, numRuns: 300 },
    )
  })

  test('applied twice it removes nothing more', () => {
    fc.assert(
      fc.property(inventories, policies, (inventory, wanted) => {
        const plan = planPolicy(inventory, wanted, options)
        if (plan === null) return
        const gone = new Set([...plan.remove].map(({ key }) => key))
        const names = new Set<string>(plan.keepBackups.map(({ backup }) => backup))
        const left: Inventory = {
          ...inventory,
          backups: inventory.backups.filter(({ name }) => names.has(name)),
          objects: [...inventory.objects].filter(({ key }) => !gone.has(key)),
        }
        expect([...(planPolicy(left, wanted, options)?.remove ?? [])]).toEqual([])
      }),
      { seed, numRuns: 200 },
    )
  })
})

test('hours of the fixture are what the tests count with', () => {
  expect(hourNs(NOW)).toBe(options.nowNs)
})
