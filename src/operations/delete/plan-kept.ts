import { BACKUPS_PREFIX, CATCHUP_PREFIX, WAL_PREFIX } from '../../repository/layout.ts'
import type { Inventory, InventoryBackup } from './inventory.ts'
import {
  type Boundary,
  basesUnderWay,
  createCatchupJudge,
  isBelow,
  judgeWal,
  keep,
  Leftovers,
  ownerOf,
  remove,
} from './judge-objects.ts'
import { type DeletePlan, makePlan, type Verdict, withBases } from './plan.ts'
import type { PlanOptions } from './request.ts'
import type { StoredObject } from './stored-object.ts'
import { createWalNeed } from './wal-need.ts'

export interface KeptRule {
  /** What the rule keeps, with its reason; permanent backups and bases are added here. */
  readonly roots: ReadonlyMap<InventoryBackup, string>
  /** The oldest backup that is kept as a place to begin recovery from. */
  readonly target: InventoryBackup
  /** Kept without the WAL behind its end (default: permanent backups). */
  readonly isStandalone?: (backup: InventoryBackup) => boolean
  /** Why the others go. */
  readonly why: string
}

/** The plan that removes every backup but the kept ones, and the WAL and leftovers that belong to none of them. */
export function planKept(
  inventory: Inventory,
  rule: KeptRule,
  options: PlanOptions,
  onKept: (object: StoredObject) => void = () => {},
): DeletePlan {
  const { target } = rule
  const leftovers = new Leftovers(inventory, options)
  const reasons = new Map<InventoryBackup, string>(rule.roots)
  for (const backup of inventory.backups) if (backup.isPermanent) reasons.set(backup, 'permanent')
  for (const backup of basesUnderWay(inventory, leftovers)) {
    if (!reasons.has(backup)) reasons.set(backup, 'a push under way may be a delta of it')
  }
  const kept = withBases(inventory, [...reasons.keys()])
  const boundary: Boundary = { walFile: target.walFile, startNs: target.startNs }
  const need = createWalNeed([...kept.values()], options.segmentBytes, rule.isStandalone)
  const judgeCatchup = createCatchupJudge(inventory, boundary)
  const known = new Set<string>(inventory.backups.map(backup => backup.name))
  const isOlder = (walFile: string, newestNs: bigint): boolean =>
    !options.isStartTimeUsed && (walFile < boundary.walFile || newestNs < boundary.startNs)
  const judge = (object: StoredObject): Verdict => {
    const { key } = object
    if (isBelow(WAL_PREFIX, key)) return judgeWal(object, boundary, need, options.segmentBytes)
    if (isBelow(CATCHUP_PREFIX, key)) return judgeCatchup(object)
    const owner = isBelow(BACKUPS_PREFIX, key) ? ownerOf(key) : undefined
    if (owner === undefined) return keep('nothing that WAL-G writes')
    if (kept.has(owner)) return keep('of a kept backup')
    return known.has(owner) ? remove(rule.why) : leftovers.judge(owner, isOlder)
  }
  const keepBackups = inventory.backups
    .filter(({ name }) => kept.has(name))
    .map(backup => ({ backup: backup.name, why: reasons.get(backup) ?? 'a kept backup is a delta of it' }))
  return makePlan(inventory, target.name, keepBackups, judge, onKept)
}

/** `before` and `retain`: everything from the target on is kept. */
export function planBefore(
  inventory: Inventory,
  target: InventoryBackup,
  options: PlanOptions,
  onKept?: (object: StoredObject) => void,
): DeletePlan {
  const from = inventory.backups.indexOf(target)
  const roots = new Map(
    inventory.backups.slice(from).map(backup => [backup, `not older than ${target.name}`]),
  )
  return planKept(inventory, { roots, target, why: `older than ${target.name}` }, options, onKept)
}
