import { hasCode, type WalgError } from '../../kit/errors.ts'
import { epochNs, isZeroTime, type Timestamp } from '../../kit/timestamp.ts'
import type { Lsn } from '../../postgres/lsn.ts'
import { parseBackupName, walFileOfName } from '../../repository/backup-name.ts'
import { type BackupEntry, listBackups, readMetadata, readSentinel } from '../../repository/catalog.ts'
import type { BackupMetadata } from '../../repository/metadata.ts'
import type { SealedWith, Sentinel } from '../../repository/sentinel.ts'
import type { Storage } from '../../storage/storage.ts'
import type { OperationContext } from '../context.ts'

export interface BackupListOptions {
  /** Reads every `metadata.json` too. */
  readonly detail: boolean
}

/** A backup as it is listed. */
export interface ListedBackup {
  readonly entry: BackupEntry
  /** The first 24 hex digits of its name, or 24 times `Z`. */
  readonly walFile: string
  /** `broken`: its sentinel cannot be read, so that it can be neither restored nor built upon. */
  readonly backupType: 'full' | 'delta' | 'broken'
  /** What it is sealed with, where its sentinel says it; the original's do not. */
  readonly encryption?: SealedWith
  /** With `detail`; null when nothing is known. */
  readonly detail: BackupDetail | null
}

/** Of `metadata.json`; where that is lost or damaged, of the sentinel, which does not know about permanence. */
export interface BackupDetail {
  readonly startTime: Timestamp | null
  readonly finishTime: Timestamp | null
  readonly hostname: string
  readonly dataDirectory: string
  readonly pgVersion: number
  readonly startLsn: Lsn | null
  readonly finishLsn: Lsn | null
  readonly isPermanent: boolean | null
  readonly systemIdentifier: bigint | null
  readonly uncompressedSizeBytes: number
  readonly compressedSizeBytes: number
  /** JSON text. */
  readonly userData: string | null
}

interface ListContext extends Pick<OperationContext, 'storage' | 'log' | 'signal'> {
  /** Further storages, behind `storage`: a backup that is in several is listed for each. */
  readonly otherStorages?: readonly Storage[]
}

/** Backups read at a time. */
const READS_MAX = 16

/**
 * All backups, oldest first: by the sentinel's modification time; with `detail` by start time when every backup
 * has one (commands 1.3). A backup whose documents are damaged is listed all the same, with a WARNING.
 */
export async function backupList(
  context: ListContext,
  options: BackupListOptions,
): Promise<readonly ListedBackup[]> {
  const storages = [context.storage, ...(context.otherStorages ?? [])]
  context.log.info(`List backups from storages: [${storages.map(({ name }) => name).join(' ')}]`)
  const entries: PlacedEntry[] = []
  for (const storage of storages) {
    const found = await listBackups(storage, { signal: context.signal })
    entries.push(...found.map(entry => ({ storage, entry })))
  }
  if (storages.length > 1) entries.sort(byModification)
  const found: (ListedBackup | null)[] = new Array(entries.length).fill(null)
  let next = 0
  const readers = Array.from({ length: Math.min(READS_MAX, entries.length) }, async () => {
    while (next < entries.length) {
      const at = next
      next += 1
      const { storage, entry } = entries[at]!
      found[at] = await describe({ ...context, storage }, entry, options)
    }
  })
  await Promise.all(readers)
  const backups = found.filter(backup => backup !== null)
  return options.detail ? byStartTime(backups) : backups
}

interface PlacedEntry {
  readonly storage: Storage
  readonly entry: BackupEntry
}

function byModification({ entry: left }: PlacedEntry, { entry: right }: PlacedEntry): number {
  return left.modifiedNs < right.modifiedNs ? -1 : left.modifiedNs > right.modifiedNs ? 1 : 0
}

/** Null when the backup was deleted meanwhile. */
async function describe(
  context: ListContext,
  entry: BackupEntry,
  options: BackupListOptions,
): Promise<ListedBackup | null> {
  const walFile = walFileOfName(entry.name)
  const sentinel = await attempt(() => sentinelOf(context, entry))
  if (sentinel instanceof Error) {
    if (sentinel.code === 'BACKUP_NOT_FOUND') return null
    context.log.warning(`${sentinel.message}; the backup is listed, but cannot be restored`)
  }
  const backupType = sentinel instanceof Error ? 'broken' : typeOf(entry, sentinel)
  const sealedWith = sentinel instanceof Error ? undefined : sentinel.contentManifest?.encryption
  const encryption = sealedWith === undefined ? {} : { encryption: sealedWith }
  if (!options.detail) return { entry, walFile, backupType, ...encryption, detail: null }
  const metadata = await attempt(() => readMetadata(context.storage, entry.name, context))
  const found: Omit<ListedBackup, 'detail'> = { entry, walFile, backupType, ...encryption }
  if (!(metadata instanceof Error)) return { ...found, detail: detailOfMetadata(metadata) }
  context.log.warning(`${metadata.message}; the backup is listed with what its sentinel says`)
  return { ...found, detail: sentinel instanceof Error ? null : detailOfSentinel(sentinel) }
}

async function sentinelOf(context: ListContext, entry: BackupEntry): Promise<Sentinel> {
  return (await readSentinel(context.storage, entry.name, context)).sentinel
}

/** The value, or the error that says that this one backup is damaged or gone. */
async function attempt<T>(read: () => Promise<T>): Promise<T | WalgError> {
  try {
    return await read()
  } catch (error) {
    if (!hasCode(error, 'BACKUP_BROKEN', 'BACKUP_NOT_FOUND', 'OBJECT_NOT_FOUND')) throw error
    return error
  }
}

function typeOf(entry: BackupEntry, sentinel: Sentinel): 'full' | 'delta' {
  return sentinel.delta !== null || parseBackupName(entry.name)?.parentWalFile !== undefined
    ? 'delta'
    : 'full'
}

function detailOfMetadata(metadata: BackupMetadata): BackupDetail {
  return metadata
}

function detailOfSentinel(sentinel: Sentinel): BackupDetail {
  return { ...sentinel, startLsn: sentinel.lsn, isPermanent: null }
}

function byStartTime(backups: readonly ListedBackup[]): readonly ListedBackup[] {
  const startNs = new Map<ListedBackup, bigint>()
  for (const backup of backups) {
    const time = backup.detail?.startTime
    if (time === null || time === undefined || isZeroTime(time)) return backups
    startNs.set(backup, epochNs(time))
  }
  return [...backups].sort((left, right) => {
    const difference = startNs.get(left)! - startNs.get(right)!
    return difference < 0n ? -1 : difference > 0n ? 1 : 0
  })
}
