/** The name of every object of a repository, relative to the storage root, and nothing else (storage-format 1.1). */
import type { BackupName } from './backup-name.ts'

export { isTemporaryName } from '../storage/keys.ts'

export const BACKUPS_PREFIX = 'basebackups_005'
export const WAL_PREFIX = 'wal_005'
export const CATCHUP_PREFIX = 'catchup_005'
/** Transient object of the original's storage check; ignored by every reader. */
export const STORAGE_CHECK_KEY = 'wal-g_storage_check'
export const SENTINEL_SUFFIX = '_backup_stop_sentinel.json'
export const PARTS_FOLDER = 'tar_partitions'
export const METADATA_NAME = 'metadata.json'
export const FILES_METADATA_NAME = 'files_metadata.json'
/** Ours; its extension is that of the parts (`docs/FORMAT.md`). */
export const CONTENT_MANIFEST_NAME = 'content_manifest.jsonl'

/** `name.ext`, or bare `name` for an empty extension (compression `none`). */
export function withExtension(name: string, extension: string): string {
  return extension === '' ? name : `${name}.${extension}`
}

/** The commit marker: written last, never rewritten. */
export function sentinelKey(backup: BackupName): string {
  return `${BACKUPS_PREFIX}/${backup}${SENTINEL_SUFFIX}`
}

/** The sentinel of the backup to which the object `key` belongs; of a sentinel itself. */
export function sentinelKeyFor(key: string): string {
  const end = key.indexOf('/', BACKUPS_PREFIX.length + 1)
  return end < 0 ? key : `${key.slice(0, end)}${SENTINEL_SUFFIX}`
}

/** Everything else of a backup lies below this prefix. */
export function backupPrefix(backup: BackupName): string {
  return `${BACKUPS_PREFIX}/${backup}`
}

export function metadataKey(backup: BackupName): string {
  return `${backupPrefix(backup)}/${METADATA_NAME}`
}

export function filesMetadataKey(backup: BackupName): string {
  return `${backupPrefix(backup)}/${FILES_METADATA_NAME}`
}

/** `extension` as the codec has it: `lz4`, `zst`, …, `''`. */
export function contentManifestKey(backup: BackupName, extension: string): string {
  return `${backupPrefix(backup)}/${withExtension(CONTENT_MANIFEST_NAME, extension)}`
}

/** Nothing but tars may lie directly below this prefix. */
export function partsPrefix(backup: BackupName): string {
  return `${backupPrefix(backup)}/${PARTS_FOLDER}`
}

/** Key of a part by its full name, e.g. `part_001.tar.lz4`. */
export function partKey(backup: BackupName, part: string): string {
  return `${partsPrefix(backup)}/${part}`
}

/** `part_001.tar.lz4`; numbers from 1, at least three digits. */
export function partName(number: number, extension: string): string {
  return withExtension(`part_${String(number).padStart(3, '0')}.tar`, extension)
}

/** A part that was copied from an earlier backup: `copy_0.tar.lz4`; numbers from 0. */
export function copiedPartName(number: number, extension: string): string {
  return withExtension(`copy_${number}.tar`, extension)
}

export function pgControlPartName(extension: string): string {
  return withExtension('pg_control.tar', extension)
}

export function labelPartName(extension: string): string {
  return withExtension('backup_label.tar', extension)
}

/** True for the parts that are unpacked after all others; also the dangling-dot form of WAL-G 3.0.8. */
export function isLatePart(part: string): boolean {
  return isPgControlPart(part) || isLabelPart(part)
}

export function isPgControlPart(part: string): boolean {
  return /pg_control\.tar(\.[^/]*)?$/.test(part)
}

export function isLabelPart(part: string): boolean {
  return /backup_label\.tar(\.[^/]*)?$/.test(part)
}

/**
 * The compression extension of a part: what follows `.tar.`; `''` for `part_001.tar` and `part_001.tar.`;
 * undefined when the name is not that of a tar.
 */
export function partExtension(part: string): string | undefined {
  return /\.tar(?:\.([^./]*))?$/.exec(part)?.[1] ?? (/\.tar\.?$/.test(part) ? '' : undefined)
}

/** Key of an archived WAL-side file (segment, history, backup label, partial), `''` extension for none. */
export function walKey(file: string, extension: string): string {
  return `${WAL_PREFIX}/${withExtension(file, extension)}`
}

/** Key of WAL metadata: INDIVIDUAL by file name, BULK by the first 23 characters of a segment name. */
export function walMetadataKey(file: string): string {
  return `${WAL_PREFIX}/${file}.json`
}
