import { prepareThreads } from '../../codec/prepare-threads.ts'
import { ceilToMicroseconds, nowNs } from '../../kit/timestamp.ts'
import { walkDataDirectory } from '../../postgres/data-directory.ts'
import { formatLsn } from '../../postgres/lsn.ts'
import type { OperationContext } from '../context.ts'
import type { PackedContents, SmallPart } from './backup-record.ts'
import { claimName, takingBackOnFailure } from './claim-name.ts'
import { commitBackup } from './commit-backup.ts'
import { type Contents, planContents } from './contents.ts'
import type { BackupPushOptions, BackupPushResult } from './options.ts'
import { PartWorkers } from './part/part-workers.ts'
import { nextPart, type PushedParts, pushParts } from './push-parts.ts'
import { pushControlFile, pushLabels, pushWalMembers } from './small-parts.ts'
import type { BackupSource } from './source/backup-source.ts'
import { type CheckedDirectory, checkDataDirectory, isAtRest } from './source/data-directory-check.ts'

/**
 * Takes a full backup of a local data directory. The sentinel is written last, when everything it speaks of is
 * durable and the WAL it needs is in the archive; any failure or interruption before leaves no backup, nothing on
 * the server, and as little as possible in the storage.
 */
export async function backupPush(
  context: OperationContext,
  options: BackupPushOptions,
): Promise<BackupPushResult> {
  const { log, storage } = context
  log.info(`Backup will be pushed to storage: ${storage.name}`)
  const directory = await checkDataDirectory(options.dataDirectory)
  await prepareThreads(context.codecDescription)
  await using workers = new PartWorkers({
    workersCount: options.partsAtOnce,
    storage: context.storageDescription,
    codec: context.codecDescription,
  })
  const startTime = ceilToMicroseconds(nowNs())
  await using source = await openSource(context, directory, options)
  const push: OperationContext = { ...context, signal: AbortSignal.any([context.signal, source.failed]) }
  await claimName(push, source.name)
  log.info(`Started backup with name ${source.name} at LSN ${formatLsn(source.startLsn)}`)
  return await takingBackOnFailure(context, source.name, async tentative => {
    const contents = await planBackup(push, directory.root, options)
    const pushed = await pushParts(push, workers, source, contents, options)
    const smallParts = await pushControlAndWal(push, source, contents, pushed)
    const stop = await source.stop()
    const number = nextPart(pushed.parts, '').number + smallParts.length
    if (stop.labels !== undefined) {
      smallParts.push(await pushLabels({ context: push, backup: source.name, number }, stop.labels))
    }
    await source.waitForWal(stop)
    const databases = await source.readDatabases()
    const packed = recordOf(source, contents, pushed, smallParts, options)
    const finished = { source, contents, packed, stop, startTime, databases }
    const sizes = await commitBackup(push, options, finished, tentative)
    log.info(`Wrote backup with name ${source.name} to storage ${storage.name}`)
    return {
      name: source.name,
      storageName: storage.name,
      ...sizes,
      filesCount: contents.headers.length,
      partsCount: packed.parts.length + smallParts.length,
      corruptPagesCount: [...pushed.damage.values()].reduce((sum, blocks) => sum + blocks.length, 0),
    }
  })
}

/** Loads only what this backup needs: a client for PostgreSQL, or a reader of WAL. */
async function openSource(
  context: OperationContext,
  directory: CheckedDirectory,
  options: BackupPushOptions,
): Promise<BackupSource> {
  if (isAtRest(directory)) {
    const { openRestingSource } = await import('./source/resting-source.ts')
    return openRestingSource(context, directory, options)
  }
  const { openRunningSource } = await import('./source/running-source.ts')
  return openRunningSource(context, directory, options)
}

async function planBackup(
  context: OperationContext,
  root: string,
  options: BackupPushOptions,
): Promise<Contents> {
  const { log, signal } = context
  if (!options.hasFilesMetadata) log.info('Files metadata tracking is disabled')
  log.info('Starting a new tar bundle')
  log.info('Walking ...')
  return planContents(await walkDataDirectory(root, { log, signal }))
}

/** pg_control comes after all data; WAL that travels inside the backup before it. */
async function pushControlAndWal(
  context: OperationContext,
  source: BackupSource,
  contents: Contents,
  pushed: PushedParts,
): Promise<SmallPart[]> {
  const smallParts: SmallPart[] = []
  const next = nextPart(pushed.parts, context.codec.extension)
  const place = { context, backup: source.name }
  if (source.wal.length > 0) {
    smallParts.push(await pushWalMembers({ ...place, number: next.number }, next.name, source.wal))
  }
  const number = next.number + smallParts.length
  smallParts.push(await pushControlFile({ ...place, number }, contents.controlFile))
  return smallParts
}

function recordOf(
  source: BackupSource,
  contents: Contents,
  pushed: PushedParts,
  smallParts: readonly SmallPart[],
  options: BackupPushOptions,
): PackedContents {
  return {
    backup: source.name,
    files: contents.files,
    headers: contents.headers,
    parts: pushed.parts,
    smallParts,
    damage: pushed.damage,
    storesAllCorrupt: options.storesAllCorrupt,
  }
}
