import { createHash } from 'node:crypto'
import { createServer } from 'node:net'
import { errnoOf, WalgError } from '../../../kit/errors.ts'

/**
 * Keeps two backups of one cluster at rest into one repository apart, on this host: without a server there is no
 * advisory lock. An abstract socket, which the system forgets with the process, however it ends. Throws CLUSTER_STATE
 * when another process has it.
 */
export async function lockRestingCluster(
  systemIdentifier: bigint,
  repositoryIdentity: string,
): Promise<AsyncDisposable> {
  const digest = createHash('sha256').update(`${systemIdentifier}\0${repositoryIdentity}`).digest('hex')
  const server = createServer()
  await new Promise<void>((resolve, reject) => {
    server.once('error', error => reject(asLockError(error)))
    server.listen(`\0wal-g backup-push ${digest.slice(0, 32)}`, resolve)
  })
  server.unref()
  return {
    [Symbol.asyncDispose]: () => new Promise<void>(resolve => void server.close(() => resolve())),
  }
}

function asLockError(error: unknown): unknown {
  if (errnoOf(error) !== 'EADDRINUSE') return error
  return new WalgError(
    'CLUSTER_STATE',
    'another backup of this cluster into this repository is running on this host',
    {
      cause: error,
      hint: 'wait for it, or end it',
    },
  )
}
