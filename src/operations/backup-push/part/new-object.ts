import { hasCode, WalgError } from '../../../kit/errors.ts'
import { sentinelKeyFor } from '../../../repository/layout.ts'
import { statIfThere } from '../../../storage/requests/stat-if-there.ts'
import type { Abortable, ObjectSink, PutOptions, Storage } from '../../../storage/storage.ts'

/** What tells an object that this push has put from one that somebody else has put in its place. */
export interface ObjectTraits {
  readonly sizeBytes: number
  /** Of the stored bytes. */
  readonly hash: string
  /** Undefined: it was not there any more when it was asked for. */
  readonly modifiedNs: bigint | undefined
}

const HINT =
  'a primary and its standby, say, whose backups begin at the same point have the same name: push from one host at a time, or set WALG_PRIMARY_CONNINFO on the standby, so that the second is refused before it begins'

/**
 * Opens an object of a backup that nobody else may have put: it becomes visible only while neither the sentinel of the
 * backup nor an object of that name is there. Where the storage can that is one step with the put, else a look right
 * before it. Throws OBJECT_EXISTS or BACKUP_EXISTS, when it is opened or when it ends.
 */
export async function openNewObject(
  storage: Storage,
  key: string,
  options: PutOptions = {},
): Promise<ObjectSink> {
  const putting = storage.features.conditionalPut ? { ...options, ...NEW } : options
  const sink = await asAnotherPush(storage, key, () => storage.openSink(key, putting))
  return {
    write: bytes => sink.write(bytes),
    abort: () => sink.abort(),
    async end(): Promise<void> {
      if (storage.features.conditionalPut) await assertIncomplete(storage, key, options)
      else await assertFree(storage, key, options)
      await asAnotherPush(storage, key, () => sink.end())
    },
  }
}

/** For `put`: only as a new object. */
export const NEW: PutOptions = { ifAbsent: true, mayLookFirst: true }

/** Throws BACKUP_EXISTS when the backup of `key` is complete, OBJECT_EXISTS when the object is there. */
export async function assertFree(storage: Storage, key: string, options: Abortable): Promise<void> {
  await assertIncomplete(storage, key, options)
  if (key === sentinelKeyFor(key)) return
  if ((await statIfThere(storage, key, options)) !== undefined) throw anotherPush(storage, key)
}

async function assertIncomplete(storage: Storage, key: string, options: Abortable): Promise<void> {
  const sentinel = sentinelKeyFor(key)
  if ((await statIfThere(storage, sentinel, options)) !== undefined) throw anotherPush(storage, sentinel)
}

/** As the storage has the object that was just put; what cannot be said now is undefined, and is asked again later. */
export async function modifiedNsOf(storage: Storage, key: string): Promise<bigint | undefined> {
  try {
    return (await storage.stat(key)).modifiedNs
  } catch {
    return undefined
  }
}

/** Runs a put, and says what an object of that name means. */
export async function asAnotherPush<T>(storage: Storage, key: string, put: () => T): Promise<Awaited<T>> {
  try {
    return await put()
  } catch (error) {
    throw hasCode(error, 'OBJECT_EXISTS') ? anotherPush(storage, key, error) : error
  }
}

/** Somebody else has put an object of this backup, or its sentinel. */
export function anotherPush({ name }: Storage, key: string, cause?: unknown): WalgError {
  const isComplete = key === sentinelKeyFor(key)
  const done = isComplete ? 'has completed a backup of this name' : 'is putting a backup of this name'
  return new WalgError(
    isComplete ? 'BACKUP_EXISTS' : 'OBJECT_EXISTS',
    `another push ${done}: "${key}" is in storage "${name}", and this push has not put it`,
    { facts: { key, storage: name }, hint: HINT, ...(cause === undefined ? {} : { cause }) },
  )
}
