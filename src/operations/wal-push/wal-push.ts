import { existsSync, statSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { hasCode } from '../../kit/errors.ts'
import type { WalMetadataMode } from '../../repository/wal-metadata.ts'
import { copiesOf } from '../../storage/layers/copies.ts'
import type { Storage } from '../../storage/storage.ts'
import { storageIdentity } from '../../storage/storage-identity.ts'
import type { OperationContext } from '../context.ts'
import { pushFollowing } from './background-push.ts'
import { checkArchiveIdentity } from './guard/archive-identity.ts'
import { type Looks, openLooks, warnOfUnseen } from './guard/looks.ts'
import { openPushRecords, type PushRecord, type PushRecords } from './push-records.ts'
import { pushWalMetadata } from './wal-metadata-push.ts'
import { createWalPusher, type PushOutcome, type WalPusher } from './wal-pusher.ts'

export interface WalPushOptions {
  /** Absolute, or relative to the working directory (the server's data directory under archive_command). */
  readonly path: string
  /** PGDATA, to find `pg_wal` when the file does not lie in it. */
  readonly dataDirectory: string | undefined
  readonly preventOverwrite: boolean
  /** Further storages of the archive that answer: opened only when something is to be put. */
  readonly elsewhere?: () => Promise<readonly Storage[]>
  readonly requireSystemIdentifier: boolean
  readonly metadata: WalMetadataMode
  /** Files pushed in one go, the one asked for included; 1 switches background pushes off. */
  readonly filesMax: number
  /** 1 switches background pushes off, as in the original. */
  readonly uploadConcurrency: number
  readonly readyRename: boolean
  /** Note which blocks a segment changes, for delta backups. */
  readonly recordsChanges: boolean
}

export interface WalPushResult {
  readonly name: string
  readonly kind: 'stored' | 'already-archived' | 'pushed-before'
  readonly pushedInBackground: number
}

const BACKGROUND_BUDGET_MS = 500
const BACKGROUND = 'whether files pushed in the background are still there'

/**
 * Archives one file. Returns only when its object is durable in the storage (or was proved to be there with the
 * same content). Throws WAL_OVERWRITE, WAL_INVALID, FILE_NOT_FOUND, FILE_ACCESS and the storage's errors.
 */
export async function walPush(context: OperationContext, options: WalPushOptions): Promise<WalPushResult> {
  const looks = openLooks({ areNeeded: options.preventOverwrite })
  try {
    return await pushWith(context, options, looks)
  } finally {
    warnOfUnseen(context.log, context.storage.name, looks.unseen())
  }
}

async function pushWith(
  context: OperationContext,
  options: WalPushOptions,
  looks: Looks,
): Promise<WalPushResult> {
  const path = resolve(options.path)
  const name = basename(path)
  const walDirectory = findWalDirectory(path, options.dataDirectory)
  const records = openRecords(context, walDirectory)
  const pusher = createWalPusher(context, {
    preventOverwrite: options.preventOverwrite,
    looks,
    elsewhere: options.elsewhere,
    records,
    inspect: source =>
      checkArchiveIdentity(context, source, {
        walDirectory,
        isRequired: options.requireSystemIdentifier,
        looks,
      }),
  })

  const wasPushed =
    records !== undefined && (await acknowledgeFromRecord(context, pusher, looks, records, path))
  context.log.info(`Files will be uploaded to storage: ${context.storage.name}`)
  const outcome = wasPushed ? undefined : await pusher.push(path)
  await pushWalMetadata(
    context,
    { name, modifiedNs: statSync(path, { bigint: true }).mtimeNs },
    { mode: options.metadata, walDirectory },
  )
  if (wasPushed) records?.remove(name)
  if (options.recordsChanges) await recordChangesOf(context, { name, path }, options.dataDirectory)

  let pushedInBackground = 0
  if (
    records !== undefined &&
    // not from the pg_wal of PGDATA: a file from elsewhere may be of another cluster
    walDirectory === dirname(path) &&
    options.filesMax > 1 &&
    options.uploadConcurrency > 1 &&
    (options.readyRename || (await willAcknowledge(context, looks, outcome)))
  ) {
    pushedInBackground = await pushFollowing(context, pusher, name, {
      walDirectory,
      records,
      filesMax: options.filesMax - 1,
      readyRename: options.readyRename,
      budgetMs: BACKGROUND_BUDGET_MS,
    })
  }
  return { name, kind: outcome?.kind ?? 'pushed-before', pushedInBackground }
}

/**
 * Whether files pushed ahead could be acknowledged later, which takes a look at them: else each would be put twice. Only asked
 * where a look was denied; a storage that denies those at what is absent may allow those at what is there.
 */
async function willAcknowledge(
  context: OperationContext,
  looks: Looks,
  outcome: PushOutcome | undefined,
): Promise<boolean> {
  if (outcome === undefined || looks.unseen().length === 0) return true
  return (await looks.tryTo(BACKGROUND, () => isStoredEverywhere(context, outcome.key))) !== undefined
}

/** The file's own directory when the server keeps its archive status there, else PGDATA's `pg_wal`. */
function findWalDirectory(path: string, dataDirectory: string | undefined): string | undefined {
  const candidates = [dirname(path), ...(dataDirectory === undefined ? [] : [join(dataDirectory, 'pg_wal')])]
  return candidates.find(directory => existsSync(join(directory, 'archive_status')))
}

/** Loaded only where it is wanted: every push is a process of its own. */
async function recordChangesOf(
  context: OperationContext,
  file: { readonly name: string; readonly path: string },
  dataDirectory: string | undefined,
): Promise<void> {
  const candidates = [
    dirname(file.path),
    ...(dataDirectory === undefined ? [] : [join(dataDirectory, 'pg_wal')]),
  ]
  const directory = candidates.find(one => basename(one) === 'pg_wal' && existsSync(one))
  if (directory === undefined) {
    context.log.warning(
      `changed blocks of ${file.name} are not recorded: no pg_wal to note them in, set PGDATA`,
    )
    return
  }
  const { recordChanges } = await import('./change-records.ts')
  await recordChanges(context, file, directory)
}

/** Without records a push still is safe; it only loses background pushes and retries of unreadable objects. */
function openRecords(context: OperationContext, walDirectory: string | undefined): PushRecords | undefined {
  if (walDirectory === undefined) return undefined
  try {
    return openPushRecords(walDirectory)
  } catch (error) {
    context.log.warning(
      `unable to keep push records in "${walDirectory}": ${error instanceof Error ? error.message : String(error)}; going on without background pushes`,
    )
    return undefined
  }
}

/**
 * True when an earlier process stored this very content at this very place and the object is still there with
 * the size it had. Anything else voids the record and the file is pushed as if there were none.
 */
async function acknowledgeFromRecord(
  context: OperationContext,
  pusher: WalPusher,
  looks: Looks,
  records: PushRecords,
  path: string,
): Promise<boolean> {
  const name = basename(path)
  const record = records.read(name)
  if (record?.state !== 'stored') return false
  const isSame =
    record.storage === storageIdentity(context.storageDescription) &&
    record.contentHash === pusher.hashFile(path)
  if (isSame) {
    try {
      const look = await looks.tryTo(BACKGROUND, () => isStoredEverywhere(context, record.key, record))
      // Not believed unseen. The record stays: it says whose the object is, should one be there.
      if (look === undefined) return false
      if (look.seen) return true
      context.log.warning(
        `object "${record.key}" has another size than when it was pushed; pushing ${name} again`,
      )
    } catch (error) {
      if (!hasCode(error, 'OBJECT_NOT_FOUND')) throw error
      context.log.warning(`object "${record.key}" has gone since it was pushed; pushing ${name} again`)
    }
  }
  records.remove(name)
  return false
}

async function isStoredEverywhere(
  { storage, signal }: OperationContext,
  key: string,
  expected?: Pick<PushRecord, 'storedSizeBytes'>,
): Promise<boolean> {
  for (const copy of copiesOf(storage)) {
    const info = await copy.stat(key, { signal })
    if (expected !== undefined && info.sizeBytes !== expected.storedSizeBytes) return false
  }
  return true
}
