import type { BlockWriter, Codec } from '../../codec/codec.ts'
import { openCodec } from '../../codec/open-codec.ts'
import { hasCode } from '../../kit/errors.ts'
import { type Hasher, openHasher } from '../../kit/hash.ts'
import { createLinearMemory, type LinearMemory } from '../../kit/linear-memory.ts'
import { walKey, withExtension } from '../../repository/layout.ts'
import { findPayload } from '../../repository/sealed.ts'
import type { PutOptions, Storage } from '../../storage/storage.ts'
import { storageIdentity } from '../../storage/storage-identity.ts'
import type { OperationContext } from '../context.ts'
import { askCopies } from './guard/ask-copies.ts'
import { type Looks, openLooks } from './guard/looks.ts'
import { findOtherForms, removeOtherForms } from './guard/other-forms.ts'
import { judgeArchived } from './guard/overwrite-guard.ts'
import { damaged, different, unreadable, unseenExists, unseenUnguarded } from './guard/refusals.ts'
import { refuseElsewhere } from './guard/refuse-elsewhere.ts'
import { refuseOtherContent, refuseRival } from './guard/rival-form.ts'
import type { PushRecord, PushRecords } from './push-records.ts'
import { hashSource, sealSource } from './seal-source.ts'
import { openWalSource, type WalSource } from './wal-source.ts'

export type PushOutcome =
  | {
      readonly kind: 'stored'
      readonly key: string
      readonly contentHash: string
      readonly sizeBytes: number
      readonly storedSizeBytes: number
    }
  | { readonly kind: 'already-archived'; readonly key: string }

export interface WalPusherOptions {
  /** false: an existing object is replaced, except a `.history`. */
  readonly preventOverwrite: boolean
  /** Default: every look must be had. */
  readonly looks?: Looks
  /** Further storages of the archive, into which nothing is put: what they have under a name must be the same. */
  readonly elsewhere?: (() => Promise<readonly Storage[]>) | undefined
  /** Where the push can note what it is about to do; absent when there is no `pg_wal` to note it in. */
  readonly records: PushRecords | undefined
  /** Called with the source before anything is put; may throw. */
  readonly inspect?: (source: WalSource) => Promise<void>
}

export interface PushFileOptions {
  /** Nobody has asked for this file yet: without a note of it nothing is put. */
  readonly isAhead?: boolean
}

/** Pushes files one after the other with one codec and one memory. Not for concurrent use. */
export interface WalPusher {
  /** The object is durable and visible when this returns. Throws WAL_OVERWRITE, storage and file errors. */
  push(path: string, options?: PushFileOptions): Promise<PushOutcome>
  /** Hash of a local file's content, as the records have it. */
  hashFile(path: string): string
}

export function createWalPusher(context: OperationContext, options: WalPusherOptions): WalPusher {
  const memory = createLinearMemory()
  const codec = openCodec(context.codecDescription, memory)
  const hasher = openHasher(memory)
  const looks = options.looks ?? openLooks({ areNeeded: true })
  const pusher = { context, options, looks, memory, codec, hasher, isAhead: false }
  return {
    async push(path: string, { isAhead = false }: PushFileOptions = {}): Promise<PushOutcome> {
      const source = openWalSource(path)
      try {
        await options.inspect?.(source)
        return await pushSource({ ...pusher, isAhead }, source)
      } finally {
        source.close()
      }
    },
    hashFile(path: string): string {
      const source = openWalSource(path)
      try {
        return hashSource(pusher, source)
      } finally {
        source.close()
      }
    },
  }
}

interface Pusher {
  readonly context: OperationContext
  readonly options: WalPusherOptions
  readonly looks: Looks
  readonly memory: LinearMemory
  readonly codec: Codec
  readonly hasher: Hasher
  readonly isAhead: boolean
}

async function pushSource(pusher: Pusher, source: WalSource): Promise<PushOutcome> {
  const { storage } = pusher.context
  const { preventOverwrite, elsewhere } = pusher.options
  const isGuarded = preventOverwrite || source.name.endsWith('.history')
  if (!isGuarded) return await replaceSource(pusher, source)
  const { archived, lacking, isUnseen } = await settleEverywhere(pusher, source)
  if (archived !== undefined && lacking.length === 0) return archived
  if (archived === undefined) await refuseElsewhere({ ...pusher, source }, (await elsewhere?.()) ?? [])
  if (isUnseen) return await putUnseen(pusher, source, lacking)
  if (!storage.features.conditionalPut) return await putGuarded(pusher, source, {}, lacking)
  try {
    return await putGuarded(pusher, source, { ifAbsent: true }, lacking)
  } catch (error) {
    // A file system without hard links: the comparison above is all the guard there is.
    if (hasCode(error, 'FORMAT_UNSUPPORTED')) return await putGuarded(pusher, source, {}, lacking)
    if (!hasCode(error, 'OBJECT_EXISTS')) throw error
    // Another push of the same name came first; it must have had the same content.
    const again = await settleEverywhere(pusher, source)
    if (again.archived !== undefined && again.lacking.length === 0) return again.archived
    if (again.isUnseen) {
      pusher.options.records?.remove(source.name)
      throw unseenExists(storage, source, error)
    }
    return await putGuarded(pusher, source, {}, again.lacking)
  }
}

/** A put that is only acknowledged when no other push has put another content in another form meanwhile. */
async function putGuarded(
  pusher: Pusher,
  source: WalSource,
  options: PutOptions,
  into: readonly Storage[],
): Promise<PushOutcome> {
  return await acknowledgeAlone(pusher, source, await putSource(pusher, source, options, into), into)
}

/**
 * Guards a file whose name may not be looked up by the put itself, which the storage refuses where the name is taken. What an
 * earlier attempt noted is read first: this one notes the same. Throws WAL_OVERWRITE.
 */
async function putUnseen(pusher: Pusher, source: WalSource, into: readonly Storage[]): Promise<PushOutcome> {
  const { context, options } = pusher
  const { storage } = context
  if (!storage.features.conditionalPut) throw unseenUnguarded(storage, source)
  const isOwn = wasPushedBefore(pusher, source)
  try {
    return await putSource(pusher, source, { ifAbsent: true }, into)
  } catch (error) {
    if (hasCode(error, 'FORMAT_UNSUPPORTED')) throw unseenUnguarded(storage, source)
    // Denied: the name is taken, and whose it is may not be looked at, or putting is not permitted.
    if (!hasCode(error, 'OBJECT_EXISTS', 'ACCESS_DENIED')) throw error
    if (!isOwn) {
      // The note would pass what is there for this push's own.
      options.records?.remove(source.name)
      throw error.code === 'OBJECT_EXISTS' ? unseenExists(storage, source, error) : error
    }
    context.log.warning(
      `"${source.name}" is archived and cannot be read back, but an earlier attempt recorded the same content; putting it again`,
    )
    return await putSource(pusher, source, {}, into)
  }
}

/** Whether an attempt on this host has noted that it puts this content at this place. */
function wasPushedBefore(pusher: Pusher, source: WalSource): boolean {
  const { context, options } = pusher
  const record = options.records?.read(source.name)
  return (
    record !== undefined &&
    record.storage === storageIdentity(context.storageDescription) &&
    record.contentHash === hashSource(pusher, source)
  )
}

/** What was put counts when nothing else of that name is there. */
async function acknowledgeAlone(
  pusher: Pusher,
  source: WalSource,
  outcome: PushOutcome,
  into: readonly Storage[],
): Promise<PushOutcome> {
  try {
    await refuseRival({ ...pusher, source, key: outcome.key }, into)
  } catch (error) {
    // The note would pass the other push's object for this one's where that cannot be read.
    if (hasCode(error, 'WAL_OVERWRITE')) pusher.options.records?.remove(source.name)
    throw error
  }
  return outcome
}

/** Without the guard: whatever is archived under this name, in any form, gives way. */
async function replaceSource(pusher: Pusher, source: WalSource): Promise<PushOutcome> {
  const { context, codec, looks } = pusher
  const key = walKey(source.name, codec.extension)
  const others = await findOtherForms(context, looks, source.name, key)
  const outcome = await putSource(pusher, source, {})
  if (others.length > 0) await removeOtherForms(context, key, others)
  return outcome
}

interface Settled {
  /** Of the first storage that has the file. */
  readonly archived: PushOutcome | undefined
  /** The storages that do not have it: the way is free for a put. */
  readonly lacking: readonly Storage[]
  /** One of those may have it: looking there is not permitted, and not needed. */
  readonly isUnseen: boolean
}

/** Compares with what each storage has; one that may be down, and is, is passed over. */
async function settleEverywhere(pusher: Pusher, source: WalSource): Promise<Settled> {
  const { storage } = pusher.context
  let archived: PushOutcome | undefined
  const lacking: Storage[] = []
  let isUnseen = false
  await askCopies(storage, async copy => {
    const outcome = await settleWithArchive(pusher, copy, source)
    if (outcome === 'unseen') isUnseen = true
    if (outcome === undefined || outcome === 'unseen') lacking.push(copy)
    else archived ??= outcome
  })
  if (archived !== undefined) storage.copies?.noteGaps(archived.key)
  return { archived, lacking, isUnseen }
}

/**
 * Compares with what a storage has under this name, in any form. undefined: the way is free for a put; `unseen`: nobody knows.
 */
async function settleWithArchive(
  pusher: Pusher,
  storage: Storage,
  source: WalSource,
): Promise<PushOutcome | 'unseen' | undefined> {
  const { context, looks } = pusher
  const { signal } = context
  const look = await looks.tryTo('what is archived under the name of a history', () =>
    findPayload(storage, walKey(source.name, ''), { signal }),
  )
  if (look === undefined) return 'unseen'
  const found = look.seen
  if (found === null) return undefined
  const verdict = await judgeArchived({ storage, codec: pusher.codec, source, found })
  switch (verdict.kind) {
    case 'identical':
      await refuseOtherContent({ ...pusher, source, key: found.key })
      context.log.info(`WAL file '${source.path}' already archived with equal content, skipping`)
      return { kind: 'already-archived', key: found.key }
    case 'gone':
      return undefined
    case 'incomplete':
      context.log.warning(
        `object "${found.key}" in the archive is incomplete (${verdict.reason}), as an interrupted upload leaves it; replacing it`,
      )
      return await replaceIncomplete(pusher, storage, found.key, source)
    case 'unreadable':
      if (!wasPushedBefore(pusher, source)) throw unreadable(source, found.key, verdict.error)
      context.log.warning(
        `object "${found.key}" cannot be read back, but an earlier attempt recorded the same content; putting it again`,
      )
      return await putSource(pusher, source, {}, [storage])
    case 'damaged':
      throw damaged(pusher.codec, storage, source, found.key, verdict.error)
    case 'different':
      throw different(storage, source, found.key)
  }
}

/**
 * Puts first and then removes an incomplete object of another form, which would shadow the new one. One of the same key
 * is replaced by the put itself: had it been deleted first, that could have been the whole object of another push.
 */
async function replaceIncomplete(
  pusher: Pusher,
  storage: Storage,
  key: string,
  source: WalSource,
): Promise<PushOutcome> {
  const outcome = await putSource(pusher, source, {}, [storage])
  if (key !== walKey(source.name, pusher.codec.extension)) {
    await storage.delete([key], { signal: pusher.context.signal })
  }
  return await acknowledgeAlone(pusher, source, outcome, [storage])
}

/** Puts into all storages, or those of `into`. */
async function putSource(
  pusher: Pusher,
  source: WalSource,
  options: PutOptions,
  into?: readonly Storage[],
): Promise<PushOutcome> {
  const { context, codec } = pusher
  const { storage } = context
  const key = walKey(source.name, codec.extension)
  const putting = { ...options, signal: context.signal }
  const sink =
    into === undefined || storage.copies === undefined
      ? await storage.openSink(key, putting)
      : await storage.copies.openSink(into, key, putting)
  let storedSizeBytes = 0
  const counted = {
    write(bytes: Uint8Array): void | Promise<void> {
      storedSizeBytes += bytes.length
      return sink.write(bytes)
    },
    end: (): void | Promise<void> => sink.end(),
  }
  let contentHash: string
  let writer: BlockWriter | undefined
  try {
    writer = await codec.seal(counted, 'wal')
    contentHash = await sealSource(pusher, source, writer)
    await notePush(pusher, source.name, {
      state: 'pushing',
      storage: storageIdentity(context.storageDescription),
      key,
      contentHash,
      sizeBytes: source.sizeBytes,
    })
    await writer.end()
  } catch (error) {
    await sink.abort()
    throw error
  } finally {
    writer?.close()
  }
  context.log.info(`FILE PATH: ${withExtension(source.name, codec.extension)}`)
  return { kind: 'stored', key, contentHash, sizeBytes: source.sizeBytes, storedSizeBytes }
}

/**
 * A `pg_wal` that is full, or takes no notes from this user, must not stop archiving: nothing else empties it. A push
 * ahead waits for better times, because the server's own push of that file is the one that needs the note.
 */
async function notePush(pusher: Pusher, name: string, record: PushRecord): Promise<void> {
  try {
    await pusher.options.records?.write(name, record)
  } catch (error) {
    if (pusher.isAhead || !hasCode(error, 'DISK_FULL', 'FILE_ACCESS', 'FILE_NOT_FOUND')) throw error
    pusher.context.log.warning(
      `unable to note the push of ${name}: ${(error as Error).message}; going on: only where archived objects cannot be read back would a retry need it`,
    )
  }
}
