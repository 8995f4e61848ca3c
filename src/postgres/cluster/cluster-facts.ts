import { WalgError } from '../../kit/errors.ts'
import { type TimelineId, toTimelineId } from '../wal-segment.ts'
import type { Cluster, Row } from './cluster.ts'

/** What a backup wants to know about the server before it begins. */
export interface ClusterFacts {
  readonly versionNumber: number
  /** `data_directory`, as the server says it; symbolic links not resolved. */
  readonly dataDirectory: string
  readonly systemIdentifier: bigint
  readonly timeline: TimelineId
  readonly isInRecovery: boolean
  readonly hasDataChecksums: boolean
  /** `wal_log_hints`, of this server itself. */
  readonly hasLoggedHints: boolean
  /** When its postmaster was started, nanoseconds since 1970. */
  readonly startedNs: bigint
  /** `off`, `on` or `always`. */
  readonly archiveMode: string
  readonly archiveCommand: string
  /** Empty before PostgreSQL 15. */
  readonly archiveLibrary: string
  readonly walSegmentBytes: number
  readonly blockBytes: number
  readonly databases: DatabaseRows
  /** Of a file of a relation, before the next one begins. */
  readonly blocksPerSegment: number
}

/** What `pg_database` says of a database. */
export interface DatabaseRow {
  /** Oid of its default tablespace. */
  readonly tablespace: number
  /**
   * The transaction that wrote the row; it stays when the row is frozen, and ALTER, GRANT and CREATE DATABASE write another. Within
   * one history of a cluster the same number under the same oid means the same row. Undefined where somebody did not keep it.
   */
  readonly xmin?: number | undefined
}

/** Every database of which the creation is committed, by its oid. */
export type DatabaseRows = ReadonlyMap<number, DatabaseRow>

/** `pg_stat_archiver`. */
export interface ArchiverState {
  readonly archivedCount: bigint
  readonly lastArchivedName: string | undefined
  readonly failedCount: bigint
  readonly lastFailedName: string | undefined
  readonly lastFailedTimeText: string | undefined
  /** The last try failed: nothing has been archived since. */
  readonly isFailing: boolean
}

/** On a standby the last checkpoint (restartpoint) tells the timeline, on a primary the WAL being written. */
export const TIMELINE_SQL = `
  case when pg_catalog.pg_is_in_recovery()
    then (select timeline_id::text from pg_catalog.pg_control_checkpoint())
    else ('x' || pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_insert_lsn()), 1, 8))::bit(32)::bigint::text
  end`

const DATABASES_SQL = `
  (select pg_catalog.json_object_agg(oid, pg_catalog.json_build_array(dattablespace::bigint, xmin::text::bigint))::text
    from pg_catalog.pg_database)`

const FACTS_SQL = `
  select pg_catalog.current_setting('data_directory') as data_directory,
    (select system_identifier::text from pg_catalog.pg_control_system()) as system_identifier,
    pg_catalog.pg_is_in_recovery() as in_recovery,
    ${TIMELINE_SQL} as timeline,
    pg_catalog.current_setting('data_checksums') as data_checksums,
    pg_catalog.current_setting('wal_log_hints') as wal_log_hints,
    (extract(epoch from pg_catalog.pg_postmaster_start_time()) * 1000000)::bigint::text as started_us,
    pg_catalog.current_setting('archive_mode') as archive_mode,
    pg_catalog.current_setting('archive_command') as archive_command,
    pg_catalog.current_setting('archive_library', true) as archive_library,
    (select setting from pg_catalog.pg_settings where name = 'wal_segment_size') as wal_segment_size,
    pg_catalog.current_setting('block_size') as block_size,
    ${DATABASES_SQL} as databases,
    (select setting from pg_catalog.pg_settings where name = 'segment_size') as segment_size`

/** Reads the facts. Throws CLUSTER_QUERY with a hint about the grants when the role may not. */
export async function readClusterFacts(cluster: Cluster): Promise<ClusterFacts> {
  const [row] = await cluster.query(FACTS_SQL)
  const text = (name: string): string => textOf(row, name)
  return {
    versionNumber: cluster.versionNumber,
    dataDirectory: text('data_directory'),
    // the server prints it as a signed number
    systemIdentifier: BigInt.asUintN(64, BigInt(text('system_identifier'))),
    timeline: toTimelineId(Number(text('timeline'))),
    isInRecovery: text('in_recovery') === 't',
    hasDataChecksums: text('data_checksums') === 'on',
    hasLoggedHints: text('wal_log_hints') === 'on',
    startedNs: BigInt(text('started_us')) * 1000n,
    archiveMode: text('archive_mode'),
    archiveCommand: text('archive_command') === '(disabled)' ? '' : text('archive_command'),
    archiveLibrary: row?.['archive_library'] ?? '',
    walSegmentBytes: Number(text('wal_segment_size')),
    blockBytes: Number(text('block_size')),
    databases: parseDatabases(text('databases')),
    blocksPerSegment: Number(text('segment_size')),
  }
}

/** As `ClusterFacts.databases`, now. */
export async function readDatabaseRows(cluster: Cluster): Promise<DatabaseRows> {
  const [row] = await cluster.query(`select ${DATABASES_SQL} as databases`)
  return parseDatabases(textOf(row, 'databases'))
}

function parseDatabases(json: string): DatabaseRows {
  const rows = Object.entries(JSON.parse(json) as Record<string, [number, number]>)
  return new Map(rows.map(([oid, [tablespace, xmin]]) => [Number(oid), { tablespace, xmin }]))
}

/** Whether the server hands finished WAL to an archiver: as PostgreSQL itself decides when a backup stops. */
export function isArchiving(facts: ClusterFacts): boolean {
  return facts.archiveMode === 'always' || (facts.archiveMode === 'on' && !facts.isInRecovery)
}

/** The timeline now. Compare it with the one at the beginning to notice a promotion. */
export async function readTimeline(cluster: Cluster): Promise<TimelineId> {
  const [row] = await cluster.query(`select ${TIMELINE_SQL} as timeline`)
  return toTimelineId(Number(textOf(row, 'timeline')))
}

/**
 * The timeline that a standby's data files have come to, which is ahead of that of its last restartpoint when it has followed
 * a promoted primary since. 0 on a primary.
 */
export async function readReplayTimeline(cluster: Cluster): Promise<number> {
  const [row] = await cluster.query(
    'select min_recovery_end_timeline::text as timeline from pg_catalog.pg_control_recovery()',
  )
  return Number(textOf(row, 'timeline'))
}

/** `next_xid` of the last checkpoint (on a standby: restartpoint), for `nextXidOf`. */
export const NEXT_XID_SQL = '(pg_catalog.pg_control_checkpoint()).next_xid'

/** The next transaction id, with its epoch, of a row that has it as `next_xid`. */
export function nextXidOf(row: Row | undefined): bigint {
  const [epoch, xid] = textOf(row, 'next_xid').split(':')
  return (BigInt(epoch!) << 32n) | BigInt(xid!)
}

/** As the last checkpoint knows it. */
export async function readNextXid(cluster: Cluster): Promise<bigint> {
  const [row] = await cluster.query(`select ${NEXT_XID_SQL} as next_xid`)
  return nextXidOf(row)
}

/** Whether the server makes WAL summaries; never before 17. */
export async function isSummarizing(cluster: Cluster): Promise<boolean> {
  const [row] = await cluster.query(`select pg_catalog.current_setting('summarize_wal', true) as summarizes`)
  return row?.['summarizes'] === 'on'
}

export async function readArchiverState(cluster: Cluster): Promise<ArchiverState> {
  const [row] = await cluster.query(`
    select archived_count, last_archived_wal, failed_count, last_failed_wal, last_failed_time,
      coalesce(last_failed_time > last_archived_time, last_failed_time is not null) as failing
    from pg_catalog.pg_stat_archiver`)
  return {
    archivedCount: BigInt(textOf(row, 'archived_count')),
    lastArchivedName: row?.['last_archived_wal'] ?? undefined,
    failedCount: BigInt(textOf(row, 'failed_count')),
    lastFailedName: row?.['last_failed_wal'] ?? undefined,
    lastFailedTimeText: row?.['last_failed_time'] ?? undefined,
    isFailing: row?.['failing'] === 't',
  }
}

/** The value of a column that is never NULL. */
export function textOf(row: Row | undefined, name: string): string {
  const value = row?.[name]
  if (value !== undefined && value !== null) return value
  throw new WalgError('CLUSTER_QUERY', `the server did not say its ${name}`, { facts: { column: name } })
}
