import type { ConnectionSettings, ConnectOptions } from '../../postgres/cluster/cluster.ts'
import { readClusterFacts } from '../../postgres/cluster/cluster-facts.ts'
import { connectCluster } from '../../postgres/cluster/connect.ts'
import { type Lsn, parseLsn } from '../../postgres/lsn.ts'
import type { TimelineId } from '../../postgres/wal-segment.ts'

const POSITION_SQL = `
  select (case when pg_catalog.pg_is_in_recovery()
    then coalesce(pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn())
    else pg_catalog.pg_current_wal_lsn() end)::text as lsn`

/** Where the server writes, or a standby receives, now. Throws CLUSTER_UNREACHABLE, CLUSTER_QUERY. */
export async function readCurrentPosition(
  settings: ConnectionSettings,
  options: ConnectOptions,
): Promise<{ readonly lsn: Lsn; readonly timeline: TimelineId }> {
  await using cluster = await connectCluster(settings, options)
  const { timeline } = await readClusterFacts(cluster)
  const [row] = await cluster.query(POSITION_SQL)
  return { lsn: parseLsn(row?.['lsn'] ?? ''), timeline }
}
