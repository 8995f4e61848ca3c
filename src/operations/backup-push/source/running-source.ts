import { realpathSync } from 'node:fs'
import { join } from 'node:path'
import { fromSystemError, hasCode, WalgError } from '../../../kit/errors.ts'
import { civilTime, nowNs, timestampFromNs } from '../../../kit/timestamp.ts'
import { formatBackupHistoryName } from '../../../postgres/backup-label.ts'
import { type BackupSession, beginBackup } from '../../../postgres/cluster/backup-session.ts'
import type { Cluster } from '../../../postgres/cluster/cluster.ts'
import {
  type ClusterFacts,
  type DatabaseRows,
  isArchiving,
  isSummarizing,
  readArchiverState,
  readClusterFacts,
  readDatabaseRows,
} from '../../../postgres/cluster/cluster-facts.ts'
import { connectCluster } from '../../../postgres/cluster/connect.ts'
import { type DatabasesByNames, readDatabaseNames } from '../../../postgres/cluster/database-names.ts'
import { type RelationUpdates, readRelationUpdates } from '../../../postgres/cluster/relation-updates.ts'
import { type Lsn, toLsn } from '../../../postgres/lsn.ts'
import { formatSegmentName, segmentOfLsn, type TimelineId } from '../../../postgres/wal-segment.ts'
import { storageIdentity } from '../../../storage/storage-identity.ts'
import type { OperationContext } from '../../context.ts'
import type { BackupPushOptions } from '../options.ts'
import type { BackupSource, SourceStop } from './backup-source.ts'
import type { CheckedDirectory } from './data-directory-check.ts'
import { assertNoneMoved } from './moved-databases.ts'
import { warnOfPlainWal } from './plain-wal.ts'
import { lockPrimary } from './primary-lock.ts'
import { checkSegmentSize } from './segment-size-check.ts'
import { waitForStandbyWal } from './standby-wal.ts'
import { waitForArchive } from './wait-for-archive.ts'

/**
 * Begins a backup of the server that runs on `directory`. Throws CLUSTER_STATE when the server reached is another
 * one, or another backup of it into the same repository is under way.
 */
export async function openRunningSource(
  context: OperationContext,
  directory: CheckedDirectory,
  options: BackupPushOptions,
): Promise<BackupSource> {
  const { log, signal } = context
  const cluster = await connect(context, directory, options)
  try {
    const facts = await readClusterFacts(cluster)
    checkFacts(directory, facts, options)
    warnOfSettings(context, facts, options)
    const repositoryIdentity = storageIdentity(context.storageDescription)
    const { systemIdentifier } = facts
    const primary = facts.isInRecovery ? options.primary : undefined
    const primaryLock = await lockPrimary({ log, signal, systemIdentifier, primary, repositoryIdentity })
    try {
      log.info('Calling pg_start_backup()')
      const session = await beginBackup(cluster, {
        label: backupLabel(),
        repositoryIdentity,
        walSegmentBytes: options.walSegmentBytes,
        aliveCheckMs: options.aliveCheckMs,
        log,
        signal,
      })
      sayAliveCheck(context, options)
      return new RunningSource(context, directory, options, { cluster, facts, session, primaryLock })
    } catch (error) {
      await primaryLock[Symbol.asyncDispose]()
      throw error
    }
  } catch (error) {
    await cluster.close()
    throw error
  }
}

function sayAliveCheck({ log }: OperationContext, { aliveCheckMs }: BackupPushOptions): void {
  if (aliveCheckMs === 0) return
  log.info(`Initializing the PG alive checker (interval=${formatInterval(aliveCheckMs)})...`)
}

/** A directory whose server neither runs nor was shut down cleanly cannot be backed up in any way. */
async function connect(
  { log, signal }: OperationContext,
  { root, control, isInUse }: CheckedDirectory,
  options: BackupPushOptions,
): Promise<Cluster> {
  try {
    return await connectCluster(options.connection, { log, signal })
  } catch (error) {
    if (isInUse || !hasCode(error, 'CLUSTER_UNREACHABLE')) throw error
    throw new WalgError('CLUSTER_UNREACHABLE', error.message, {
      facts: { ...error.facts, state: control.state },
      cause: error,
      hint: `no server runs on "${root}", and it was not shut down cleanly (${control.state}): start it, or start it and stop it`,
    })
  }
}

/** What a backup of a running server holds on to. */
interface RunningBackup {
  readonly cluster: Cluster
  readonly facts: ClusterFacts
  readonly session: BackupSession
  readonly primaryLock: AsyncDisposable
}

class RunningSource implements BackupSource {
  readonly startWalFile: string
  readonly timeline: TimelineId
  readonly startLsn: Lsn
  readonly nextXid: bigint
  readonly startsNow: boolean
  readonly isArchiving: boolean | undefined
  readonly versionNumber: number
  readonly systemIdentifier: bigint
  readonly failed: AbortSignal
  readonly pages: BackupSource['pages']
  readonly hasMarksInLsnSinceNs: bigint | undefined
  readonly databases: DatabaseRows
  readonly wal: BackupSource['wal'] = []
  readonly #context: OperationContext
  readonly #directory: CheckedDirectory
  readonly #options: BackupPushOptions
  readonly #cluster: Cluster
  readonly #facts: ClusterFacts
  readonly #session: BackupSession
  readonly #primaryLock: AsyncDisposable
  #stopCalledMs = 0

  constructor(
    context: OperationContext,
    directory: CheckedDirectory,
    options: BackupPushOptions,
    { cluster, facts, session, primaryLock }: RunningBackup,
  ) {
    this.#primaryLock = primaryLock
    this.#context = context
    this.#directory = directory
    this.#options = options
    this.#cluster = cluster
    this.#facts = facts
    this.#session = session
    this.startWalFile = session.startWalFile
    this.timeline = session.timeline
    this.startLsn = session.startLsn
    this.nextXid = session.nextXid
    this.startsNow = !session.isStandby
    this.isArchiving = session.isStandby ? undefined : isArchiving(facts)
    this.versionNumber = facts.versionNumber
    this.systemIdentifier = facts.systemIdentifier
    this.failed = session.failed
    this.databases = facts.databases
    const { blocksPerSegment } = directory.control
    this.hasMarksInLsnSinceNs = facts.hasDataChecksums || facts.hasLoggedHints ? facts.startedNs : undefined
    this.pages = facts.hasDataChecksums ? { pageBytes: facts.blockBytes, blocksPerSegment } : undefined
  }

  async isSummarizing(): Promise<boolean> {
    return await isSummarizing(this.#cluster)
  }

  async stop(): Promise<SourceStop> {
    this.#context.log.info('Calling pg_stop_backup()')
    this.#stopCalledMs = performance.now()
    await assertNoneMoved(this.#cluster, this.databases)
    const stop = await this.#session.stop({ timeoutMs: this.#options.stopTimeoutMs })
    return {
      finishLsn: stop.stopLsn,
      labels: { labelFile: stop.labelFile, tablespaceMap: stop.tablespaceMap },
    }
  }

  async waitForWal(stop: SourceStop): Promise<void> {
    const { storage, codec, log, signal } = this.#context
    const stopFile = this.#segmentName(toLsn(stop.finishLsn - 1n))
    const usedMs = performance.now() - this.#stopCalledMs
    const { stopTimeoutMs, primary } = this.#options
    const wait = {
      storage,
      extension: codec.extension,
      log,
      signal: AbortSignal.any([signal, this.failed, this.#cluster.lost]),
      timeoutMs: stopTimeoutMs === 0 ? 0 : Math.max(1, stopTimeoutMs - usedMs),
    }
    if (this.#session.isStandby) {
      const { systemIdentifier } = this
      await waitForStandbyWal({ ...wait, stopFile, systemIdentifier, primary })
    } else if (isArchiving(this.#facts)) {
      await waitForArchive({
        ...wait,
        walDirectory: join(this.#directory.root, 'pg_wal'),
        files: [stopFile, this.#historyFile()],
        readArchiver: () => readArchiverState(this.#cluster),
      })
    } else {
      log.warning(
        `archive_mode is off: nobody waits until WAL up to "${stopFile}" is archived, and without it the backup cannot be restored`,
      )
    }
    await warnOfPlainWal({ storage, codec, log, signal }, stopFile)
  }

  async readDatabaseRows(): Promise<DatabaseRows> {
    return readDatabaseRows(this.#cluster)
  }

  async readUpdates(): Promise<RelationUpdates> {
    this.#context.log.info('Querying pg_stat_all_tables')
    return readRelationUpdates(this.#cluster)
  }

  async readDatabases(): Promise<DatabasesByNames> {
    this.#context.log.info('Querying pg_database')
    return readDatabaseNames(this.#cluster)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.#session[Symbol.asyncDispose]()
    } finally {
      await this.#primaryLock[Symbol.asyncDispose]()
      await this.#cluster.close()
    }
  }

  #segmentName(lsn: Lsn): string {
    const { walSegmentBytes } = this.#options
    return formatSegmentName(segmentOfLsn(this.#session.timeline, lsn, walSegmentBytes), walSegmentBytes)
  }

  /** The backup history file that a primary writes when a backup stops. */
  #historyFile(): string {
    const { walSegmentBytes } = this.#options
    return formatBackupHistoryName(this.#segmentName(this.startLsn), this.startLsn, walSegmentBytes)
  }
}

function checkFacts(directory: CheckedDirectory, facts: ClusterFacts, options: BackupPushOptions): void {
  const own = resolveServerDirectory(facts.dataDirectory)
  if (own !== directory.root) {
    throw new WalgError(
      'CLUSTER_STATE',
      `Data directory from command line '${directory.root}' is not the same as Postgres' one '${own}'`,
      {
        facts: { given: directory.root, server: own },
        hint: 'give the directory of the server that PGHOST and PGPORT lead to, or connect to the other server',
      },
    )
  }
  if (facts.systemIdentifier !== directory.control.systemIdentifier) {
    throw new WalgError(
      'CLUSTER_STATE',
      `"${directory.root}" belongs to system ${directory.control.systemIdentifier}, the server is system ${facts.systemIdentifier}`,
      { hint: 'the server runs on another directory of the same name (another host or container)' },
    )
  }
  checkSegmentSize(facts, options)
}

/** The server's directory may not be visible from here: then its name as it stands is all there is to compare. */
function resolveServerDirectory(path: string): string {
  try {
    return realpathSync(path)
  } catch (error) {
    throw fromSystemError(error, 'resolve the data directory of the server', path)
  }
}

function warnOfSettings(context: OperationContext, facts: ClusterFacts, options: BackupPushOptions): void {
  const { log } = context
  if (options.isVerifying) {
    if (facts.hasDataChecksums) log.info('data_checksums is enabled in DB.')
    else log.warning('data_checksums is disabled in the cluster: page checksums are not verified')
  }
  if (facts.isInRecovery) return
  if (!isArchiving(facts)) {
    log.warning(
      `archive_mode is "${facts.archiveMode}": WAL is not archived, and without it the backup cannot be restored`,
    )
  } else if (facts.archiveLibrary === '' && ['', '(disabled)'].includes(facts.archiveCommand)) {
    log.warning('archive_command is not set: the end of the backup waits until WAL is archived')
  }
}

/** As the original writes durations: `1m0s`, `1h0m0s`, `500ms`. */
function formatInterval(ms: number): string {
  if (ms < 1000) return `${ms}ms`
  const hours = Math.floor(ms / 3_600_000)
  const minutes = Math.floor((ms % 3_600_000) / 60_000)
  const seconds = (ms % 60_000) / 1000
  if (hours > 0) return `${hours}h${minutes}m${seconds}s`
  return minutes > 0 ? `${minutes}m${seconds}s` : `${seconds}s`
}

/** As the original writes it: the time, in UTC here. */
function backupLabel(): string {
  const time = timestampFromNs(nowNs())
  const [year, month, day, hour, minute, second] = civilTime(time)
  const two = (value: number): string => String(value).padStart(2, '0')
  const micros = String(Math.floor(time.nanos / 1000)).padStart(6, '0')
  return `${year}-${two(month)}-${two(day)} ${two(hour)}:${two(minute)}:${two(second)}.${micros} +0000 UTC`
}
