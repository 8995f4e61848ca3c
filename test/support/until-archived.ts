import type { Cluster } from './cluster.ts'
import { untilTrue } from './until-true.ts'

/** Waits until the server has archived every file that it has marked `.ready`. */
export function untilArchived(cluster: Cluster, timeoutMs = 60_000): Promise<void> {
  const isNothingReady = async (): Promise<boolean> => {
    const [row] = await cluster.query<{ n: number }>(
      `select count(*)::int as n from pg_ls_dir('pg_wal/archive_status') f where f like '%.ready'`,
    )
    return row?.n === 0
  }
  return untilTrue(isNothingReady, timeoutMs, 'everything archived')
}
