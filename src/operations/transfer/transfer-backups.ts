import { collect, streamOf } from '../../kit/bytes.ts'
import { hasCode, WalgError } from '../../kit/errors.ts'
import { toBackupName } from '../../repository/backup-name.ts'
import { type BackupEntry, listBackups, readSentinel } from '../../repository/catalog.ts'
import { BACKUPS_PREFIX, backupPrefix, sentinelKey } from '../../repository/layout.ts'
import { commitInOrder, type OrderedSentinel, putAgain } from './keep-order.ts'
import {
  copyAcross,
  finishedWithErrors,
  forEachObject,
  type MovedObject,
  type TransferContext,
  type TransferOptions,
} from './move-objects.ts'
import {
  type BackupsWanted,
  compareAge,
  type MovableBackup,
  type MovedChain,
  planBackups,
} from './plan-backups.ts'
import { type Listing, listSizes } from './transfer-files.ts'
import type { TransferNote } from './transfer-note.ts'

const SENTINEL_BYTES_MAX = 64 << 20

/**
 * Moves backups into another storage, whole chains at a time: all data first, then the sentinels such that the order of
 * the backups (and LATEST) stays, and only then the source is emptied, sentinels first. Run again after a crash it ends
 * what was begun. Backups without a sentinel or without data stay.
 */
export async function transferBackups(
  context: TransferContext,
  note: TransferNote,
  wanted: BackupsWanted,
  options: TransferOptions,
): Promise<void> {
  const { source, target, log, signal } = context
  const here = await listSizes(source, BACKUPS_PREFIX, { signal })
  const there = await listSizes(target, BACKUPS_PREFIX, { signal })
  const entries = await listBackups(source, { signal })
  const movable = await findMovable(context, entries, here, there, options)
  const isUnfinished = ({ sentinel }: MovableBackup): boolean => note.unfinished.has(sentinel.key)
  const plan = planBackups(movable, here, there, wanted, options, isUnfinished)
  for (const { backup, why } of plan.left) log.warning(`Backup ${backup} stays in the source: ${why}`)
  const backups = plan.chains.flat()
  const objects = backups.flatMap(({ sentinel, data }) => [...data, sentinel])
  log.info(`Total files in the source storage: ${here.size}`)
  log.info(`Files missing in the target storage: ${[...here.keys()].filter(key => !there.has(key)).length}`)
  log.info(`Backups missing in the target storage: ${plan.missingCount}`)
  log.info(`Backups will be transferred: ${backups.length}`)
  log.info(`Files will be transferred: ${objects.length}`)
  const order = orderOf(entries, await listBackups(target, { signal }), note.order)
  await note.write(options.isPreserving ? [] : objects.map(({ key }) => key), order)

  const data = backups.flatMap(backup => backup.data)
  const failed = await forEachObject(context, data, options, object => copyAcross(context, object, options))
  const complete = plan.chains.filter(
    chain => !chain.some(({ data }) => data.some(({ key }) => failed.has(key))),
  )
  await commitChains(context, complete, entries, order)
  const left = await emptySource(context, complete, interrupted(note, here, there, entries), options)
  const errors = failed.size + left
  if (errors > 0) throw finishedWithErrors(errors)
  await note.remove()
}

/** Backups with a readable sentinel and data; what an earlier run has copied is not copied again. */
async function findMovable(
  { source, log, signal }: TransferContext,
  entries: readonly BackupEntry[],
  here: Listing,
  there: Listing,
  { isOverwriting }: TransferOptions,
): Promise<MovableBackup[]> {
  const folders = new Map<string, MovedObject[]>()
  for (const [key, sizeBytes] of here) {
    const name = key.slice(BACKUPS_PREFIX.length + 1).split('/', 1)[0] ?? ''
    if (!key.startsWith(`${BACKUPS_PREFIX}/${name}/`)) continue
    const isThere = there.get(key) === sizeBytes && !isOverwriting
    folders.set(name, [...(folders.get(name) ?? []), { key, sizeBytes, isThere }])
  }
  const movable: MovableBackup[] = []
  for (const { name, modifiedNs, sentinelSizeBytes } of entries) {
    const data = folders.get(name)
    if (data === undefined) continue
    try {
      const { sentinel } = await readSentinel(source, name, { signal })
      movable.push({
        name,
        parent: sentinel.delta?.parent ?? null,
        modifiedNs,
        sentinel: { key: sentinelKey(name), sizeBytes: sentinelSizeBytes, isThere: false },
        data: data.sort((left, right) => (left.key < right.key ? -1 : 1)),
      })
    } catch (error) {
      if (!hasCode(error, 'BACKUP_BROKEN', 'BACKUP_NOT_FOUND')) throw error
      log.warning(`Backup ${name} stays in the source: ${error.message}`)
    }
  }
  return movable
}

/**
 * Names of the backups of both storages, oldest first; one that is in both has the place of its older copy. A run that
 * was killed may have put sentinels again: what it noted before goes first.
 */
function orderOf(
  source: readonly BackupEntry[],
  target: readonly BackupEntry[],
  noted: readonly string[],
): string[] {
  const names = [...source, ...target].sort(compareAge).map(({ name }) => name as string)
  const known = new Set(names)
  return [...new Set([...noted.filter(name => known.has(name)), ...names])]
}

/** Sentinels in that order, those of the moved backups put into the target. */
async function commitChains(
  context: TransferContext,
  chains: readonly MovedChain[],
  sourceEntries: readonly BackupEntry[],
  order: readonly string[],
): Promise<void> {
  const { source, target, signal, clock } = context
  const moved = new Set(chains.flat().map(({ name }) => name))
  if (moved.size === 0) return
  const timeOf = (entries: readonly BackupEntry[]): Map<string, bigint> =>
    new Map(entries.map(({ name, modifiedNs }) => [name, modifiedNs]))
  const inTarget = timeOf(await listBackups(target, { signal }))
  const inSource = timeOf(sourceEntries)
  const ordered = order.map((name): OrderedSentinel => {
    const key = sentinelKey(toBackupName(name))
    if (moved.has(name)) {
      return { key, storage: target, modifiedNs: undefined, put: () => putSentinel(context, key) }
    }
    const storage = inTarget.has(name) ? target : source
    const modifiedNs = inTarget.get(name) ?? inSource.get(name) ?? 0n
    return { key, storage, modifiedNs, put: () => putAgain(storage, key, { signal }) }
  })
  await commitInOrder(ordered, { signal, ...(clock === undefined ? {} : { clock }) })
}

async function putSentinel({ source, target, signal }: TransferContext, key: string): Promise<void> {
  const content = await collect(await source.get(key, { signal }), SENTINEL_BYTES_MAX)
  await target.put(key, streamOf(content), { signal, expectedSizeBytes: content.length })
}

/** Of a run that ended while it emptied the source: data whose backup is complete in the target. */
function interrupted(
  note: TransferNote,
  here: Listing,
  there: Listing,
  entries: readonly BackupEntry[],
): string[] {
  const names = new Set<string>(entries.map(({ name }) => name))
  return [...here.keys()].filter(key => {
    if (!note.unfinished.has(key) || there.get(key) !== here.get(key)) return false
    const name = key.slice(BACKUPS_PREFIX.length + 1).split('/', 1)[0] ?? ''
    return !names.has(name) && there.has(sentinelKey(toBackupName(name)))
  })
}

/** Children first: no backup is listed whose parent has gone. Returns how many objects could not be removed. */
async function emptySource(
  context: TransferContext,
  chains: readonly MovedChain[],
  leftovers: readonly string[],
  options: TransferOptions,
): Promise<number> {
  const { source, log, signal } = context
  if (options.isPreserving) {
    reportCopied(context, chains)
    return 0
  }
  const backups = chains.flat()
  let left = backups.reduce((sum, { data }) => sum + data.length + 1, 0)
  const remove = async ({ key }: { readonly key: string }): Promise<void> => {
    await source.delete([key], { signal })
    left -= 1
    log.info(`File is transferred (${Math.max(0, left)} left): "${key}"`)
  }
  for (const chain of chains) {
    for (const { name, sentinel } of chain.toReversed()) {
      await assertCommitted(context, name)
      await remove(sentinel)
    }
  }
  const data = backups.flatMap(({ data: objects }) => objects)
  const failed = await forEachObject(context, data, options, remove)
  if (leftovers.length > 0) {
    log.info(`Removing ${leftovers.length} objects of backups that an earlier run has moved`)
    await source.delete(leftovers, { signal })
  }
  return failed.size
}

function reportCopied({ log }: TransferContext, chains: readonly MovedChain[]): void {
  const objects = chains.flat().flatMap(({ sentinel, data }) => [sentinel, ...data])
  for (const [at, { key }] of objects.entries()) {
    log.info(`File is transferred (${objects.length - at - 1} left): "${key}"`)
  }
}

/** The last look before a backup disappears from the source. */
async function assertCommitted({ target, signal }: TransferContext, name: string): Promise<void> {
  const key = sentinelKey(toBackupName(name))
  try {
    await target.stat(key, { signal })
  } catch (error) {
    if (!hasCode(error, 'OBJECT_NOT_FOUND')) throw error
    throw new WalgError('INTEGRITY', `"${key}" is not in storage "${target.name}" as it was put there`, {
      facts: { key, storage: target.name },
      hint: `nothing of ${backupPrefix(toBackupName(name))} was removed from the source; run the command again`,
      cause: error,
    })
  }
}
