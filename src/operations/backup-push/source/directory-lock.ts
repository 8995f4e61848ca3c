import { createHash } from 'node:crypto'
import { WalgError } from '../../../kit/errors.ts'
import { takeProcessLock } from '../../../postgres/server/process-lock.ts'

/**
 * Keeps two backups of one cluster at rest into one repository apart, on this host: without a server there is no
 * advisory lock. Throws CLUSTER_STATE when another process has it.
 */
export async function lockRestingCluster(
  systemIdentifier: bigint,
  repositoryIdentity: string,
): Promise<AsyncDisposable> {
  const digest = createHash('sha256').update(`${systemIdentifier}\0${repositoryIdentity}`).digest('hex')
  const lock = await takeProcessLock(`backup-push ${digest.slice(0, 32)}`)
  if (lock !== undefined) return lock
  throw new WalgError(
    'CLUSTER_STATE',
    'another backup of this cluster into this repository is running on this host',
    { hint: 'wait for it, or end it' },
  )
}
