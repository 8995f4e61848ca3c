import { hasCode, WalgError } from '../../kit/errors.ts'
import type { Lsn } from '../../postgres/lsn.ts'
import { toBackupName, walFileOfName } from '../../repository/backup-name.ts'
import {
  type BackupEntry,
  backupNotFound,
  findBackup,
  listBackups,
  readMetadata,
  readSentinel,
} from '../../repository/catalog.ts'
import { backupPrefix, metadataKey, sentinelKey } from '../../repository/layout.ts'
import type { Sentinel } from '../../repository/sentinel.ts'
import type { Abortable, Storage } from '../../storage/storage.ts'
import type { CopiedBackup, CopiedObject } from './plan-copy.ts'

/** A backup that was chosen to be copied, before its objects are listed. */
export interface ChosenBackup {
  readonly entry: BackupEntry
  readonly sentinel: Sentinel
  /** True for one that was asked for, false for a parent that comes along. */
  readonly isAsked: boolean
}

/**
 * The backups that are asked for (all of them without names), and every backup that they cannot be restored without.
 * Throws BACKUP_NOT_FOUND and CHAIN_BROKEN.
 */
export async function chooseBackups(
  source: Storage,
  asked: readonly BackupEntry[],
  options: Abortable,
): Promise<readonly ChosenBackup[]> {
  const chosen = new Map<string, ChosenBackup>()
  for (const entry of asked) {
    const { sentinel } = await readSentinel(source, entry.name, options)
    chosen.set(entry.name, { entry, sentinel, isAsked: true })
  }
  for (const backup of [...chosen.values()]) await addParents(source, backup, chosen, options)
  return [...chosen.values()]
}

async function addParents(
  source: Storage,
  backup: ChosenBackup,
  chosen: Map<string, ChosenBackup>,
  options: Abortable,
): Promise<void> {
  const seen = new Set<string>([backup.entry.name])
  for (let at = backup; at.sentinel.delta !== null; ) {
    const name = toBackupName(at.sentinel.delta.parent)
    if (seen.has(name)) {
      throw new WalgError('CHAIN_BROKEN', `backup "${name}" is its own ancestor`, {
        facts: { backup: name },
        hint: 'its sentinel is damaged; copy other backups by name',
      })
    }
    seen.add(name)
    let parent = chosen.get(name)
    if (parent === undefined) {
      const entry = await findBackup(source, name, options)
      if (entry === null) throw backupNotFound(name)
      const { sentinel } = await readSentinel(source, name, options)
      parent = { entry, sentinel, isAsked: false }
      chosen.set(name, parent)
    }
    at = parent
  }
}

/** Every completed backup of the source, oldest first. Throws BACKUP_NOT_FOUND when there is none. */
export async function allBackups(source: Storage, options: Abortable): Promise<readonly BackupEntry[]> {
  const backups = await listBackups(source, options)
  if (backups.length === 0) throw new WalgError('BACKUP_NOT_FOUND', 'No backups found')
  return backups
}

/** Lists what a backup consists of. Throws OBJECT_NOT_FOUND for one without metadata.json. */
export async function inspectBackup(
  source: Storage,
  { entry, sentinel }: ChosenBackup,
  options: Abortable,
): Promise<CopiedBackup> {
  const metadata = metadataKey(entry.name)
  const payload: CopiedObject[] = []
  let found: CopiedObject | undefined
  for await (const object of source.list(backupPrefix(entry.name), { ...options, recursive: true })) {
    if (object.kind !== 'object') continue
    const copied = { key: object.key, sizeBytes: object.sizeBytes }
    if (object.key === metadata) found = copied
    else payload.push(copied)
  }
  if (found === undefined) {
    throw new WalgError('OBJECT_NOT_FOUND', `object "${metadata}" not found in storage "${source.name}"`, {
      facts: { key: metadata, storage: source.name },
      hint: `backup ${entry.name} cannot be copied without it; bring the object back, or copy other backups by name`,
    })
  }
  return {
    name: entry.name,
    parent: sentinel.delta?.parent ?? null,
    modifiedNs: entry.modifiedNs,
    payload: payload.sort((left, right) => (left.key < right.key ? -1 : 1)),
    metadata: found,
    sentinel: { key: sentinelKey(entry.name), sizeBytes: entry.sentinelSizeBytes },
  }
}

/** Where in the WAL a backup lies. Null when neither its sentinel nor its metadata say so. */
export async function walPlaceOf(
  source: Storage,
  { entry, sentinel }: ChosenBackup,
  options: Abortable,
): Promise<{ readonly walFile: string; readonly startLsn: Lsn; readonly finishLsn: Lsn } | null> {
  const walFile = walFileOfName(entry.name)
  if (!/^[0-9A-F]{24}$/.test(walFile)) return null
  let { lsn: startLsn, finishLsn } = sentinel
  if (startLsn === null || finishLsn === null) {
    try {
      ;({ startLsn, finishLsn } = await readMetadata(source, entry.name, options))
    } catch (error) {
      if (!hasCode(error, 'OBJECT_NOT_FOUND', 'BACKUP_BROKEN')) throw error
    }
  }
  return startLsn === null || finishLsn === null ? null : { walFile, startLsn, finishLsn }
}
