import { SENTINEL_SUFFIX } from '../../repository/layout.ts'
import type { Inventory, InventoryBackup } from './inventory.ts'
import { backupOfSentinel } from './inventory.ts'
import { PlannedObjects } from './planned-objects.ts'
import type { StoredObject } from './stored-object.ts'

/** What goes, what stays, and why. Pure data; nothing is removed that is not in it. */
export interface DeletePlan {
  /** Everything from this backup on is kept; null when the rule is another. */
  readonly target: string | null
  /** In the order of the original's log. */
  readonly remove: PlannedObjects
  /** Sentinels among them, dependants before their bases: one call for each wave. */
  readonly sentinelWaves: readonly (readonly string[])[]
  readonly keepBackups: readonly { readonly backup: string; readonly why: string }[]
  /** Objects that stay, counted by reason. */
  readonly keepObjects: readonly KeptObjects[]
}

export interface KeptObjects {
  readonly why: string
  readonly count: number
  readonly sizeBytes: number
}

/** What happens to one object, and why. */
export type Verdict = { readonly isRemoved: boolean; readonly why: string }

/** Applies a judgement to every object. */
export function makePlan(
  inventory: Inventory,
  target: string | null,
  keepBackups: DeletePlan['keepBackups'],
  judge: (object: StoredObject) => Verdict,
  onKept: (object: StoredObject) => void,
): DeletePlan {
  const remove = new PlannedObjects(inventory.objects)
  const kept = new Map<string, { count: number; sizeBytes: number }>()
  const sentinels: string[] = []
  let place = -1
  for (const object of inventory.objects) {
    place += 1
    const { isRemoved, why } = judge(object)
    if (isRemoved) {
      remove.add(place, why)
      if (object.key.endsWith(SENTINEL_SUFFIX)) sentinels.push(object.key)
      continue
    }
    onKept(object)
    const sum = kept.get(why) ?? { count: 0, sizeBytes: 0 }
    kept.set(why, { count: sum.count + 1, sizeBytes: sum.sizeBytes + object.sizeBytes })
  }
  return {
    target,
    remove,
    sentinelWaves: sentinelWaves(inventory, sentinels),
    keepBackups,
    keepObjects: [...kept].map(([why, sum]) => ({ why, ...sum })),
  }
}

/** Every backup that `roots` cannot be restored without, the roots included. */
export function withBases(
  inventory: Inventory,
  roots: readonly InventoryBackup[],
): Map<string, InventoryBackup> {
  const byName = new Map(inventory.backups.map(backup => [backup.name as string, backup]))
  const kept = new Map<string, InventoryBackup>()
  const waiting = [...roots]
  for (let backup = waiting.pop(); backup !== undefined; backup = waiting.pop()) {
    if (kept.has(backup.name)) continue
    kept.set(backup.name, backup)
    for (const base of backup.bases) {
      const found = byName.get(base)
      if (found !== undefined) waiting.push(found)
    }
  }
  return kept
}

/** Every backup that cannot be restored without one of `roots`, the roots included. */
export function withDependants(
  inventory: Inventory,
  roots: readonly InventoryBackup[],
): Map<string, InventoryBackup> {
  const dependants = new Map<string, InventoryBackup[]>()
  for (const backup of inventory.backups) {
    for (const base of new Set<string>(backup.bases)) {
      const list = dependants.get(base)
      if (list === undefined) dependants.set(base, [backup])
      else list.push(backup)
    }
  }
  const found = new Map<string, InventoryBackup>()
  const waiting = [...roots]
  for (let backup = waiting.pop(); backup !== undefined; backup = waiting.pop()) {
    if (found.has(backup.name)) continue
    found.set(backup.name, backup)
    waiting.push(...(dependants.get(backup.name) ?? []))
  }
  return found
}

/** Steps of the longest chain of dependants decide: what nothing depends on goes first. */
function sentinelWaves(inventory: Inventory, sentinels: readonly string[]): string[][] {
  const backups = new Map(inventory.backups.map(backup => [backup.name as string, backup]))
  const keys = new Map<string, string>()
  /** Of catchup backups: nothing depends on them. */
  const others: string[] = []
  for (const key of sentinels) {
    const name = backupOfSentinel(key)
    if (name !== undefined) keys.set(name, key)
    else others.push(key)
  }
  const depths = new Map<string, number>()
  const depthOf = (name: string, seen: readonly string[]): number => {
    const known = depths.get(name)
    if (known !== undefined) return known
    const bases = backups.get(name)?.bases ?? []
    const below = bases.filter(base => keys.has(base) && !seen.includes(base))
    const depth = Math.max(0, ...below.map(base => depthOf(base, [...seen, name]) + 1))
    depths.set(name, depth)
    return depth
  }
  const waves: string[][] = []
  for (const [name, key] of keys) {
    const depth = depthOf(name, [name])
    waves[depth] = [...(waves[depth] ?? []), key]
  }
  return [...waves.filter(wave => wave !== undefined).reverse(), ...(others.length > 0 ? [others] : [])]
}
