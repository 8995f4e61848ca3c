import type { DatabaseRows } from '../../../postgres/cluster/cluster-facts.ts'
import type { DatabasesByNames } from '../../../postgres/cluster/database-names.ts'
import type { RelationUpdates } from '../../../postgres/cluster/relation-updates.ts'
import type { Lsn } from '../../../postgres/lsn.ts'
import type { TimelineId } from '../../../postgres/wal-segment.ts'
import type { WalMember } from './wal-members.ts'

/** What the end of a backup gives. */
export interface SourceStop {
  readonly finishLsn: Lsn
  /** Contents of `backup_label` and `tablespace_map`; undefined when the directory needs none. */
  readonly labels: { readonly labelFile: string; readonly tablespaceMap: string } | undefined
}

/** Where a backup comes from: a running server, or a directory at rest. Disposing it before `stop` gives the backup up. */
export interface BackupSource extends AsyncDisposable {
  /** The WAL segment that the backup begins in: names it. */
  readonly startWalFile: string
  readonly timeline: TimelineId
  readonly startLsn: Lsn
  /** As in `BackupSession`; undefined when there is no server. */
  readonly nextXid: bigint | undefined
  /** False on a standby: it starts where its last restartpoint does, which may be long ago. */
  readonly startsNow: boolean
  /** The server hands finished WAL to an archiver; undefined when there is no server, and on a standby, where the primary may do that. */
  readonly isArchiving: boolean | undefined
  /** `server_version_num`. */
  readonly versionNumber: number
  readonly systemIdentifier: bigint
  /** Aborted when the backup cannot succeed any more; the reason is a WalgError. */
  readonly failed: AbortSignal
  /** Verify pages that were not written since; undefined when the cluster has no data checksums. */
  readonly pages: { readonly pageBytes: number; readonly blocksPerSegment: number } | undefined
  /**
   * Since this moment, in nanoseconds since 1970, VACUUM has moved the LSN of every page that it marks all-visible: there are data
   * checksums, or `wal_log_hints` is on, and neither can be switched while the server runs. Undefined: that is not known.
   */
  readonly hasMarksInLsnSinceNs: bigint | undefined
  /** As they were before the backup began, for the next delta; undefined when no server can be asked. */
  readonly databases: DatabaseRows | undefined
  /** WAL that travels inside the backup. */
  readonly wal: readonly WalMember[]
  /** The server sums up its WAL as it goes (`summarize_wal`, 17 and later). */
  isSummarizing(): Promise<boolean>
  stop(): Promise<SourceStop>
  /** Returns when the WAL that the backup needs is where a restore will look for it. */
  waitForWal(stop: SourceStop): Promise<void>
  /**
   * As they are now, after the backup began, for this delta: what was made or moved before its start, WAL replay does not make again.
   * Undefined when no server can be asked.
   */
  readDatabaseRows(): Promise<DatabaseRows | undefined>
  /** How often relations were updated; null when no server can be asked. */
  readUpdates(): Promise<RelationUpdates | null>
  /** Which file belongs to which relation; null when no server can be asked. */
  readDatabases(): Promise<DatabasesByNames | null>
}
