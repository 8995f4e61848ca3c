import { WalgError } from '../../kit/errors.ts'
import { isSameJson } from '../../kit/json.ts'
import { backupNotFound } from '../../repository/catalog.ts'
import { SENTINEL_SUFFIX } from '../../repository/layout.ts'
import type { Inventory, InventoryBackup } from './inventory.ts'
import type { BackupReference, DeleteRequest, PlanOptions } from './request.ts'

type Retain = Extract<DeleteRequest, { kind: 'retain' }>
type Before = Extract<DeleteRequest, { kind: 'before' }>
type Target = Extract<DeleteRequest, { kind: 'target' }>

/**
 * The oldest backup that `delete retain` keeps, or null when there are not more than that. Broken backups do not count:
 * nothing can be restored from them. Throws when the result is a delta and its full was not asked for.
 */
export function chooseRetained(
  inventory: Inventory,
  { modifier, count, after }: Retain,
  options: PlanOptions,
): InventoryBackup | null {
  const good = inventory.backups.filter(({ damage }) => damage === null)
  const counted = modifier === 'FULL' ? good.filter(({ isIncremental }) => !isIncremental) : good
  const byCount = counted.at(-count)
  const afterwards = after === null ? null : chooseAfter(inventory, good, after, modifier, options)
  // Fewer than asked for: all of them are within the number, whatever --after says.
  if (byCount === undefined) return null
  const fulls = modifier === 'FIND_FULL' ? realFulls(inventory, counted.slice(-count)) : []
  const found = modifier === 'FIND_FULL' ? fullOf(inventory, byCount) : byCount
  const position = (backup: InventoryBackup): number => inventory.backups.indexOf(backup)
  const oldest = (left: InventoryBackup, right: InventoryBackup): InventoryBackup =>
    position(right) < position(left) ? right : left
  return checkFull([...fulls, ...(afterwards === null ? [] : [afterwards])].reduce(oldest, found))
}

/** The backup that `delete before` keeps with everything after it, or null when all are older than the time. */
export function chooseBefore(
  inventory: Inventory,
  { isFullFound, reference }: Before,
  options: PlanOptions,
): InventoryBackup | null {
  const found =
    reference.kind === 'name'
      ? findByName(inventory, reference.name)
      : inventory.backups.find(
          backup => backup.damage === null && timeOf(backup, options) >= reference.timeNs,
        )
  if (found === undefined) return null
  return checkFull(isFullFound ? fullOf(inventory, found) : found)
}

/** Null: no backup is as young as that. */
function chooseAfter(
  inventory: Inventory,
  good: readonly InventoryBackup[],
  after: BackupReference,
  modifier: Retain['modifier'],
  options: PlanOptions,
): InventoryBackup | null {
  const oldest = after.kind === 'name' ? inventory.backups.indexOf(findByName(inventory, after.name)) : 0
  const isAfter = (backup: InventoryBackup): boolean =>
    after.kind === 'name'
      ? inventory.backups.indexOf(backup) >= oldest
      : timeOf(backup, options) >= after.timeNs
  return good.find(backup => isAfter(backup) && (modifier === null || !backup.isIncremental)) ?? null
}

/** Throws BACKUP_NOT_FOUND, or BACKUP_AMBIGUOUS when several names begin so. */
export function findByName({ backups }: Inventory, name: string): InventoryBackup {
  const exact = backups.find(backup => backup.name === name)
  if (exact !== undefined) return exact
  const matches = backups.filter(backup => `${backup.name}${SENTINEL_SUFFIX}`.startsWith(name))
  if (matches.length > 1) {
    const names = matches.map(match => match.name).join(' ')
    throw new WalgError(
      'BACKUP_AMBIGUOUS',
      `"${name}" is the beginning of ${matches.length} backups: [${names}]`,
      {
        hint: 'give the whole name',
      },
    )
  }
  if (matches[0] === undefined) throw backupNotFound(name)
  return matches[0]
}

/** The one backup that `delete target` means. A broken one can be meant, too. */
export function chooseMeant({ backups }: Inventory, selection: Target['selection']): InventoryBackup {
  if (selection.kind === 'name') {
    const found = backups.find(backup => backup.name === selection.name)
    if (found === undefined) throw backupNotFound(selection.name)
    return found
  }
  if (selection.kind === 'latest') {
    const latest = backups.toSorted((left, right) =>
      left.sentinelModifiedNs < right.sentinelModifiedNs
        ? -1
        : left.sentinelModifiedNs > right.sentinelModifiedNs
          ? 1
          : 0,
    )
    const last = latest.at(-1)
    if (last === undefined) throw new WalgError('BACKUP_NOT_FOUND', 'No backups found')
    return last
  }
  const matches = backups.filter(({ userData }) => userData !== null && isSameJson(userData, selection.json))
  if (matches.length > 1) {
    const names = matches.map(match => match.name).join(' ')
    throw new WalgError(
      'BACKUP_AMBIGUOUS',
      `too many backups (${matches.length}) found with specified user data: [${names}]`,
      { hint: 'name one of them' },
    )
  }
  if (matches[0] === undefined) throw new WalgError('BACKUP_NOT_FOUND', 'Requested backup was not found')
  return matches[0]
}

/** The fulls that deltas among these really hang on: a larger number never keeps less because of them. */
function realFulls({ backups }: Inventory, kept: readonly InventoryBackup[]): InventoryBackup[] {
  const names = new Set<string | null>(kept.map(({ full }) => full))
  return backups.filter(({ name }) => names.has(name))
}

/** The full that a backup really hangs on; for a chain that is broken the next older full. */
export function fullOf({ backups }: Inventory, backup: InventoryBackup): InventoryBackup {
  if (!backup.isIncremental) return backup
  const real = backups.find(({ name }) => name === backup.full)
  if (real !== undefined) return real
  const older = backups.slice(0, backups.indexOf(backup)).findLast(({ isIncremental }) => !isIncremental)
  if (older !== undefined) return older
  throw new WalgError('CHAIN_BROKEN', `the full backup of ${backup.name} is not in the storage`, {
    facts: { backup: backup.name },
    hint: 'remove this backup with "delete target", or name a full one',
  })
}

function checkFull(backup: InventoryBackup): InventoryBackup {
  if (!backup.isIncremental) return backup
  throw new WalgError(
    'USAGE',
    `${backup.name}${SENTINEL_SUFFIX} is incremental and it's predecessors cannot be deleted. Consider FIND_FULL option.`,
  )
}

function timeOf(backup: InventoryBackup, { isStartTimeUsed }: PlanOptions): bigint {
  return isStartTimeUsed ? backup.startNs : backup.sentinelModifiedNs
}
