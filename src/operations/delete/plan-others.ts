import { WalgError } from '../../kit/errors.ts'
import { BACKUPS_PREFIX, CATCHUP_PREFIX, STORAGE_CHECK_KEY, WAL_PREFIX } from '../../repository/layout.ts'
import { fullOf } from './choose-target.ts'
import type { Inventory, InventoryBackup } from './inventory.ts'
import { createCatchupJudge, isBelow, judgeWal, keep, Leftovers, ownerOf, remove } from './judge-objects.ts'
import { type DeletePlan, makePlan, type Verdict, withDependants } from './plan.ts'
import type { DeleteRequest, PlanOptions } from './request.ts'
import type { StoredObject } from './stored-object.ts'
import { createWalNeed } from './wal-need.ts'

type Garbage = Extract<DeleteRequest, { kind: 'garbage' }>
type OnKept = (object: StoredObject) => void

const FOREIGN_SHOWN_MAX = 5

/** `target`: one backup and all that hangs on it, or the whole chain; never WAL. Refuses permanent backups. */
export function planTarget(
  inventory: Inventory,
  meant: InventoryBackup,
  isWholeChain: boolean,
  onKept: OnKept,
): DeletePlan {
  const root = isWholeChain ? fullOf(inventory, meant) : meant
  const gone = withDependants(inventory, [root, meant])
  const permanent = [...gone.values()].filter(({ isPermanent }) => isPermanent)
  if (permanent.length > 0) {
    const names = permanent.map(({ name }) => name).sort()
    throw new WalgError('BACKUP_PERMANENT', `Unable to delete permanent backup ${names.join(', ')}`, {
      facts: { backup: names[0]! },
      hint: 'take the mark off with "backup-mark --impermanent" first, deltas before their full',
    })
  }
  const why = (owner: string): string =>
    owner === meant.name ? 'the backup that was asked for' : `depends on ${root.name}, or is it`
  const keepBackups = inventory.backups
    .filter(({ name }) => !gone.has(name))
    .map(({ name }) => ({ backup: name, why: 'was not asked for' }))
  const judge = ({ key }: StoredObject): Verdict => {
    const owner = ownerOf(key)
    return owner !== undefined && gone.has(owner) ? remove(why(owner)) : keep('was not asked for')
  }
  return makePlan(inventory, meant.name, keepBackups, judge, onKept)
}

/** `everything`: permanent backups and objects that WAL-G does not write need FORCE. */
export function planEverything(inventory: Inventory, isForced: boolean): DeletePlan {
  const permanent = inventory.backups.filter(({ isPermanent }) => isPermanent).map(({ name }) => name)
  if (permanent.length > 0 && !isForced) {
    throw new WalgError('BACKUP_PERMANENT', `Found permanent backups=[${permanent.sort().join(' ')}]`)
  }
  const foreign: string[] = []
  for (const { key } of inventory.objects) if (isForeign(key)) foreign.push(key)
  if (foreign.length > 0 && !isForced) {
    const shown = foreign.slice(0, FOREIGN_SHOWN_MAX).join(' ')
    const more = foreign.length > FOREIGN_SHOWN_MAX ? ` and ${foreign.length - FOREIGN_SHOWN_MAX} more` : ''
    throw new WalgError(
      'WRITE_REFUSED',
      `Found objects that do not belong to a repository: [${shown}]${more}`,
      {
        hint: 'move them away, or delete them, too, with "delete everything FORCE"',
      },
    )
  }
  return makePlan(
    inventory,
    null,
    [],
    () => remove('everything was asked for'),
    () => {},
  )
}

/**
 * `garbage`: old folders without a sentinel, wherever they stand, and the WAL before the oldest backup that is not
 * permanent (`oldest`; null: there is none, and WAL goes that no backup needs). Never a backup.
 */
export function planGarbage(
  inventory: Inventory,
  oldest: InventoryBackup | null,
  { mode }: Garbage,
  options: PlanOptions,
  onKept: OnKept,
): DeletePlan {
  const leftovers = new Leftovers(inventory, options)
  const need = createWalNeed(inventory.backups, options.segmentBytes)
  const boundary = oldest === null ? null : { walFile: oldest.walFile, startNs: oldest.startNs }
  const judgeCatchup = createCatchupJudge(inventory, boundary)
  const judge = (object: StoredObject): Verdict => {
    const { key } = object
    if (isBelow(WAL_PREFIX, key)) {
      if (mode === 'backups') return keep('not asked for')
      return judgeWal(object, boundary, need, options.segmentBytes)
    }
    if (isBelow(CATCHUP_PREFIX, key)) return mode === 'all' ? judgeCatchup(object) : keep('not asked for')
    const owner = isBelow(BACKUPS_PREFIX, key) ? ownerOf(key) : undefined
    if (owner === undefined) return keep('nothing that WAL-G writes')
    return mode === 'archives' ? keep('not asked for') : leftovers.judge(owner, () => true)
  }
  const keepBackups = inventory.backups.map(({ name }) => ({ backup: name, why: 'a backup' }))
  return makePlan(inventory, oldest?.name ?? null, keepBackups, judge, onKept)
}

function isForeign(key: string): boolean {
  const isKnown = [BACKUPS_PREFIX, WAL_PREFIX, CATCHUP_PREFIX].some(prefix => isBelow(prefix, key))
  return !isKnown && key !== STORAGE_CHECK_KEY
}
