import { takeBackupLock } from '../../../postgres/cluster/backup-lock.ts'
import { connectPrimary, type PrimaryOf } from './standby-wal.ts'

export interface PrimaryLock extends PrimaryOf {
  /** Names the repository, as in `BackupOptions`. */
  readonly repositoryIdentity: string
}

const UNLOCK_TIMEOUT_MS = 5000

/**
 * Holds the backup lock of the primary, if that can be reached, while a backup of its standby runs: both may begin at the
 * same point, and have one name. Asked before the backup begins: a primary that cannot be asked would show hours later.
 * Throws CLUSTER_STATE when a backup of the primary, or of another of its standbys that asks it, runs; else as `connectPrimary`.
 */
export async function lockPrimary(standby: PrimaryLock): Promise<AsyncDisposable> {
  const { log } = standby
  if (standby.primary === undefined) return { [Symbol.asyncDispose]: async () => {} }
  const primary = await connectPrimary(standby, standby.primary)
  try {
    await takeBackupLock(primary, standby.repositoryIdentity)
  } catch (error) {
    await primary.close()
    throw error
  }
  // a primary that is restarted does not hurt the standby's backup: the storage still refuses to mix two of them
  const onLost = (): void =>
    log.warning(
      'the connection to the primary is lost, and with it the lock there: a backup of the primary into this repository would not be refused now',
    )
  primary.lost.addEventListener('abort', onLost, { once: true })
  return {
    async [Symbol.asyncDispose]() {
      if (!primary.lost.aborted) {
        // so that a backup that begins right after this one finds the lock free
        await primary
          .query('select pg_catalog.pg_advisory_unlock_all()', [], {
            timeoutMs: UNLOCK_TIMEOUT_MS,
            signal: null,
          })
          .catch(error => log.debug(`releasing the lock of the primary: ${String(error)}`))
      }
      await primary.close()
    },
  }
}
