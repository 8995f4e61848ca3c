import type { Abortable, Storage } from '../storage/storage.ts'
import type { BackupEntry } from './catalog.ts'

export type BackupSelection =
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'latest' }
  /** JSON text, compared by value. */
  | { readonly kind: 'user-data'; readonly json: string }

/** `LATEST` (exactly) or a name. */
export declare function selectionOf(text: string): BackupSelection
/**
 * Finds the one backup that is meant. BACKUP_NOT_FOUND (`Backup 'x' does not exist.`, `No backups found`),
 * BACKUP_AMBIGUOUS for user data that several have, BACKUP_BROKEN when the sentinel cannot be read.
 */
export declare function selectBackup(
  storage: Storage,
  selection: BackupSelection,
  options?: Abortable,
): Promise<BackupEntry>
