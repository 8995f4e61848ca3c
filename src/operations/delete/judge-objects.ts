import { BACKUPS_PREFIX, CATCHUP_PREFIX, WAL_PREFIX } from '../../repository/layout.ts'
import { parseWalObjectName } from '../../repository/wal-catalog.ts'
import { backupOfSentinel, type Inventory, type InventoryBackup } from './inventory.ts'
import type { Verdict } from './plan.ts'
import type { PlanOptions } from './request.ts'
import type { StoredObject } from './stored-object.ts'
import { lastOfGroup, type WalNeed } from './wal-need.ts'

/** A `_delta` object describes 16 segments; deltas that begin in the next group still read it. */
const DELTA_SEGMENTS_NEEDED = 32

/** Everything that is older than this is not needed by what is kept. */
export interface Boundary {
  readonly walFile: string
  readonly startNs: bigint
}

export function keep(why: string): Verdict {
  return { isRemoved: false, why }
}

export function remove(why: string): Verdict {
  return { isRemoved: true, why }
}

export function isBelow(prefix: string, key: string): boolean {
  return key.startsWith(`${prefix}/`)
}

/**
 * An object of `wal_005/` goes when no kept backup needs it and it lies before the boundary. What names no segment
 * stays: histories, and the times of a group of segments.
 */
export function judgeWal(
  object: StoredObject,
  boundary: Boundary | null,
  need: WalNeed,
  segmentBytes: number,
): Verdict {
  const name = object.key.slice(WAL_PREFIX.length + 1)
  const first = /^[0-9A-F]{24}/.exec(name)?.[0]
  if (first === undefined) return keep('names no WAL segment')
  const isDelta = parseWalObjectName(name).kind === 'delta'
  const last = isDelta ? lastOfGroup(first, DELTA_SEGMENTS_NEEDED, segmentBytes) : first
  if (last === undefined) return keep('its name does not fit WALG_PG_WAL_SIZE')
  if (need.isNeeded(first, last)) return keep('needed by a kept backup')
  if (boundary === null) return remove('needed by no backup')
  if (last < boundary.walFile || object.modifiedNs < boundary.startNs)
    return remove('needed by no kept backup')
  return keep('younger than the oldest kept backup')
}

/** Folders below a prefix that have no sentinel, with the time of their newest object. */
export class Leftovers {
  readonly #newestNs = new Map<string, bigint>()
  readonly #options: PlanOptions
  readonly #bases: ReadonlySet<string>

  constructor(inventory: Inventory, options: PlanOptions) {
    this.#options = options
    const complete = new Set<string>(inventory.backups.map(backup => backup.name))
    this.#bases = new Set<string>(inventory.backups.flatMap(backup => backup.bases))
    for (const { key, modifiedNs } of objectsBelow(inventory, BACKUPS_PREFIX)) {
      const name = folderOf(BACKUPS_PREFIX, key)
      if (name === undefined || complete.has(name)) continue
      const newest = this.#newestNs.get(name)
      if (newest === undefined || modifiedNs > newest) this.#newestNs.set(name, modifiedNs)
    }
  }

  /** Names of folders that may belong to a push under way. */
  young(): string[] {
    return [...this.#newestNs].filter(([, newest]) => !this.#isOld(newest)).map(([name]) => name)
  }

  judge(name: string, isOlderThanKept: (walFile: string, newestNs: bigint) => boolean): Verdict {
    const newest = this.#newestNs.get(name)
    if (newest === undefined) return keep('of a backup')
    if (!this.#isOld(newest)) return keep('has no sentinel, but may belong to a push under way')
    if (this.#bases.has(name)) return keep('has no sentinel, but a backup is a delta of it')
    const walFile = /[0-9A-F]{24}/.exec(name)?.[0] ?? 'Z'.repeat(24)
    return isOlderThanKept(walFile, newest)
      ? remove('of a push that did not finish')
      : keep('of a push that did not finish: `delete garbage` removes it')
  }

  #isOld(newestNs: bigint): boolean {
    return newestNs <= this.#options.nowNs - BigInt(Math.round(this.#options.garbageMinAgeMs)) * 1_000_000n
  }
}

function objectsBelow({ objects }: Inventory, folder: string): Iterable<StoredObject> {
  return objects.below?.(folder) ?? objects
}

/** The folder directly below `prefix` in which an object lies; undefined for one that lies in none. */
export function folderOf(prefix: string, key: string): string | undefined {
  if (!isBelow(prefix, key)) return undefined
  const rest = key.slice(prefix.length + 1)
  const end = rest.indexOf('/')
  return end < 0 ? undefined : rest.slice(0, end)
}

/** The backup to which an object below `basebackups_005/` belongs: its sentinel, or anything in its folder. */
export function ownerOf(key: string): string | undefined {
  return backupOfSentinel(key) ?? folderOf(BACKUPS_PREFIX, key)
}

/** A catchup backup goes when it is older than the boundary, by its place in the WAL and by all of its times. */
export function createCatchupJudge(
  inventory: Inventory,
  boundary: Boundary | null,
): (object: StoredObject) => Verdict {
  const newest = new Map<string, bigint>()
  const nameOf = (key: string): string => /[0-9A-F]{24}/.exec(key)?.[0] ?? ''
  for (const { key, modifiedNs } of objectsBelow(inventory, CATCHUP_PREFIX)) {
    if (!isBelow(CATCHUP_PREFIX, key)) continue
    const known = newest.get(nameOf(key))
    if (known === undefined || modifiedNs > known) newest.set(nameOf(key), modifiedNs)
  }
  return ({ key }) => {
    const name = nameOf(key)
    if (boundary === null || name === '') return keep('of a catchup backup')
    const isOld = name < boundary.walFile && (newest.get(name) ?? boundary.startNs) < boundary.startNs
    return isOld ? remove('a catchup backup older than the oldest kept backup') : keep('of a catchup backup')
  }
}

/** Backups on which a push under way may be building, told by the name of its folder. */
export function basesUnderWay(inventory: Inventory, leftovers: Leftovers): InventoryBackup[] {
  const walFiles = leftovers.young().flatMap(name => /_D_([0-9A-F]{24})/.exec(name)?.[1] ?? [])
  return inventory.backups.filter(({ walFile }) => walFiles.includes(walFile))
}
