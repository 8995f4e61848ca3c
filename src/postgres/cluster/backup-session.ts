import { WalgError } from '../../kit/errors.ts'
import type { Logger } from '../../kit/log.ts'
import { parseBackupLabel } from '../backup-label.ts'
import { formatLsn, type Lsn, parseLsn, toLsn } from '../lsn.ts'
import { formatSegmentName, segmentOfLsn, type TimelineId, toTimelineId } from '../wal-segment.ts'
import { takeBackupLock } from './backup-lock.ts'
import type { Cluster } from './cluster.ts'
import { NEXT_XID_SQL, nextXidOf, readReplayTimeline, readTimeline, textOf } from './cluster-facts.ts'

export interface BackupOptions {
  /** The LABEL line of backup_label. */
  readonly label: string
  /** Names the repository: two backups of one cluster into the same one exclude each other. */
  readonly repositoryIdentity: string
  readonly walSegmentBytes: number
  /** Ping the server this often; 0: never. */
  readonly aliveCheckMs: number
  readonly log: Logger
  /** Interrupts the wait for the checkpoint at the beginning. */
  readonly signal: AbortSignal
}

export interface BackupStop {
  readonly stopLsn: Lsn
  /** Content of backup_label. */
  readonly labelFile: string
  /** Content of tablespace_map, often empty. */
  readonly tablespaceMap: string
}

/** A backup that the server knows about. Disposing it without `stop` aborts it on the server. */
export interface BackupSession extends AsyncDisposable {
  readonly startLsn: Lsn
  readonly timeline: TimelineId
  /** 24 hex digits: the backup's name is `base_` and this (storage-format 1.2). */
  readonly startWalFile: string
  readonly isStandby: boolean
  /** Next transaction id, with its epoch, as the checkpoint of the start knew it; a later checkpoint when one ended in that instant. */
  readonly nextXid: bigint
  /** Aborted when the backup cannot succeed any more (connection lost, alive check failed); the reason is a WalgError. */
  readonly failed: AbortSignal
  /**
   * Stops the backup without waiting for the archive, and checks timeline and label. `timeoutMs` 0: none. The lock that
   * keeps other backups away is held until the session is disposed. Throws TIMEOUT, CLUSTER_STATE (promoted
   * meanwhile, not in progress any more), CLUSTER_UNREACHABLE.
   */
  stop(options: { readonly timeoutMs: number }): Promise<BackupStop>
}

const PING_TIMEOUT_MS_MIN = 10_000
const UNLOCK_TIMEOUT_MS = 5000
/** From this version on the functions are called pg_backup_start and pg_backup_stop. */
const RENAMED_VERSION = 150_000
const STATE_WRONG = '55000'

/**
 * Begins a non-exclusive backup with a fast checkpoint, on a session of its own that keeps the advisory lock.
 * Throws CLUSTER_STATE when another one runs, CLUSTER_QUERY, CLUSTER_UNREACHABLE, CANCELLED.
 */
export async function beginBackup(cluster: Cluster, options: BackupOptions): Promise<BackupSession> {
  const session = await cluster.openSession()
  try {
    await takeBackupLock(session, options.repositoryIdentity)
    await checkMayStop(session)
    const call =
      session.versionNumber >= RENAMED_VERSION
        ? 'pg_catalog.pg_backup_start($1, true)'
        : 'pg_catalog.pg_start_backup($1, true, false)'
    // the checkpoint may take its time: no limit but the signal; asked in one statement, it is still the last one
    const [row] = await session.query(
      `select lsn::text, pg_catalog.pg_is_in_recovery() as standby,
         case when not pg_catalog.pg_is_in_recovery()
           then (pg_catalog.pg_walfile_name_offset(lsn)).file_name end as file_name,
         ${NEXT_XID_SQL} as next_xid
       from ${call} as lsn`,
      [options.label],
      { timeoutMs: 0, signal: options.signal },
    )
    const startLsn = parseLsn(textOf(row, 'lsn'))
    const isStandby = row?.['standby'] === 't'
    const place = isStandby
      ? await placeOnStandby(session, startLsn, options.walSegmentBytes)
      : placeOnPrimary(textOf(row, 'file_name'))
    return new RunningBackup(session, options, { startLsn, isStandby, nextXid: nextXidOf(row), ...place })
  } catch (error) {
    await session.close()
    throw error
  }
}

/** Asked beforehand: a role that may begin a backup, but not stop it, would learn of it hours later. */
async function checkMayStop(session: Cluster): Promise<void> {
  const stop =
    session.versionNumber >= RENAMED_VERSION ? 'pg_backup_stop(boolean)' : 'pg_stop_backup(boolean, boolean)'
  const [row] = await session.query(
    `select pg_catalog.has_function_privilege('pg_catalog.${stop}', 'execute') as may_stop`,
  )
  if (row?.['may_stop'] === 't') return
  throw new WalgError('CLUSTER_QUERY', `permission denied for function ${stop}`, {
    hint: `GRANT EXECUTE ON FUNCTION ${stop} to the role, in database "${session.database}"`,
  })
}

interface BackupStart {
  readonly startLsn: Lsn
  readonly isStandby: boolean
  readonly nextXid: bigint
  readonly timeline: TimelineId
  readonly startWalFile: string
  /** Of `readReplayTimeline`. */
  readonly replayTimeline: number
}

type BackupPlace = Pick<BackupStart, 'timeline' | 'startWalFile' | 'replayTimeline'>

function placeOnPrimary(startWalFile: string): BackupPlace {
  const timeline = toTimelineId(Number.parseInt(startWalFile.slice(0, 8), 16))
  return { timeline, startWalFile, replayTimeline: 0 }
}

async function placeOnStandby(
  session: Cluster,
  startLsn: Lsn,
  walSegmentBytes: number,
): Promise<BackupPlace> {
  const timeline = await readTimeline(session)
  const segment = segmentOfLsn(timeline, toLsn(startLsn - 1n), walSegmentBytes)
  const startWalFile = formatSegmentName(segment, walSegmentBytes)
  return { timeline, startWalFile, replayTimeline: await readReplayTimeline(session) }
}

class RunningBackup implements BackupSession {
  readonly startLsn: Lsn
  readonly nextXid: bigint
  readonly timeline: TimelineId
  readonly startWalFile: string
  readonly isStandby: boolean
  readonly #session: Cluster
  readonly #options: BackupOptions
  readonly #replayTimeline: number
  readonly #failed = new AbortController()
  #pings: ReturnType<typeof setInterval> | undefined
  #isStopped = false

  constructor(session: Cluster, options: BackupOptions, start: BackupStart) {
    this.startLsn = start.startLsn
    this.timeline = start.timeline
    this.startWalFile = start.startWalFile
    this.isStandby = start.isStandby
    this.nextXid = start.nextXid
    this.#replayTimeline = start.replayTimeline
    this.#session = session
    this.#options = options
    session.lost.addEventListener('abort', () => this.#fail(session.lost.reason), { once: true })
    if (session.lost.aborted) this.#fail(session.lost.reason)
    if (options.aliveCheckMs > 0) this.#pings = setInterval(() => void this.#ping(), options.aliveCheckMs)
  }

  get failed(): AbortSignal {
    return this.#failed.signal
  }

  async stop(options: { readonly timeoutMs: number }): Promise<BackupStop> {
    clearInterval(this.#pings)
    if (this.#failed.signal.aborted) throw this.#failed.signal.reason
    const call =
      this.#session.versionNumber >= RENAMED_VERSION
        ? 'pg_catalog.pg_backup_stop(false)'
        : 'pg_catalog.pg_stop_backup(false, false)'
    const [row] = await this.#session
      .query(`select lsn::text, labelfile, spcmapfile from ${call}`, [], options)
      .catch(error => {
        throw asStateError(error)
      })
    this.#isStopped = true
    const stop = {
      stopLsn: parseLsn(textOf(row, 'lsn')),
      labelFile: textOf(row, 'labelfile'),
      tablespaceMap: row?.['spcmapfile'] ?? '',
    }
    await this.#check(stop)
    return stop
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#pings)
    if (!this.#failed.signal.aborted) {
      // so that a backup that begins right after this one finds the lock free; the end of the session frees it too
      await this.#session
        .query('select pg_catalog.pg_advisory_unlock_all()', [], {
          timeoutMs: UNLOCK_TIMEOUT_MS,
          signal: null,
        })
        .catch(error => this.#options.log.debug(`releasing the backup lock: ${String(error)}`))
    }
    // a session that ends with its backup running aborts it on the server
    await this.#session.close()
  }

  /** The label must be of this backup, and the timeline the one it began on. */
  async #check(stop: BackupStop): Promise<void> {
    const label = parseBackupLabel(stop.labelFile)
    if (label.startLsn !== this.startLsn) {
      throw new WalgError(
        'CLUSTER_STATE',
        `the backup label begins at ${formatLsn(label.startLsn)}, this backup at ${formatLsn(this.startLsn)}`,
      )
    }
    const now = await readTimeline(this.#session)
    const isReplaySame = !this.isStandby || (await readReplayTimeline(this.#session)) === this.#replayTimeline
    if (now === this.timeline && (label.startTimeline ?? now) === now && isReplaySame) return
    throw new WalgError('CLUSTER_STATE', 'Cannot finish backup because of changed timeline.', {
      facts: { timeline: this.timeline, now },
      hint: 'the server was promoted, or follows another timeline, since the backup began: take a new backup',
    })
  }

  async #ping(): Promise<void> {
    const timeoutMs = Math.max(PING_TIMEOUT_MS_MIN, this.#options.aliveCheckMs)
    try {
      await this.#session.query('select 1', [], { timeoutMs, signal: null })
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error)
      this.#fail(new WalgError('CLUSTER_UNREACHABLE', `PG alive check failed: ${text}`, { cause: error }))
    }
  }

  #fail(reason: unknown): void {
    clearInterval(this.#pings)
    if (!this.#isStopped) this.#failed.abort(reason)
  }
}

/** 55000 when a standby was promoted, or when the session has no backup (any more). */
function asStateError(error: unknown): unknown {
  if (!(error instanceof WalgError) || error.facts['sqlState'] !== STATE_WRONG) return error
  return new WalgError('CLUSTER_STATE', `failed to stop backup: ${error.message}`, {
    facts: error.facts,
    cause: error,
    hint: error.hint ?? 'take a new backup',
  })
}
