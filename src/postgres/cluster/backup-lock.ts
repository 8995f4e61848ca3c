import { createHash } from 'node:crypto'
import { WalgError } from '../../kit/errors.ts'
import type { Cluster } from './cluster.ts'

/**
 * The key of the advisory lock that keeps two backups of one cluster into one repository apart: the first eight
 * bytes of the SHA-256 of `wal-g backup-push` and the repository's name, as a signed number.
 */
export function backupLockKey(repositoryIdentity: string): bigint {
  const digest = createHash('sha256').update(`wal-g backup-push\0${repositoryIdentity}`).digest()
  return digest.readBigInt64BE(0)
}

/**
 * Takes the lock for the life of the session; the server lets go of it when the session ends, however it ends.
 * Throws CLUSTER_STATE, naming the other session, when somebody holds it.
 */
export async function takeBackupLock(session: Cluster, repositoryIdentity: string): Promise<void> {
  const key = backupLockKey(repositoryIdentity)
  const [row] = await session.query('select pg_catalog.pg_try_advisory_lock($1::bigint) as taken', [key])
  const isTaken = row?.['taken'] === 't'
  // advisory locks are per database, backups are not: look for the same key in all of them
  const unsigned = BigInt.asUintN(64, key)
  const others = await session.query(
    `select l.pid::text, a.application_name, a.backend_start::text
     from pg_catalog.pg_locks l left join pg_catalog.pg_stat_activity a on a.pid = l.pid
     where l.locktype = 'advisory' and l.classid = $1::oid and l.objid = $2::oid and l.objsubid = 1
       and l.granted and l.pid <> pg_catalog.pg_backend_pid()
     order by l.pid`,
    [unsigned >> 32n, unsigned & 0xffffffffn],
  )
  if (isTaken && others.length === 0) return
  const other = others[0]
  const pid = other?.['pid'] ?? 'unknown'
  const since = other?.['backend_start'] ?? null
  throw new WalgError(
    'CLUSTER_STATE',
    `another backup of this cluster into this repository is running (server process ${pid}${since === null ? '' : `, since ${since}`})`,
    {
      facts: { pid },
      hint: 'wait for it; if its client is gone, end the server process with pg_terminate_backend',
    },
  )
}
