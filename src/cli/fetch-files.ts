import { backupFetch } from '../operations/backup-fetch/backup-fetch.ts'
import type { OperationContext } from '../operations/context.ts'
import type { FetchFiles } from '../operations/restore/options.ts'
import type { Settings } from './settings.ts'

/**
 * backup-fetch as a step of a restore: an operation never imports another one, so they meet here
 * (docs/decisions/restore-composition.md). A fetch that was interrupted in the directory goes on.
 */
export function fetchFilesBy(context: OperationContext, settings: Settings): FetchFiles {
  return async request => {
    await backupFetch(context, {
      destination: request.destination,
      selection: { kind: 'name', name: request.backupName },
      mask: '',
      restoreOnly: [],
      restoreSpec: null,
      tablespaceMapping: request.tablespaceMapping,
      beforeControlFile: request.beforeControlFile,
      isIntoExisting: request.isIntoExisting,
      isResume: true,
      concurrencyMax: settings.WALG_DOWNLOAD_CONCURRENCY,
      retriesMax: settings.WALG_DOWNLOAD_FILE_RETRIES,
      isDurable: !settings.WALG_TAR_DISABLE_FSYNC,
      checksums: settings.WALG_BACKUP_MANIFEST_CHECKSUMS,
      pageBytes: settings.WALG_PG_BLOCK_SIZE,
      ignoresContentManifest: false,
    })
  }
}
