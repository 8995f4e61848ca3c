import { isSameJson } from '../../kit/json.ts'
import type { Inventory, InventoryBackup } from './inventory.ts'
import type { DeletePlan } from './plan.ts'
import { type KeptRule, planKept } from './plan-kept.ts'
import { CALENDAR_UNITS, type CalendarUnit, calendarPeriod, type RetentionPolicy } from './policy.ts'
import type { PlanOptions } from './request.ts'
import type { StoredObject } from './stored-object.ts'

/**
 * The plan of a retention policy, or null without a backup that can be restored. The newest such backup always stays,
 * whatever the rules say. Broken backups count for no rule; they go when they are older than everything that is kept to
 * begin recovery from. A more generous policy never keeps less.
 */
export function planPolicy(
  inventory: Inventory,
  policy: RetentionPolicy,
  options: PlanOptions,
  onKept?: (object: StoredObject) => void,
): DeletePlan | null {
  const rule = applyRules(inventory, policy, options.nowNs)
  return rule === null ? null : planKept(inventory, rule, options, onKept)
}

function applyRules(inventory: Inventory, policy: RetentionPolicy, nowNs: bigint): KeptRule | null {
  const { backups } = inventory
  const good = backups.filter(({ damage }) => damage === null)
  const newest = good.at(-1)
  if (newest === undefined) return null
  const position = new Map(backups.map((backup, at) => [backup, at]))
  const starts: (readonly [InventoryBackup, string])[] = [
    [newest, 'the newest backup'],
    ...recoveryStarts(good, policy, nowNs),
  ]
  const oldestFirst = starts.toSorted(([left], [right]) => position.get(left)! - position.get(right)!)
  const target = oldestFirst[0]![0]
  const from = position.get(target)!
  const roots = new Map<InventoryBackup, string>()
  for (const backup of backups.slice(from)) {
    const reason = starts.findLast(([start]) => position.get(start)! <= position.get(backup)!)?.[1]
    roots.set(backup, reason ?? `not older than ${target.name}`)
  }
  for (const [backup, reason] of singles(good, policy)) if (!roots.has(backup)) roots.set(backup, reason)
  return {
    roots,
    target,
    isStandalone: backup => position.get(backup)! < from,
    why: 'kept by no rule of the policy',
  }
}

/** Backups from which recovery to any later moment must stay possible, most important last. */
function recoveryStarts(
  good: readonly InventoryBackup[],
  { fulls, ageMs, windowMs }: RetentionPolicy,
  nowNs: bigint,
): (readonly [InventoryBackup, string])[] {
  const oldest = good[0]!
  const starts: (readonly [InventoryBackup, string])[] = []
  if (fulls !== null && fulls > 0) {
    const found = good.filter(({ isIncremental }) => !isIncremental).at(-fulls) ?? oldest
    starts.push([found, `within the newest ${fulls} full backups`])
  }
  if (ageMs !== null) {
    const found = good.find(({ startNs }) => startNs >= nowNs - nsOf(ageMs))
    if (found !== undefined) starts.push([found, 'younger than the age to keep'])
  }
  if (windowMs !== null) {
    // The last that had ended when the window begins, by the order of starts: a long backup may end after a later one.
    const found = good.findLast(({ finishNs }) => finishNs <= nowNs - nsOf(windowMs)) ?? oldest
    starts.push([found, 'recovery window'])
  }
  return starts
}

/** Backups that stay for themselves, each with the WAL from its start to its finish. */
function singles(
  good: readonly InventoryBackup[],
  { calendar, userData }: RetentionPolicy,
): (readonly [InventoryBackup, string])[] {
  const found: (readonly [InventoryBackup, string])[] = []
  for (const unit of CALENDAR_UNITS) {
    for (const backup of newestOfPeriods(good, unit, calendar[unit])) found.push([backup, `${unit} backup`])
  }
  for (const backup of good) {
    const has = userData.some(json => backup.userData !== null && isSameJson(backup.userData, json))
    if (has) found.push([backup, 'has user data to keep'])
  }
  return found
}

function newestOfPeriods(
  good: readonly InventoryBackup[],
  unit: CalendarUnit,
  count: number,
): InventoryBackup[] {
  const newest = new Map<bigint, InventoryBackup>()
  for (const backup of good) newest.set(calendarPeriod(backup.startNs, unit), backup)
  return [...newest.values()].slice(Math.max(0, newest.size - count))
}

function nsOf(ms: number): bigint {
  return BigInt(Math.round(ms)) * 1_000_000n
}
