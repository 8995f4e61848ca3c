import { prepareThreads } from '../../codec/prepare-threads.ts'
import { ceilToMicroseconds, nowNs } from '../../kit/timestamp.ts'
import type { DatabasesByNames } from '../../postgres/cluster/database-names.ts'
import { formatLsn } from '../../postgres/lsn.ts'
import { formatBackupName } from '../../repository/backup-name.ts'
import type { OperationContext } from '../context.ts'
import { contentManifestOf, filesMetadataOf, type PackedContents, type SmallPart } from './backup-record.ts'
import { claimName, takingBackOnFailure } from './claim-name.ts'
import { commitBackup } from './commit-backup.ts'
import type { Contents } from './contents.ts'
import { copyParts } from './copy/copy-parts.ts'
import { chooseCopySource, isCopying } from './copy/copy-source.ts'
import { countPages, type DamagedFile, reportDamage } from './damage-report.ts'
import { assertParentStored, beginReadingParent, markAncestors } from './delta/open-delta.ts'
import { chooseParent } from './delta/parent/choose-parent.ts'
import { pastMoment } from './delta/settled-moment.ts'
import { tellEmptied } from './emptied-files.ts'
import type { BackupPushOptions, BackupPushResult } from './options.ts'
import type { PushContext } from './own-objects.ts'
import type { NumberedPart } from './part/pack-task.ts'
import { PartWorkers } from './part/part-workers.ts'
import { planBackup } from './plan-backup.ts'
import { judgeLateDamage, nextPart, type PushedParts, pushParts } from './push-parts.ts'
import { pushControlFile, pushLabels, pushWalMembers } from './small-parts.ts'
import type { BackupSource } from './source/backup-source.ts'
import { type CheckedDirectory, checkDataDirectory, isAtRest } from './source/data-directory-check.ts'
import { formatDatabases } from './source/database-names.ts'

/**
 * Takes a backup of a local data directory, a full one or a delta. The sentinel is written last, when everything it speaks of
 * is durable and the WAL it needs is in the archive; any failure or interruption before leaves no backup, nothing on
 * the server, and as little as possible in the storage.
 */
export async function backupPush(
  context: OperationContext,
  options: BackupPushOptions,
): Promise<BackupPushResult> {
  const { log, storage } = context
  log.info(`Backup will be pushed to storage: ${storage.name}`)
  const directory = await checkDataDirectory(options.dataDirectory)
  if (!options.hasFilesMetadata) log.info('Files metadata tracking is disabled')
  const isCopied = isCopying(options)
  const chosen = isCopied
    ? await chooseCopySource(context, options)
    : await chooseParent(context, options.delta, options.isPermanent)
  await prepareThreads(context.codecDescription)
  await using workers = new PartWorkers({
    workersCount: options.partsAtOnce,
    storage: context.storageDescription,
    codec: context.codecDescription,
  })
  const startTime = ceilToMicroseconds(nowNs())
  const begunNs = pastMoment(directory.root)
  const reading = beginReadingParent(context, chosen, options.pageBytes, isCopied)
  await using source = await openSource(context, directory, options)
  const push: OperationContext = { ...context, signal: AbortSignal.any([context.signal, source.failed]) }
  log.info(
    `Started backup with name ${formatBackupName(source.startWalFile)} at LSN ${formatLsn(source.startLsn)}`,
  )
  const { contents, parent } = await planBackup(
    push,
    { directory, source, chosen, reading, begunNs },
    options,
  )
  const { name } = contents.identity
  await claimName(push, name, source)
  return await takingBackOnFailure(context, name, async tentative => {
    const pushing: PushContext = { ...push, own: tentative.own }
    if (isCopied && chosen !== undefined) {
      await copyParts(pushing, chosen.name, contents, options.partsAtOnce)
    }
    const packing = await pushParts(pushing, workers, source, contents, options)
    const smallParts = await pushControlAndWal(pushing, source, contents, packing, options)
    const stop = await source.stop()
    const pushed = judgeLateDamage(push, contents, packing, stop.finishLsn)
    const damaged = damagedFiles(contents, pushed, tellEmptied(contents.files, source, stop))
    // only now, so that late pages are named with the others
    if (options.failsOnCorrupt) await reportAll(push, source, damaged, true)
    const number = nextPart(pushed.parts, '').number + smallParts.length
    if (stop.labels !== undefined) {
      smallParts.push(await pushLabels({ context: pushing, backup: name, number }, stop.labels))
    }
    const names = options.hasDatabaseNames ? source.readDatabases() : null
    const [databases] = await Promise.all([names, source.waitForWal(stop)])
    const packed = recordOf(contents, pushed, smallParts, options, source)
    if (parent !== undefined && options.isPermanent) await markAncestors(push, parent.name)
    const finished = {
      identity: contents.identity,
      startLsn: source.startLsn,
      finishLsn: stop.finishLsn,
      startTime,
      versionNumber: source.versionNumber,
      systemIdentifier: source.systemIdentifier,
      dataDirectory: contents.root,
      catalogBytes: contents.catalogBytes,
      spec: contents.spec,
      parts: [...packed.parts, ...packed.smallParts],
      uncompressedBytes: null,
      files: filesMetadataOf(packed, databases === null ? null : formatDatabases(databases)),
      manifest: contentManifestOf(packed),
      assertParent: async () => {
        if (parent !== undefined) await assertParentStored(push, parent)
      },
    }
    const sizes = await commitBackup(push, options, finished, tentative)
    await reportAll(push, source, damaged, false, databases)
    log.info(`Wrote backup with name ${name} to storage ${storage.name}`)
    return {
      name,
      storageName: storage.name,
      parent: parent?.name ?? null,
      ...sizes,
      filesCount: contents.headers.length,
      partsCount: packed.parts.length + smallParts.length,
      corruptPagesCount: countPages(pushed.damage),
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

/** pg_control comes after all data; WAL that travels inside the backup before it. */
async function pushControlAndWal(
  context: PushContext,
  source: BackupSource,
  contents: Contents,
  pushed: PushedParts,
  { diskBytesPerSecond }: BackupPushOptions,
): Promise<SmallPart[]> {
  const smallParts: SmallPart[] = []
  const next = nextPart(pushed.parts, context.codec.extension)
  const place = { context, backup: contents.identity.name }
  if (source.wal.length > 0) {
    smallParts.push(
      await pushWalMembers({ ...place, number: next.number }, next.name, source.wal, diskBytesPerSecond),
    )
  }
  const number = next.number + smallParts.length
  smallParts.push(await pushControlFile({ ...place, number }, contents.controlFile))
  return smallParts
}

function damagedFiles(
  { files }: Contents,
  { damage }: PushedParts,
  isEmptied: (index: number) => boolean,
): DamagedFile[] {
  return [...damage].map(([index, blocks]) => ({
    memberName: files.memberName(index),
    blocks,
    isEmptied: isEmptied(index),
  }))
}

/** Says which relations have damaged pages; `known` spares asking the server again. */
async function reportAll(
  { log }: OperationContext,
  source: BackupSource,
  damaged: readonly DamagedFile[],
  isFatal: boolean,
  known: DatabasesByNames | null = null,
): Promise<void> {
  if (damaged.length === 0) return
  reportDamage(log, damaged, known ?? (await source.readDatabases()), isFatal)
}

/** Copied parts come after all others. */
function numberCopied({ files }: Contents, first: number): NumberedPart[] {
  files.numberCopied(first)
  return files.copiedParts().map(({ name, source, contentBytes }, at) => ({
    number: first + at,
    name,
    contentBytes,
    storedBytes: source.sizeBytes,
    storedHash: source.hash,
    modifiedNs: undefined,
  }))
}

function recordOf(
  contents: Contents,
  pushed: PushedParts,
  smallParts: readonly SmallPart[],
  options: BackupPushOptions,
  { pages }: BackupSource,
): PackedContents {
  const copied = numberCopied(contents, nextPart(pushed.parts, '').number)
  return {
    identity: contents.identity,
    pageBytes: options.pageBytes,
    files: contents.files,
    headers: contents.headers,
    parts: [...pushed.parts, ...copied],
    smallParts,
    damage: pushed.damage,
    storesAllCorrupt: options.storesAllCorrupt,
    isVerified: options.isVerifying && pages !== undefined,
  }
}
