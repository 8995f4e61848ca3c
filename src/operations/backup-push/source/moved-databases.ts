import { WalgError } from '../../../kit/errors.ts'
import type { Cluster } from '../../../postgres/cluster/cluster.ts'
import { type DatabaseRows, readDatabaseRows } from '../../../postgres/cluster/cluster-facts.ts'

/**
 * Makes sure that no database was moved to another tablespace since `before`, when the backup began. WAL says of that only that its
 * directory was copied: replayed on a backup that no longer has the old directory, it empties the new one. Throws CLUSTER_STATE.
 */
export async function assertNoneMoved(cluster: Cluster, before: DatabaseRows): Promise<void> {
  for (const [oid, { tablespace }] of await readDatabaseRows(cluster)) {
    const from = before.get(oid)?.tablespace
    if (from === undefined || from === tablespace) continue
    throw new WalgError(
      'CLUSTER_STATE',
      `the database with oid ${oid} was moved from tablespace ${from} to ${tablespace} while the backup was taken: it would be lost in a restore`,
      {
        facts: { database: oid, from, to: tablespace },
        hint: 'take the backup again, while no ALTER DATABASE … SET TABLESPACE runs',
      },
    )
  }
}
