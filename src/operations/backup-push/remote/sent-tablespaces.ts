import { WalgError } from '../../../kit/errors.ts'
import type { Cluster } from '../../../postgres/cluster/cluster.ts'
import { textOf } from '../../../postgres/cluster/cluster-facts.ts'
import type { RemoteTablespace } from '../../../postgres/replication/base-backup.ts'

/** Names of all tablespaces but those of initdb, by oid. */
export async function readTablespaceNames(cluster: Cluster): Promise<ReadonlyMap<string, string>> {
  const rows = await cluster.query(
    `select oid::text, spcname from pg_catalog.pg_tablespace where spcname not in ('pg_default', 'pg_global')`,
  )
  return new Map(rows.map(row => [textOf(row, 'oid'), textOf(row, 'spcname')]))
}

/**
 * Makes sure that the server sends all its tablespaces so that they can be restored. Those whose link is broken it leaves out
 * without a word, and those that are a directory in `pg_tblspc` (allow_in_place_tablespaces), too; from PostgreSQL 16 on it sends
 * these as if they lay elsewhere, at a relative path. One that came or went while the backup began is replayed from WAL. Throws
 * CLUSTER_STATE.
 */
export function assertAllSent(
  before: ReadonlyMap<string, string>,
  now: ReadonlyMap<string, string>,
  sent: readonly RemoteTablespace[],
): void {
  const isSent = (oid: string): boolean =>
    sent.some(each => each.oid === oid && each.location.startsWith('/'))
  const lost = [...before].filter(([oid]) => now.has(oid) && !isSent(oid))
  if (lost.length === 0) return
  const names = lost.map(([oid, name]) => `"${name}" (pg_tblspc/${oid})`).join(', ')
  throw new WalgError(
    'CLUSTER_STATE',
    `the tablespace ${names} cannot be backed up over the replication protocol`,
    {
      facts: { tablespaces: lost.length },
      hint: 'a tablespace there must be a link to a directory: take the backup beside the data directory (backup-push DIR), or repair the link',
    },
  )
}
