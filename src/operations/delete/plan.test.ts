import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import {
  hourNs,
  madeBackup,
  madeInventory,
  planOptions,
  SEGMENT_BYTES,
  walName,
} from '../../../test/support/made-inventory.ts'
import { seed } from '../../../test/support/seeded-random.ts'
import { chooseBefore, chooseMeant, chooseRetained } from './choose-target.ts'
import type { Inventory, InventoryBackup } from './inventory.ts'
import type { DeletePlan } from './plan.ts'
import { planBefore } from './plan-kept.ts'
import { planEverything, planGarbage, planTarget } from './plan-others.ts'
import type { DeleteRequest } from './request.ts'

const NOW = 1000
const options = planOptions(NOW)

function retain(
  inventory: Inventory,
  count: number,
  modifier: 'FULL' | 'FIND_FULL' | null = null,
  after: Extract<DeleteRequest, { kind: 'retain' }>['after'] = null,
): DeletePlan | null {
  const target = chooseRetained(inventory, { kind: 'retain', modifier, count, after }, options)
  return target === null ? null : planBefore(inventory, target, options)
}

function goneBackups(inventory: Inventory, plan: DeletePlan | null): string[] {
  const keys = new Set([...(plan?.remove ?? [])].map(({ key }) => key))
  return inventory.backups
    .map(({ name }) => name as string)
    .filter(name => keys.has(`basebackups_005/${name}_backup_stop_sentinel.json`))
}

function goneWal(plan: DeletePlan | null): string[] {
  return [...(plan?.remove ?? [])]
    .filter(({ key }) => key.startsWith('wal_005/'))
    .map(({ key }) => key.slice(8))
}

describe('delete retain', () => {
  test('keeps the real full of a delta, although a younger full lies between', () => {
    const old = madeBackup({ hour: 1, segment: 2 })
    const young = madeBackup({ hour: 2, segment: 4 })
    const delta = madeBackup({ hour: 3, segment: 6, base: old.name })
    const inventory = madeInventory([old, young, delta], [])
    for (const plan of [retain(inventory, 1, 'FULL'), retain(inventory, 1, 'FIND_FULL')]) {
      expect(goneBackups(inventory, plan)).not.toContain(old.name)
    }
  })

  test('keeps the newest by time after the timeline was reset', () => {
    const old = madeBackup({ hour: 1, timeline: 3, segment: 500 })
    const reset = madeBackup({ hour: 9, timeline: 1, segment: 3 })
    const inventory = madeInventory([old, reset], [[1, 3, 9]])
    const plan = retain(inventory, 1)
    expect(goneBackups(inventory, plan)).toEqual([old.name])
    expect(goneWal(plan)).toEqual([])
  })

  test('with --after never removes one of the N newest', () => {
    const backups = [1, 2, 3].map(hour => madeBackup({ hour, segment: hour * 2 }))
    const inventory = madeInventory(backups, [])
    const after = { kind: 'time', timeNs: hourNs(2.5) } as const
    expect(retain(inventory, 9, 'FULL', after)).toBeNull()
    expect(goneBackups(inventory, retain(inventory, 2, 'FULL', after))).toEqual([backups[0]!.name])
  })

  test('does not count a broken backup', () => {
    const good = madeBackup({ hour: 1, segment: 2 })
    const broken = madeBackup({ hour: 2, segment: 4, isBroken: true })
    const inventory = madeInventory([good, broken], [])
    expect(goneBackups(inventory, retain(inventory, 1))).toEqual([])
  })

  test('says that a delta needs FIND_FULL', () => {
    const full = madeBackup({ hour: 1, segment: 2 })
    const delta = madeBackup({ hour: 2, segment: 4, base: full.name })
    expect(() => retain(madeInventory([full, delta], []), 1)).toThrow('Consider FIND_FULL option.')
  })
})

describe('the WAL of kept backups', () => {
  test('stays on every higher timeline, from the segment on at which the backup begins', () => {
    const old = madeBackup({ hour: 1, timeline: 1, segment: 2 })
    const kept = madeBackup({ hour: 2, timeline: 1, segment: 6 })
    const wal = [2, 5, 6, 7].map(segment => [1, segment, 3] as const)
    const inventory = madeInventory([old, kept], [...wal, [2, 5, 3], [2, 6, 3]])
    expect(goneWal(retain(inventory, 1))).toEqual([2, 5].map(segment => `${walName(1, segment)}.lz4`))
  })

  test('of a permanent backup stays from its start to its finish', () => {
    const first = madeBackup({ hour: 1, segment: 2, isPermanent: true })
    const kept = madeBackup({ hour: 2, segment: 6 })
    const inventory = madeInventory(
      [first, kept],
      [1, 2, 3, 6].map(segment => [1, segment, 1] as const),
    )
    expect(goneWal(retain(inventory, 1))).toEqual([1, 3].map(segment => `${walName(1, segment)}.lz4`))
  })

  test('of a permanent backup stays altogether when WALG_PG_WAL_SIZE does not fit its name', () => {
    const first = madeBackup({ hour: 1, segment: 2, isPermanent: true })
    const kept = madeBackup({ hour: 2, segment: 6 })
    const inventory = madeInventory([first, kept], [[1, 3, 1]])
    const wrong = { ...options, segmentBytes: SEGMENT_BYTES / 16 }
    expect(goneWal(planBefore(inventory, kept, wrong))).toEqual([])
  })

  test('keeps its _delta objects until their group and the next one are obsolete', () => {
    const kept = madeBackup({ hour: 2, segment: 0x31 })
    const delta = (segment: number): [string, number] => [`wal_005/${walName(1, segment)}_delta.lz4`, 1]
    const inventory = madeInventory([kept], [], [delta(0x00), delta(0x10), delta(0x20)])
    expect(goneWal(planBefore(inventory, kept, options))).toEqual([
      `${walName(1, 0)}_delta.lz4`,
      `${walName(1, 0x10)}_delta.lz4`,
    ])
    const earlier = { ...kept, ...madeBackup({ hour: 2, segment: 0x2f }) }
    const other = madeInventory([earlier], [], [delta(0x00), delta(0x10)])
    expect(goneWal(planBefore(other, earlier, options))).toEqual([`${walName(1, 0)}_delta.lz4`])
  })

  test('histories and names without a segment stay', () => {
    const kept = madeBackup({ hour: 2, segment: 0x31 })
    const inventory = madeInventory(
      [kept],
      [],
      [
        ['wal_005/00000002.history.lz4', 1],
        ['wal_005/00000001000000000000000.json', 1],
      ],
    )
    expect(goneWal(planBefore(inventory, kept, options))).toEqual([])
  })
})

describe('folders without a sentinel', () => {
  const kept = madeBackup({ hour: 900, segment: 20 })
  const young = 'basebackups_005/base_000000010000000000000019_D_000000010000000000000002/metadata.json'
  const old = 'basebackups_005/base_000000010000000000000001/metadata.json'

  test('stay while a push may be under way, and so does the base of the delta it may become', () => {
    const base = madeBackup({ hour: 1, segment: 2 })
    const inventory = madeInventory(
      [base, kept],
      [],
      [
        [young, NOW - 1],
        [old, 1],
      ],
    )
    const plan = retain(inventory, 1)
    expect([...(plan?.remove ?? [])].map(({ key }) => key)).toEqual([old])
  })

  test('are found by garbage when they are younger than the oldest backup, too; backups never', () => {
    const leftover = 'basebackups_005/base_000000010000000000000099/metadata.json'
    const inventory = madeInventory(
      [kept],
      [],
      [
        [leftover, 950],
        [young, NOW - 1],
      ],
    )
    const request = { kind: 'garbage', mode: 'all', isWithoutBackupCheck: false } as const
    const plan = planGarbage(inventory, kept, request, options, () => {})
    expect([...plan.remove].map(({ key }) => key)).toEqual([leftover])
  })
})

describe('delete before', () => {
  test('takes the beginning of one name only', () => {
    const backups = [2, 3].map(segment => madeBackup({ hour: segment, segment }))
    const inventory = madeInventory(backups, [])
    const before = (name: string) =>
      chooseBefore(
        inventory,
        { kind: 'before', isFullFound: false, reference: { kind: 'name', name } },
        options,
      )
    expect(before('base_000000010000000000000003')?.name).toBe(backups[1]!.name)
    expect(() => before('base_')).toThrow('is the beginning of 2 backups')
    expect(() => before('nothing')).toThrow("Backup 'nothing' does not exist.")
  })
})

describe('delete target and everything', () => {
  test('refuse permanent backups, and bases of permanent ones', () => {
    const full = madeBackup({ hour: 1, segment: 2 })
    const delta = madeBackup({ hour: 2, segment: 4, base: full.name, isPermanent: true })
    const inventory = madeInventory([full, delta], [])
    expect(() => planTarget(inventory, full, false, () => {})).toThrow('Unable to delete permanent backup')
    expect(() => planEverything(inventory, false)).toThrow(`Found permanent backups=[${delta.name}]`)
  })

  test('everything needs FORCE when there are objects of somebody else', () => {
    const inventory = madeInventory([madeBackup({ hour: 1, segment: 2 })], [], [['letters/a.txt', 1]])
    expect(() => planEverything(inventory, false)).toThrow('letters/a.txt')
    expect(planEverything(inventory, true).remove).toHaveLength(4)
  })

  test('target takes all that hangs on a backup, dependants first, and no WAL', () => {
    const full = madeBackup({ hour: 1, segment: 2 })
    const delta = madeBackup({ hour: 2, segment: 4, base: full.name })
    const second = madeBackup({ hour: 3, segment: 6, base: delta.name, full: full.name })
    const inventory = madeInventory([full, delta, second], [[1, 2, 1]])
    const meant = chooseMeant(inventory, { kind: 'name', name: full.name })
    const plan = planTarget(inventory, meant, false, () => {})
    expect(plan.sentinelWaves.map(wave => wave.length)).toEqual([1, 1, 1])
    expect(plan.sentinelWaves[0]![0]).toContain(second.name)
    expect(plan.sentinelWaves[2]![0]).toContain(full.name)
    expect(goneWal(plan)).toEqual([])
  })
})

/** Up to 12 backups over three timelines in any order of time, deltas on any earlier backup, and WAL everywhere. */
const repositories = fc
  .array(
    fc.record({
      timeline: fc.integer({ min: 1, max: 3 }),
      segment: fc.integer({ min: 1, max: 60 }),
      base: fc.option(fc.nat(11), { nil: undefined }),
      isPermanent: fc.boolean(),
    }),
    { minLength: 1, maxLength: 12 },
  )
  .map(specs => {
    const made: InventoryBackup[] = []
    for (const [hour, { timeline, segment, base, isPermanent }] of specs.entries()) {
      const parent = base === undefined ? undefined : made[base]
      const link = parent === undefined ? {} : { base: parent.name, full: parent.full ?? parent.name }
      const backup = madeBackup({
        hour,
        timeline,
        segment,
        isPermanent: isPermanent && segment % 3 === 0,
        ...link,
      })
      if (!made.some(({ name }) => name === backup.name)) made.push(backup)
    }
    const wal = [1, 2, 3].flatMap(timeline =>
      Array.from({ length: 70 }, (_, segment) => [timeline, segment, segment / 5] as const),
    )
    return madeInventory(made, wal)
  })

function checkSafe(inventory: Inventory, plan: DeletePlan): void {
  const gone = new Set(goneBackups(inventory, plan))
  const wal = new Set(goneWal(plan))
  for (const backup of inventory.backups.filter(({ name }) => !gone.has(name))) {
    for (const base of backup.bases) expect(gone.has(base)).toBe(false)
    const timeline = Number.parseInt(backup.walFile.slice(0, 8), 16)
    const segment = Number.parseInt(backup.walFile.slice(16), 16)
    const last = backup.isPermanent ? segment : 69
    for (let at = segment; at <= last; at += 1) expect(wal.has(`${walName(timeline, at)}.lz4`)).toBe(false)
  }
  for (const { name, isPermanent } of inventory.backups) if (isPermanent) expect(gone.has(name)).toBe(false)
}

describe('whatever the repository looks like', () => {
  test('no kept backup loses its base, its WAL or its mark, and keeping more removes less', () => {
    fc.assert(
      fc.property(repositories, fc.integer({ min: 1, max: 12 }), (inventory, count) => {
        const plans = [count, count + 1].map(each => retain(inventory, each, 'FIND_FULL'))
        for (const plan of plans) if (plan !== null) checkSafe(inventory, plan)
        const [fewer, more] = plans.map(plan => new Set([...(plan?.remove ?? [])].map(({ key }) => key)))
        expect([...more!].filter(key => !fewer!.has(key) && key.includes('sentinel'))).toEqual([])
        const good = inventory.backups.at(-1)!
        expect(goneBackups(inventory, plans[0] ?? null)).not.toContain(good.name)
      }),
      { seed, numRuns: 150 },
    )
  })
})
