import type { Abortable, Storage } from '../storage/storage.ts'
import type { BackupName } from './backup-name.ts'
import type { SentinelDocument } from './sentinel.ts'

/** A backup as a listing knows it: its sentinel object exists. */
export interface BackupEntry {
  readonly name: BackupName
  readonly storageName: string
  /** Of the sentinel object: decides the order and LATEST. */
  readonly modifiedNs: bigint
  readonly sentinelSizeBytes: number
}

/** All backups, oldest first by the sentinel's modification time (stable). Reads no sentinel. */
export declare function listBackups(storage: Storage, options?: Abortable): Promise<BackupEntry[]>
/** True when the sentinel object exists. */
export declare function backupExists(
  storage: Storage,
  name: BackupName,
  options?: Abortable,
): Promise<boolean>
/** Throws BACKUP_NOT_FOUND (`Backup 'x' does not exist.`) or BACKUP_BROKEN. */
export declare function readSentinel(
  storage: Storage,
  name: BackupName,
  options?: Abortable,
): Promise<SentinelDocument>
/** Keys of everything below `<BACKUP>/`. Together with a missing sentinel: the leftovers of a failed push. */
export declare function backupObjectKeys(
  storage: Storage,
  name: BackupName,
  options?: Abortable,
): Promise<string[]>
