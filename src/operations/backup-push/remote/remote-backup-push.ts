import { throwIfCancelled } from '../../../kit/clock.ts'
import { WalgError } from '../../../kit/errors.ts'
import { ceilToMicroseconds, nowNs } from '../../../kit/timestamp.ts'
import { takeBackupLock } from '../../../postgres/cluster/backup-lock.ts'
import type { Cluster } from '../../../postgres/cluster/cluster.ts'
import {
  type ClusterFacts,
  isArchiving,
  readArchiverState,
  readClusterFacts,
  readNextXid,
} from '../../../postgres/cluster/cluster-facts.ts'
import { connectCluster } from '../../../postgres/cluster/connect.ts'
import { readDatabaseNames } from '../../../postgres/cluster/database-names.ts'
import { formatLsn, type Lsn, toLsn } from '../../../postgres/lsn.ts'
import { type BaseBackupEvent, readBaseBackup } from '../../../postgres/replication/base-backup.ts'
import { formatSegmentName, segmentOfLsn, type TimelineId } from '../../../postgres/wal-segment.ts'
import { type BackupName, formatBackupName } from '../../../repository/backup-name.ts'
import type { TablespaceSpec } from '../../../repository/tablespace-spec.ts'
import { storageIdentity } from '../../../storage/storage-identity.ts'
import type { OperationContext } from '../../context.ts'
import { claimName, takingBackOnFailure } from '../claim-name.ts'
import { commitBackup } from '../commit-backup.ts'
import { countPages, reportDamage } from '../damage-report.ts'
import type { BackupPushOptions, BackupPushResult } from '../options.ts'
import type { PushContext } from '../own-objects.ts'
import { assertNoneMoved } from '../source/moved-databases.ts'
import { warnOfPlainWal } from '../source/plain-wal.ts'
import { lockPrimary } from '../source/primary-lock.ts'
import { checkSegmentSize } from '../source/segment-size-check.ts'
import { waitForStandbyWal } from '../source/standby-wal.ts'
import { waitForArchive } from '../source/wait-for-archive.ts'
import { readAgainThrough } from './read-again.ts'
import { RemoteParts } from './remote-parts.ts'
import { remoteFilesMetadata, remoteManifest } from './remote-record.ts'
import { assertAllSent, readTablespaceNames } from './sent-tablespaces.ts'
import { StreamedPages } from './streamed-pages.ts'

/** What a backup without a data directory needs to know. */
export type RemoteBackupOptions = Pick<
  BackupPushOptions,
  | 'connection'
  | 'primary'
  | 'isPermanent'
  | 'userData'
  | 'isVerifying'
  | 'failsOnCorrupt'
  | 'storesAllCorrupt'
  | 'hasFilesMetadata'
  | 'partBytesMax'
  | 'diskBytesPerSecond'
  | 'walSegmentBytes'
  | 'stopTimeoutMs'
>

/** The original's word; it stands in the label file. */
const LABEL = 'wal-g'
const NO_DAMAGE: ReadonlyMap<string, readonly number[]> = new Map()

/**
 * Takes a full backup over the replication protocol, from anywhere. The sentinel is written last, when everything it speaks
 * of is durable and the WAL it needs is in the archive; any failure before leaves no backup.
 */
export async function remoteBackupPush(
  context: OperationContext,
  options: RemoteBackupOptions,
): Promise<BackupPushResult> {
  const { log, storage, signal } = context
  log.info('Running remote backup through Postgres connection.')
  log.info(
    'Features like delta backup and partial restore are disabled, there might be a performance impact.',
  )
  log.info('To run with local backup functionalities, supply [db_directory].')
  await using cluster = await connectCluster(options.connection, { log, signal })
  const facts = await readClusterFacts(cluster)
  checkSettings(context, facts, options)
  const repositoryIdentity = storageIdentity(context.storageDescription)
  const { systemIdentifier } = facts
  const primary = facts.isInRecovery ? options.primary : undefined
  await using _ = await lockPrimary({ log, signal, systemIdentifier, primary, repositoryIdentity })
  await using lock = await cluster.openSession()
  await takeBackupLock(lock, repositoryIdentity)
  const tablespacesBefore = await readTablespaceNames(cluster)
  await using session = await cluster.openReplication()
  log.info('Starting remote backup')
  const startTime = ceilToMicroseconds(nowNs())
  const isVerifying = options.isVerifying && facts.hasDataChecksums
  const events = readBaseBackup(
    session,
    {
      label: LABEL,
      majorVersion: cluster.majorVersion,
      isVerifying,
      bytesPerSecond: options.diskBytesPerSecond,
      silenceMs: context.storageDescription.stallTimeoutMs,
    },
    ({ severity, message }) => log.debug(`${severity} of the server: ${message}`),
  )
  const begin = { ...(await nextEvent(events, 'begin')), nextXid: await readNextXid(cluster) }
  assertAllSent(tablespacesBefore, await readTablespaceNames(cluster), begin.tablespaces)
  const walFile = segmentName(begin.timeline, begin.startLsn, options)
  const name = formatBackupName(walFile)
  log.info(`Started backup with name ${name} at LSN ${formatLsn(begin.startLsn)}`)
  await claimName(context, name, { startsNow: !facts.isInRecovery })
  return await takingBackOnFailure(context, name, async tentative => {
    const { startLsn } = begin
    const { blockBytes: pageBytes, blocksPerSegment } = facts
    const pages = isVerifying ? new StreamedPages({ pageBytes, blocksPerSegment, startLsn, log }) : undefined
    // nobody need wait for the end when the sessions that it takes are gone
    const signal = AbortSignal.any([context.signal, cluster.lost, lock.lost])
    const received = await receive(
      { ...context, signal, own: tentative.own },
      name,
      begin,
      events,
      options,
      pages,
    )
    const damage = (await pages?.judge(received.stopLsn, readAgainThrough(cluster))) ?? NO_DAMAGE
    await assertNoneMoved(cluster, facts.databases)
    await reportAll(context, cluster, damage, received.isDamaged, options.failsOnCorrupt)
    await waitForWal(context, cluster, facts, begin, received.stopLsn, options)
    log.info('Updating metadata')
    const { parts, files } = received.packed
    const backup = {
      identity: { name, delta: null, walkedNs: received.beganNs },
      startLsn: begin.startLsn,
      finishLsn: received.stopLsn,
      startTime,
      versionNumber: facts.versionNumber,
      systemIdentifier: facts.systemIdentifier,
      dataDirectory: facts.dataDirectory,
      catalogBytes: 0,
      spec: specOf(facts, begin),
      parts,
      uncompressedBytes: received.receivedBytes,
      files: remoteFilesMetadata(files, damage, options.storesAllCorrupt),
      manifest: remoteManifest(name, parts, files),
      assertParent: async () => {},
    }
    log.info('Uploading metadata')
    const sizes = await commitBackup(context, options, backup, tentative)
    log.info(`Wrote backup with name ${name}`)
    return {
      name,
      storageName: storage.name,
      parent: null,
      ...sizes,
      filesCount: files.length,
      partsCount: parts.length,
      corruptPagesCount: countPages(damage),
    }
  })
}

type Begin = Extract<BaseBackupEvent, { kind: 'begin' }> & {
  /** As in `BackupSession`. */
  readonly nextXid: bigint
}

function checkSettings({ log }: OperationContext, facts: ClusterFacts, options: RemoteBackupOptions): void {
  checkSegmentSize(facts, options)
  if (!options.hasFilesMetadata) log.info('Files metadata tracking is disabled')
  if (options.isVerifying && !facts.hasDataChecksums) {
    log.warning('data_checksums is disabled in the cluster: page checksums are not verified')
  }
  if (facts.isInRecovery || isArchiving(facts)) return
  log.warning(
    `archive_mode is "${facts.archiveMode}": WAL is not archived, and without it the backup cannot be restored`,
  )
}

async function nextEvent<K extends BaseBackupEvent['kind']>(
  events: AsyncGenerator<BaseBackupEvent>,
  kind: K,
): Promise<Extract<BaseBackupEvent, { kind: K }>> {
  const next = await events.next()
  if (next.done !== true && next.value.kind === kind)
    return next.value as Extract<BaseBackupEvent, { kind: K }>
  throw new WalgError('FORMAT_INVALID', `the answer to BASE_BACKUP does not bring "${kind}" where it should`)
}

interface Received {
  readonly packed: RemoteParts
  readonly stopLsn: Lsn
  readonly receivedBytes: number
  readonly beganNs: bigint
  /** The server says that it has sent damaged pages. */
  readonly isDamaged: boolean
}

/** Packs the archives as they come, until the server says where the backup ends. */
async function receive(
  context: PushContext,
  name: BackupName,
  begin: Begin,
  events: AsyncGenerator<BaseBackupEvent>,
  options: RemoteBackupOptions,
  pages: StreamedPages | undefined,
): Promise<Received> {
  const { log, progress, signal } = context
  const beganNs = nowNs()
  const packed = new RemoteParts(context, name, options.partBytesMax, begin.nextXid, pages)
  let receivedBytes = 0
  log.info('Streaming remote backup')
  progress.begin('backup-push', begin.totalBytes)
  try {
    let event = await events.next()
    /** The data of one archive; what ends it is left in `event`. */
    const archive = async function* (): AsyncGenerator<Uint8Array> {
      for (;;) {
        event = await events.next()
        if (event.done === true || event.value.kind !== 'data') return
        throwIfCancelled(signal)
        receivedBytes += event.value.bytes.length
        progress.advance(event.value.bytes.length)
        yield event.value.bytes
      }
    }
    while (event.done !== true && event.value.kind === 'archive') {
      const { tablespace } = event.value
      const place = begin.tablespaces.find(({ oid }) => oid === tablespace)?.location
      log.info(tablespace === null ? 'Adding data directory' : `Adding tablespace ${tablespace} (${place})`)
      await packed.pack(archive(), tablespace)
    }
    log.info('Finishing backup')
    if (event.done === true || event.value.kind !== 'end') {
      throw new WalgError('FORMAT_INVALID', 'the answer to BASE_BACKUP has data where its end should be')
    }
    const { stopLsn, timeline } = event.value
    checkTimeline(begin, timeline)
    // what the server still has to say: that it found damaged pages, say
    let isDamaged = false
    for (event = await events.next(); event.done !== true; event = await events.next()) {
      if (event.value.kind === 'damaged') isDamaged = true
    }
    await packed.packControlFile()
    return { packed, stopLsn, receivedBytes, beganNs, isDamaged }
  } catch (error) {
    await packed.abort()
    throw error
  } finally {
    progress.end()
  }
}

/** Which relations have damaged pages; a server that has found some where none are seen here is believed, too. */
async function reportAll(
  { log }: OperationContext,
  cluster: Cluster,
  damage: ReadonlyMap<string, readonly number[]>,
  isToldDamaged: boolean,
  isFatal: boolean,
): Promise<void> {
  if (damage.size > 0) {
    const files = [...damage].map(([memberName, blocks]) => ({ memberName, blocks }))
    reportDamage(log, files, await readDatabaseNames(cluster), isFatal)
  } else if (isToldDamaged) {
    const message = 'the server has found damaged pages in what it sent'
    const hint = 'the log of the server names the files'
    if (isFatal) throw new WalgError('CHECKSUM_MISMATCH', `${message}: WALG_FAIL_ON_CORRUPT is set`, { hint })
    log.warning(`${message}: ${hint}`)
  }
}

function checkTimeline(begin: Begin, timeline: TimelineId): void {
  if (timeline === begin.timeline) return
  throw new WalgError('CLUSTER_STATE', 'Cannot finish backup because of changed timeline.', {
    facts: { start: begin.timeline, stop: timeline },
    hint: 'the standby was promoted while the backup was taken: take it again',
  })
}

async function waitForWal(
  context: OperationContext,
  cluster: Cluster,
  facts: ClusterFacts,
  begin: Begin,
  stopLsn: Lsn,
  options: RemoteBackupOptions,
): Promise<void> {
  const { storage, codec, log, signal } = context
  const stopFile = segmentName(begin.timeline, toLsn(stopLsn - 1n), options)
  const wait = {
    storage,
    extension: codec.extension,
    log,
    signal: AbortSignal.any([signal, cluster.lost]),
    timeoutMs: options.stopTimeoutMs,
  }
  if (facts.isInRecovery) {
    const { systemIdentifier } = facts
    await waitForStandbyWal({ ...wait, stopFile, systemIdentifier, primary: options.primary })
  } else if (isArchiving(facts)) {
    const readArchiver = () => readArchiverState(cluster)
    await waitForArchive({ ...wait, walDirectory: undefined, files: [stopFile], readArchiver })
  } else {
    log.warning(
      `archive_mode is off: nobody waits until WAL up to "${stopFile}" is archived, and without it the backup cannot be restored`,
    )
  }
  await warnOfPlainWal(context, stopFile)
}

function segmentName(timeline: TimelineId, lsn: Lsn, options: RemoteBackupOptions): string {
  const { walSegmentBytes } = options
  return formatSegmentName(segmentOfLsn(timeline, lsn, walSegmentBytes), walSegmentBytes)
}

/** The original writes one always, with an empty list of tablespaces, too. */
function specOf({ dataDirectory }: ClusterFacts, { tablespaces }: Begin): TablespaceSpec {
  return {
    basePrefix: dataDirectory,
    tablespaces: tablespaces.map(({ oid, location }) => ({ oid, location, link: `pg_tblspc/${oid}` })),
  }
}
