import type { OperationContext } from '../../context.ts'
import { backupFetch } from '../backup-fetch.ts'
import type { BackupFetchOptions } from '../options.ts'
import { refuseRunningStandby } from './standby.ts'

export type CatchupFetchOptions = Pick<
  BackupFetchOptions,
  'destination' | 'selection' | 'concurrencyMax' | 'retriesMax' | 'isDurable' | 'pageBytes'
>

/**
 * Brings the directory of a stopped standby to the state of a catchup backup: increments are applied, missing files made, others
 * replaced where they differ, relations that were dropped removed; its own settings stay. pg_control comes last: while it
 * is missing no server starts, and the same call goes on where it stopped.
 */
export async function catchupFetch(context: OperationContext, options: CatchupFetchOptions): Promise<void> {
  refuseRunningStandby(options.destination)
  await backupFetch(context, {
    ...options,
    mask: '',
    restoreOnly: [],
    restoreSpec: null,
    isCatchup: true,
    isIntoExisting: true,
    isResume: true,
    checksums: 'none',
    ignoresContentManifest: false,
  })
}
