import { collect } from '../kit/bytes.ts'
import { hasCode, WalgError } from '../kit/errors.ts'
import { statIfThere } from '../storage/requests/stat-if-there.ts'
import type { Abortable, Storage } from '../storage/storage.ts'
import { type BackupName, toBackupName } from './backup-name.ts'
import type { FilesMetadata } from './files-metadata.ts'
import { decodeFilesMetadata } from './files-metadata-document.ts'
import {
  BACKUPS_PREFIX,
  backupPrefix,
  filesMetadataKey,
  metadataKey,
  SENTINEL_SUFFIX,
  sentinelKey,
} from './layout.ts'
import { type BackupMetadata, parseMetadata } from './metadata.ts'
import { readSentinelDocument, type SentinelDocument } from './sentinel.ts'

const METADATA_BYTES_MAX = 64 << 20

/** A backup as a listing knows it: its sentinel object exists. */
export interface BackupEntry {
  readonly name: BackupName
  readonly storageName: string
  /** Of the sentinel object: decides the order and LATEST. */
  readonly modifiedNs: bigint
  readonly sentinelSizeBytes: number
}

/** What lies below `basebackups_005/`. */
export interface Catalog {
  /** Oldest first by the sentinel's modification time, equal times by name. */
  readonly backups: readonly BackupEntry[]
  /** Folders without a sentinel: pushes that failed or are under way. Sorted. */
  readonly leftovers: readonly BackupName[]
}

/** All backups and leftovers; one listing, reads no sentinel. */
export async function readCatalog(storage: Storage, options: Abortable = {}): Promise<Catalog> {
  const backups: BackupEntry[] = []
  const folders: string[] = []
  for await (const entry of storage.list(BACKUPS_PREFIX, options)) {
    const base = entry.key.slice(BACKUPS_PREFIX.length + 1)
    if (entry.kind === 'prefix') folders.push(base.replace(/\/$/, ''))
    else if (base.endsWith(SENTINEL_SUFFIX) && base.length > SENTINEL_SUFFIX.length) {
      backups.push({
        name: toBackupName(base.slice(0, -SENTINEL_SUFFIX.length)),
        storageName: storage.name,
        modifiedNs: entry.modifiedNs,
        sentinelSizeBytes: entry.sizeBytes,
      })
    }
  }
  backups.sort((left, right) => (left.name < right.name ? -1 : 1))
  backups.sort((left, right) =>
    left.modifiedNs < right.modifiedNs ? -1 : left.modifiedNs > right.modifiedNs ? 1 : 0,
  )
  const complete = new Set<string>(backups.map(backup => backup.name))
  const leftovers = folders.filter(folder => folder !== '' && !complete.has(folder)).sort()
  return { backups, leftovers: leftovers.map(toBackupName) }
}

/** All backups, oldest first; see `readCatalog`. */
export async function listBackups(
  storage: Storage,
  options: Abortable = {},
): Promise<readonly BackupEntry[]> {
  return (await readCatalog(storage, options)).backups
}

/** The entry of one backup, found without listing; null when its sentinel does not exist. */
export async function findBackup(
  storage: Storage,
  name: BackupName,
  options: Abortable = {},
): Promise<BackupEntry | null> {
  const info = await statIfThere(storage, sentinelKey(name), options)
  if (info === undefined) return null
  return {
    name,
    storageName: storage.name,
    modifiedNs: info.modifiedNs,
    sentinelSizeBytes: info.sizeBytes,
  }
}

/** True when the sentinel object exists. */
export async function backupExists(
  storage: Storage,
  name: BackupName,
  options: Abortable = {},
): Promise<boolean> {
  return (await findBackup(storage, name, options)) !== null
}

/** Throws BACKUP_NOT_FOUND (`Backup 'x' does not exist.`), or BACKUP_BROKEN for a sentinel that cannot be read. */
export async function readSentinel(
  storage: Storage,
  name: BackupName,
  options: Abortable = {},
): Promise<SentinelDocument> {
  const key = sentinelKey(name)
  try {
    return await readSentinelDocument(key, await storage.get(key, options))
  } catch (error) {
    if (!hasCode(error, 'OBJECT_NOT_FOUND')) throw error
    throw backupNotFound(name, error)
  }
}

/** `Backup 'x' does not exist.`, as the original says it. */
export function backupNotFound(name: string, cause?: unknown): WalgError {
  return new WalgError('BACKUP_NOT_FOUND', `Backup '${name}' does not exist.`, {
    facts: { backup: name },
    cause,
    hint: 'backup-list shows the names of all backups',
  })
}

/** `metadata.json`. Throws OBJECT_NOT_FOUND, or BACKUP_BROKEN when it cannot be read. */
export async function readMetadata(
  storage: Storage,
  name: BackupName,
  options: Abortable = {},
): Promise<BackupMetadata> {
  const key = metadataKey(name)
  const body = await storage.get(key, options)
  try {
    return parseMetadata(key, new TextDecoder().decode(await collect(body, METADATA_BYTES_MAX)))
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    throw new WalgError('BACKUP_BROKEN', `"${key}" has more than ${METADATA_BYTES_MAX} bytes`, {
      facts: { key },
      cause: error,
    })
  }
}

/**
 * What is known of every file of a backup: of `files_metadata.json`, or of a version 1 sentinel. Null when the
 * backup was taken without (`FilesMetadataDisabled`), or when a full of an old version has none: then everything
 * in its parts belongs to it. Throws BACKUP_BROKEN when it should be there and is not, or is damaged: a delta
 * restored without it is garbage (storage-format 2.1).
 */
export async function readFilesMetadata(
  storage: Storage,
  name: BackupName,
  document: SentinelDocument,
  options: Abortable = {},
): Promise<FilesMetadata | null> {
  const { sentinel, inlineFiles } = document
  if (inlineFiles !== null) return inlineFiles
  if (sentinel.isFilesMetadataDisabled) return null
  const key = filesMetadataKey(name)
  try {
    return await decodeFilesMetadata(key, await storage.get(key, options))
  } catch (error) {
    if (!hasCode(error, 'OBJECT_NOT_FOUND')) throw error
    if (sentinel.version < 2 && sentinel.delta === null) return null
    throw new WalgError(
      'BACKUP_BROKEN',
      `"${key}" is missing: nobody knows which files make up backup ${name}`,
      {
        facts: { key, backup: name },
        cause: error,
        hint: 'restore another backup, or bring this object back from a copy of the repository',
      },
    )
  }
}

/** Keys of everything below `<BACKUP>/`; with no sentinel beside it, the leftovers of a failed push. */
export async function backupObjectKeys(
  storage: Storage,
  name: BackupName,
  options: Abortable = {},
): Promise<string[]> {
  const keys: string[] = []
  for await (const entry of storage.list(backupPrefix(name), { ...options, recursive: true }))
    keys.push(entry.key)
  return keys.sort()
}
