import { WalgError } from '../../kit/errors.ts'
import type { Logger } from '../../kit/log.ts'
import type { Lsn } from '../lsn.ts'
import type { TimelineId } from '../wal-segment.ts'
import type { Cluster } from './cluster.ts'

export interface BackupOptions {
  /** The LABEL line of backup_label. */
  readonly label: string
  /** Names the repository: two backups of one cluster into the same one exclude each other. */
  readonly repositoryIdentity: string
  readonly walSegmentBytes: number
  /** Ping the server this often; 0: never. */
  readonly aliveCheckMs: number
  readonly log: Logger
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
  /** Aborted when the backup cannot succeed any more (connection lost, alive check failed); the reason is a WalgError. */
  readonly failed: AbortSignal
  /**
   * Stops the backup without waiting for the archive, and re-checks timeline and label. `timeoutMs` 0: none. Throws TIMEOUT,
   * CLUSTER_STATE (promoted meanwhile, label of another backup), CLUSTER_UNREACHABLE.
   */
  stop(options: { readonly timeoutMs: number }): Promise<BackupStop>
}

/** Begins a non-exclusive backup with a fast checkpoint, on a session of its own. Throws CLUSTER_STATE when another one runs. */
export async function beginBackup(cluster: Cluster, options: BackupOptions): Promise<BackupSession> {
  throw new WalgError(
    'NOT_AVAILABLE',
    `beginning a backup of ${cluster.address} (${options.label}) is not there yet`,
  )
}
