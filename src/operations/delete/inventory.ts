import { hasCode, type WalgError } from '../../kit/errors.ts'
import { epochNs, isZeroTime, type Timestamp } from '../../kit/timestamp.ts'
import type { Lsn } from '../../postgres/lsn.ts'
import {
  type BackupName,
  parseBackupName,
  toBackupName,
  walFileOfName,
} from '../../repository/backup-name.ts'
import { readMetadata, readSentinel } from '../../repository/catalog.ts'
import { BACKUPS_PREFIX, SENTINEL_SUFFIX } from '../../repository/layout.ts'
import type { BackupMetadata } from '../../repository/metadata.ts'
import type { Sentinel } from '../../repository/sentinel.ts'
import type { Storage } from '../../storage/storage.ts'
import type { OperationContext } from '../context.ts'
import { ObjectTable } from './object-table.ts'
import type { StoredObject, StoredObjects } from './stored-object.ts'
import { UnitedObjects } from './united-objects.ts'

/** A backup with a sentinel, readable or not, and what decides about its fate. */
export interface InventoryBackup {
  readonly name: BackupName
  readonly sentinelModifiedNs: bigint
  /** Start of the backup by its own clock; the sentinel's modification time where nothing says it. Decides the order. */
  readonly startNs: bigint
  /** False when `startNs` is only the sentinel's modification time. */
  readonly isStartKnown: boolean
  /** End of the backup by its own clock; the sentinel's modification time where nothing says it. */
  readonly finishNs: bigint
  /** First run of 24 hex digits in the name, or 24 times `Z`. */
  readonly walFile: string
  readonly startLsn: Lsn | null
  readonly finishLsn: Lsn | null
  readonly isIncremental: boolean
  /** Names of backups that this one cannot be restored without: parent and full. */
  readonly bases: readonly BackupName[]
  readonly full: BackupName | null
  /** Steps from the full; 0 for a full. */
  readonly deltaCount: number
  /** Permanent by metadata.json, or its metadata are damaged: then nobody knows, and it is treated as permanent. */
  readonly isPermanent: boolean
  readonly systemIdentifier: bigint | null
  /** JSON text. */
  readonly userData: string | null
  /** Why the sentinel cannot be read. */
  readonly damage: string | null
  /** The storages that have it; absent: the only one there is. */
  readonly storageNames?: readonly string[]
}

/** Everything below the storage root. */
export interface Inventory {
  readonly storageName: string
  /** Oldest first by start time, then by the sentinel's modification time, then by name. */
  readonly backups: readonly InventoryBackup[]
  /** In the order of the original's log: by depth, then folder, then name. */
  readonly objects: StoredObjects
}

interface InventoryContext extends Pick<OperationContext, 'storage' | 'log' | 'signal'> {
  /** Further storages, behind `storage`, whose objects belong to the same repository. */
  readonly otherStorages?: readonly Storage[]
}

/** Documents read at a time. */
const READS_MAX = 16

/**
 * Lists the repository, or only what is below `prefix`, and reads every sentinel and metadata document. Over several
 * storages a backup of one name is one: permanent when any copy is, damaged when all are.
 */
export async function readInventory(context: InventoryContext, prefix: string): Promise<Inventory> {
  const { otherStorages = [], ...first } = context
  if (otherStorages.length === 0) return readOneInventory(first, prefix)
  const parts: Inventory[] = []
  for (const storage of [context.storage, ...otherStorages]) {
    parts.push(await readOneInventory({ ...first, storage }, prefix))
  }
  return unitedInventory(parts)
}

/** Pure. */
export function unitedInventory(parts: readonly Inventory[]): Inventory {
  const backups = new Map<string, InventoryBackup>()
  for (const { storageName, backups: own } of parts) {
    for (const backup of own) {
      const known = backups.get(backup.name)
      const storageNames = [...(known?.storageNames ?? []), storageName]
      backups.set(backup.name, { ...(known === undefined ? backup : merged(known, backup)), storageNames })
    }
  }
  return {
    storageName: parts.map(({ storageName }) => storageName).join(' '),
    backups: [...backups.values()].sort(compareAge),
    objects: new UnitedObjects(parts),
  }
}

/** What holds for a backup that is in two storages: the readable one counts, and what protects it in either. */
function merged(known: InventoryBackup, other: InventoryBackup): InventoryBackup {
  const good = known.damage !== null && other.damage === null ? other : known
  const least = (left: bigint, right: bigint): bigint => (left < right ? left : right)
  return {
    ...good,
    sentinelModifiedNs: least(known.sentinelModifiedNs, other.sentinelModifiedNs),
    startNs: good.isStartKnown ? good.startNs : least(known.startNs, other.startNs),
    bases: [...new Set([...known.bases, ...other.bases])],
    isPermanent: known.isPermanent || other.isPermanent,
    isIncremental: known.isIncremental || other.isIncremental,
  }
}

async function readOneInventory(
  context: Pick<OperationContext, 'storage' | 'log' | 'signal'>,
  prefix: string,
): Promise<Inventory> {
  const { storage, signal } = context
  const objects = new ObjectTable()
  const sentinels: { readonly object: StoredObject; readonly name: BackupName }[] = []
  for await (const entry of storage.list(prefix, { recursive: true, signal })) {
    if (entry.kind !== 'object') continue
    objects.add(entry)
    const name = backupOfSentinel(entry.key)
    if (name !== undefined) sentinels.push({ object: entry, name })
  }
  objects.sortAsListed()
  const found: (InventoryBackup | null)[] = new Array(sentinels.length).fill(null)
  const walFiles = new Map<string, BackupName[]>()
  for (const { name } of sentinels) {
    const walFile = walFileOfName(name)
    walFiles.set(walFile, [...(walFiles.get(walFile) ?? []), name])
  }
  let next = 0
  const readers = Array.from({ length: Math.min(READS_MAX, sentinels.length) }, async () => {
    while (next < sentinels.length) {
      const at = next
      next += 1
      const { object, name } = sentinels[at]!
      found[at] = await readBackup(context, name, object.modifiedNs, walFiles)
    }
  })
  await Promise.all(readers)
  return {
    storageName: storage.name,
    backups: found.filter(backup => backup !== null).sort(compareAge),
    objects,
  }
}

/** The backup whose sentinel lies at `key`; undefined for every other object. */
export function backupOfSentinel(key: string): BackupName | undefined {
  if (!key.startsWith(`${BACKUPS_PREFIX}/`) || !key.endsWith(SENTINEL_SUFFIX)) return undefined
  const name = key.slice(BACKUPS_PREFIX.length + 1, -SENTINEL_SUFFIX.length)
  return name === '' || name.includes('/') ? undefined : toBackupName(name)
}

/** Null when the backup was deleted meanwhile. */
async function readBackup(
  context: InventoryContext,
  name: BackupName,
  sentinelModifiedNs: bigint,
  walFiles: ReadonlyMap<string, readonly BackupName[]>,
): Promise<InventoryBackup | null> {
  const sentinel = await attempt(async () => (await readSentinel(context.storage, name, context)).sentinel)
  if (sentinel instanceof Error && sentinel.code === 'BACKUP_NOT_FOUND') return null
  const metadata = await attempt(() => readMetadata(context.storage, name, context))
  if (sentinel instanceof Error) context.log.warning(`${sentinel.message}; backup ${name} cannot be restored`)
  if (metadata instanceof Error && metadata.code !== 'OBJECT_NOT_FOUND') {
    context.log.warning(`${metadata.message}; backup ${name} is treated as permanent`)
  } else if (metadata instanceof Error) {
    context.log.info(`Backup ${name} has no metadata.json, it is treated as not permanent`)
  }
  return describe(name, sentinelModifiedNs, sentinel, metadata, walFiles)
}

function describe(
  name: BackupName,
  sentinelModifiedNs: bigint,
  sentinel: Sentinel | WalgError,
  metadata: BackupMetadata | WalgError,
  walFiles: ReadonlyMap<string, readonly BackupName[]>,
): InventoryBackup {
  const good = sentinel instanceof Error ? null : sentinel
  const facts = metadata instanceof Error ? null : metadata
  const parts = parseBackupName(name)
  const finish = knownTime(facts?.finishTime) ?? knownTime(good?.finishTime)
  const start = knownTime(facts?.startTime) ?? knownTime(good?.startTime)
  const named =
    good === null && parts?.parentWalFile !== undefined ? walFiles.get(parts.parentWalFile) : undefined
  const bases = good?.delta == null ? (named ?? []) : [good.delta.parent, good.delta.full]
  const isIncremental = good === null ? parts?.parentWalFile !== undefined : good.delta !== null
  return {
    name,
    sentinelModifiedNs,
    startNs: start ?? sentinelModifiedNs,
    isStartKnown: start !== undefined,
    finishNs: finish ?? sentinelModifiedNs,
    walFile: walFileOfName(name),
    startLsn: good?.lsn ?? facts?.startLsn ?? null,
    finishLsn: good?.finishLsn ?? facts?.finishLsn ?? null,
    isIncremental,
    bases: bases.filter(base => base !== name),
    full: good?.delta?.full ?? null,
    deltaCount: good?.delta?.count ?? (isIncremental ? 1 : 0),
    isPermanent: facts?.isPermanent ?? (metadata instanceof Error && metadata.code !== 'OBJECT_NOT_FOUND'),
    systemIdentifier: good?.systemIdentifier ?? facts?.systemIdentifier ?? null,
    userData: facts?.userData ?? good?.userData ?? null,
    damage: sentinel instanceof Error ? sentinel.message : null,
  }
}

function knownTime(time: Timestamp | null | undefined): bigint | undefined {
  return time === null || time === undefined || isZeroTime(time) ? undefined : epochNs(time)
}

/** The value, or the error that says that this one document is damaged or gone. */
async function attempt<T>(read: () => Promise<T>): Promise<T | WalgError> {
  try {
    return await read()
  } catch (error) {
    if (!hasCode(error, 'BACKUP_BROKEN', 'BACKUP_NOT_FOUND', 'OBJECT_NOT_FOUND')) throw error
    return error
  }
}

function compareAge(left: InventoryBackup, right: InventoryBackup): number {
  if (left.startNs !== right.startNs) return left.startNs < right.startNs ? -1 : 1
  if (left.sentinelModifiedNs !== right.sentinelModifiedNs) {
    return left.sentinelModifiedNs < right.sentinelModifiedNs ? -1 : 1
  }
  return left.name < right.name ? -1 : 1
}
