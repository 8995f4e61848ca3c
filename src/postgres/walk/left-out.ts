/** Something in a data directory that a backup does not take. */
export interface LeftOut {
  /** Base name, wherever it is met (storage-format 1.7). */
  readonly name: string
  /** A directory is kept, empty, because PostgreSQL wants to find it; a file is dropped. */
  readonly kind: 'directory' | 'file'
  readonly reason: string
}

/** The one list of what is left out of a backup, each with its reason. */
export const LEFT_OUT: readonly LeftOut[] = [
  { name: 'log', kind: 'directory', reason: 'server logs belong to the old server' },
  { name: 'pg_log', kind: 'directory', reason: 'server logs, under their name before PostgreSQL 10' },
  { name: 'pg_xlog', kind: 'directory', reason: 'WAL, under its name before PostgreSQL 10' },
  { name: 'pg_wal', kind: 'directory', reason: 'WAL is fetched from the archive' },
  { name: 'pgsql_tmp', kind: 'directory', reason: 'temporary files of queries; the server empties it' },
  { name: 'postgresql.auto.conf.tmp', kind: 'file', reason: 'half-written by ALTER SYSTEM' },
  { name: 'postmaster.pid', kind: 'file', reason: 'would make the restored server believe that it runs' },
  { name: 'postmaster.opts', kind: 'file', reason: 'written at every start' },
  { name: 'recovery.conf', kind: 'file', reason: 'a restored server must not inherit recovery settings' },
  { name: 'pg_dynshmem', kind: 'directory', reason: 'shared memory; emptied at start' },
  { name: 'pg_notify', kind: 'directory', reason: 'LISTEN/NOTIFY state; emptied at start' },
  {
    name: 'pg_replslot',
    kind: 'directory',
    reason: 'a restored server must not hold WAL for old subscribers',
  },
  { name: 'pg_serial', kind: 'directory', reason: 'state of running transactions; emptied at start' },
  { name: 'pg_stat_tmp', kind: 'directory', reason: 'temporary statistics; emptied at start' },
  { name: 'pg_snapshots', kind: 'directory', reason: 'exported snapshots; emptied at start' },
  { name: 'pg_subtrans', kind: 'directory', reason: 'state of running transactions; emptied at start' },
  { name: 'standby.signal', kind: 'file', reason: 'a restored server must not become a standby by itself' },
]

/** What a standby has of its own: a catchup backup leaves it out as well (storage-format 1.7). */
export const LEFT_TO_STANDBY: readonly LeftOut[] = [
  { name: 'pg_hba.conf', kind: 'file', reason: 'who may connect to a standby is its own affair' },
  { name: 'postgresql.conf', kind: 'file', reason: 'a standby has settings of its own' },
  { name: 'postgresql.auto.conf', kind: 'file', reason: 'a standby has settings of its own' },
]

const byName: ReadonlyMap<string, LeftOut> = new Map(LEFT_OUT.map(one => [one.name, one]))

/** The entry of the list for a base name, if any. */
export function leftOutFor(baseName: string): LeftOut | undefined {
  return byName.get(baseName)
}
