import { hasCode, WalgError } from '../../../kit/errors.ts'
import type { Logger } from '../../../kit/log.ts'
import type { Cluster, ConnectionSettings } from '../../../postgres/cluster/cluster.ts'
import { readArchiverState } from '../../../postgres/cluster/cluster-facts.ts'
import { connectCluster } from '../../../postgres/cluster/connect.ts'
import { listWal } from '../../../repository/wal-catalog.ts'
import type { Storage } from '../../../storage/storage.ts'
import { isStored, waitForArchive } from './wait-for-archive.ts'

export interface StandbyWal {
  readonly storage: Storage
  readonly extension: string
  /** The segment in which the backup ends. */
  readonly stopFile: string
  readonly systemIdentifier: bigint
  /** How to reach the primary; undefined: nobody can ask it. */
  readonly primary: ConnectionSettings | undefined
  readonly log: Logger
  readonly signal: AbortSignal
  /** 0: no limit. */
  readonly timeoutMs: number
}

/**
 * Sees to it that the WAL up to the end of a standby's backup is archived, which is the primary's business. With a connection
 * to the primary that is asked to end the segment, and waited for. Without one there may be nobody who ever ends the segment:
 * the wait has the limit of WALG_STOP_BACKUP_TIMEOUT, and without a limit there is none, but a WARNING. Throws TIMEOUT,
 * CLUSTER_STATE when the primary is none or another cluster, and what connecting does.
 */
export async function waitForStandbyWal(standby: StandbyWal): Promise<void> {
  const { stopFile, log, timeoutMs } = standby
  if (await isStored(standby, stopFile)) return
  const base = { ...standby, files: [stopFile], walDirectory: undefined }
  if (standby.primary !== undefined) {
    await using primary = await connectPrimary(standby, standby.primary)
    log.info('Asking the primary to switch to a new WAL segment')
    await primary.query('select pg_catalog.pg_switch_wal()')
    await waitForArchive({ ...base, readArchiver: () => readArchiverState(primary) })
    return
  }
  if (timeoutMs === 0 || !(await hasAnyWal(standby))) {
    log.warning(
      `the backup is of a standby: nobody waits until WAL up to "${stopFile}" is archived by the primary, and without it the backup cannot be restored (WALG_PRIMARY_CONNINFO, WALG_STOP_BACKUP_TIMEOUT)`,
    )
    return
  }
  log.info(`Waiting for the primary to archive "${stopFile}", in which the backup ends`)
  await waitForArchive({ ...base, readArchiver: undefined })
}

export type PrimaryOf = Pick<StandbyWal, 'systemIdentifier' | 'primary' | 'log' | 'signal'>

/** Connects, and makes sure that it is the standby's own primary. Throws as `waitForStandbyWal`. */
export async function connectPrimary(standby: PrimaryOf, settings: ConnectionSettings): Promise<Cluster> {
  const primary = await reachPrimary(standby, settings)
  try {
    const [row] = await primary.query(
      `select pg_catalog.pg_is_in_recovery() as standby,
         (select system_identifier::text from pg_catalog.pg_control_system()) as system,
         pg_catalog.has_function_privilege('pg_catalog.pg_switch_wal()', 'execute') as may_switch`,
    )
    const system = BigInt.asUintN(64, BigInt(row?.['system'] ?? '0'))
    if (row?.['standby'] === 'f' && system === standby.systemIdentifier) {
      if (row['may_switch'] === 't') return primary
      throw new WalgError(
        'CLUSTER_QUERY',
        `permission denied for function pg_switch_wal() at ${primary.address} (WALG_PRIMARY_CONNINFO)`,
        { hint: `GRANT EXECUTE ON FUNCTION pg_switch_wal() to the role, in database "${primary.database}"` },
      )
    }
    const what = row?.['standby'] === 't' ? 'is a standby' : `is of system ${system}, the standby of another`
    throw new WalgError('CLUSTER_STATE', `the server at ${primary.address} (WALG_PRIMARY_CONNINFO) ${what}`, {
      facts: { address: primary.address },
      hint: 'let it lead to the primary of this standby; target_session_attrs=primary finds it in a list of hosts',
    })
  } catch (error) {
    await primary.close()
    throw error
  }
}

async function reachPrimary(standby: PrimaryOf, settings: ConnectionSettings): Promise<Cluster> {
  try {
    return await connectCluster(settings, standby)
  } catch (error) {
    if (!hasCode(error, 'CLUSTER_UNREACHABLE')) throw error
    throw new WalgError('CLUSTER_UNREACHABLE', `the primary (WALG_PRIMARY_CONNINFO): ${error.message}`, {
      facts: error.facts,
      cause: error,
      hint: 'let it lead to the primary of this standby; what it leaves out (role, password, TLS) is as for the standby. Without it nobody asks the primary',
    })
  }
}

/** The cluster may archive elsewhere: then there is nothing to wait for here. */
async function hasAnyWal({ storage, signal }: StandbyWal): Promise<boolean> {
  for await (const _ of listWal(storage, { signal })) return true
  return false
}
