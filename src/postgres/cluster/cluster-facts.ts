import { WalgError } from '../../kit/errors.ts'
import type { TimelineId } from '../wal-segment.ts'
import type { Cluster } from './cluster.ts'

/** What a backup wants to know about the server before it begins. */
export interface ClusterFacts {
  readonly versionNumber: number
  /** `data_directory`, as the server says it; symbolic links not resolved. */
  readonly dataDirectory: string
  readonly systemIdentifier: bigint
  readonly timeline: TimelineId
  readonly isInRecovery: boolean
  readonly hasDataChecksums: boolean
  /** `off`, `on` or `always`. */
  readonly archiveMode: string
  readonly archiveCommand: string
  /** Empty before PostgreSQL 15. */
  readonly archiveLibrary: string
  readonly walSegmentBytes: number
  readonly blockBytes: number
}

/** `pg_stat_archiver`. */
export interface ArchiverState {
  readonly archivedCount: bigint
  readonly lastArchivedName: string | undefined
  readonly failedCount: bigint
  readonly lastFailedName: string | undefined
  readonly lastFailedTimeText: string | undefined
}

/** Reads the facts. Throws CLUSTER_QUERY with a hint about the grants when the role may not. */
export async function readClusterFacts(cluster: Cluster): Promise<ClusterFacts> {
  throw new WalgError('NOT_AVAILABLE', `the facts of ${cluster.address} are not there yet`)
}

/** Whether the server hands finished WAL to an archiver: as PostgreSQL itself decides when a backup stops. */
export function isArchiving(facts: ClusterFacts): boolean {
  return facts.isInRecovery
    ? facts.archiveMode === 'always'
    : facts.archiveMode === 'on' || facts.archiveMode === 'always'
}

export async function readArchiverState(cluster: Cluster): Promise<ArchiverState> {
  throw new WalgError('NOT_AVAILABLE', `the archiver of ${cluster.address} is not there yet`)
}
