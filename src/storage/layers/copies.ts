import type { Awaitable, ByteStream } from '../../kit/bytes.ts'
import { hasCode, WalgError } from '../../kit/errors.ts'
import type { Abortable, ObjectSink, PutOptions, Storage, StorageCopies, StorageEntry } from '../storage.ts'

/** How mirrors that fail are dealt with. */
export interface MirrorWatch {
  /** False for a mirror that failed in this process, in any thread: nothing is sent there any more. */
  isUp(mirror: number): boolean
  /** A mirror failed; `error` says how. From now on it is not up. */
  onOutage(mirror: number, error: unknown): void
  /** The object of `key` is missing in that mirror; durable when it returns, else it throws. */
  noteGap(mirror: number, key: string): void
}

/**
 * Several storages with the same objects as one. Reads take the first that has the object: an absence is only believed
 * when every storage has answered. Changes go to all of them, and succeed when they have succeeded everywhere; with a
 * `watch` the first storage decides, and what another one lacks is noted. `features` are what all can do.
 */
export function withCopies(copies: readonly [Storage, ...Storage[]], watch?: MirrorWatch): Storage {
  const [first] = copies
  const room: Room = { copies, watch }
  const all = (test: (storage: Storage) => boolean): boolean => copies.every(test)
  return {
    name: first.name,
    copies: doorsTo(room),
    features: {
      ranges: all(({ features }) => features.ranges),
      conditionalPut: all(({ features }) => features.conditionalPut),
      serverCopy: all(({ features }) => features.serverCopy),
      synchronous: all(({ features }) => features.synchronous),
    },
    async checkRoot(options) {
      for (const storage of readable(room)) await storage.checkRoot(options)
    },
    list: (prefix, options) => unitedList(room, prefix, options),
    stat: (key, options) => firstOf(room, key, storage => storage.stat(key, options)),
    get: (key, options) => firstOf(room, key, storage => storage.get(key, options)),
    put: (key, body, options) => putEverywhere(room, key, body, options ?? {}),
    copy: (source, target, options) =>
      everywhere(room, target, storage => storage.copy(source, target, options)),
    async delete(keys, options) {
      await deleteEverywhere(room, keys, options)
    },
    openSink: (key, options) => openEverywhere(room, key, options),
    openSource(key, options) {
      return firstSource(room, key, 0, storage => storage.openSource(key, options))
    },
    async close() {
      for (const storage of copies) await storage.close()
    },
  }
}

/** Each of the storages that `storage` stands for and that can be asked; itself when it stands for no others. */
export function copiesOf(storage: Storage): readonly Storage[] {
  return storage.copies?.up() ?? [storage]
}

function doorsTo(room: Room): StorageCopies {
  const { copies, watch } = room
  return {
    up: () => readable(room),
    giveUp(copy, error) {
      const mirror = copies.indexOf(copy) - 1
      if (watch === undefined || mirror < 0) return false
      watch.onOutage(mirror, error)
      return true
    },
    openSink: (into, key, options) => openEverywhere(room, key, options, into),
    noteGaps: key => noteGaps(room, key),
  }
}

interface Room {
  readonly copies: readonly [Storage, ...Storage[]]
  readonly watch: MirrorWatch | undefined
}

/** Those that are up; the first always counts as such. */
function readable({ copies, watch }: Room): Storage[] {
  return copies.filter((_, at) => at === 0 || watch === undefined || watch.isUp(at - 1))
}

/** Mirrors that are up, with their numbers. */
function mirrorsOf({ copies, watch }: Room): { readonly storage: Storage; readonly number: number }[] {
  return copies
    .slice(1)
    .map((storage, number) => ({ storage, number }))
    .filter(({ number }) => watch === undefined || watch.isUp(number))
}

async function firstOf<T>(room: Room, key: string, run: (storage: Storage) => Promise<T>): Promise<T> {
  const failures: unknown[] = []
  for (const storage of readable(room)) {
    try {
      return await run(storage)
    } catch (error) {
      if (!isWorthAnother(error)) throw error
      failures.push(error)
    }
  }
  throw worst(failures, key)
}

function firstSource<T>(
  room: Room,
  key: string,
  from: number,
  run: (storage: Storage) => Awaitable<T>,
  failures: readonly unknown[] = [],
): Awaitable<T> {
  const storages = readable(room)
  const seen = [...failures]
  for (let at = from; at < storages.length; at++) {
    try {
      const result = run(storages[at]!)
      if (!(result instanceof Promise)) return result
      return result.catch((error: unknown) => {
        if (!isWorthAnother(error)) throw error
        return firstSource(room, key, at + 1, run, [...seen, error])
      })
    } catch (error) {
      if (!isWorthAnother(error)) throw error
      seen.push(error)
    }
  }
  throw worst(seen, key)
}

/** Another storage may have what this one has not, or cannot give. */
function isWorthAnother(error: unknown): boolean {
  return hasCode(
    error,
    'OBJECT_NOT_FOUND',
    'STORAGE_UNAVAILABLE',
    'STORAGE_THROTTLED',
    'STORAGE_ROOT_MISSING',
    'ACCESS_DENIED',
    'FILE_ACCESS',
    'TIMEOUT',
  )
}

/** "Not there" only when every storage said so: otherwise the failure of one that did not answer. */
function worst(failures: readonly unknown[], key: string): unknown {
  return (
    failures.find(error => !hasCode(error, 'OBJECT_NOT_FOUND')) ??
    failures[0] ??
    new WalgError('STORAGE_UNAVAILABLE', `no storage is left to look for "${key}" in`, { facts: { key } })
  )
}

/** Every entry once, with what the first storage that has it says of it. */
async function* unitedList(
  room: Room,
  prefix: string,
  options: Parameters<Storage['list']>[1],
): AsyncGenerator<StorageEntry> {
  const storages = readable(room)
  if (storages.length === 1) {
    yield* storages[0]!.list(prefix, options)
    return
  }
  const seen = new Set<string>()
  for (const storage of storages) {
    for await (const entry of storage.list(prefix, options)) {
      if (seen.has(entry.key)) continue
      seen.add(entry.key)
      yield entry
    }
  }
}

/** Mirrors first: when one refuses, the storage that everybody reads first shows nothing new. */
async function everywhere(room: Room, key: string, run: (storage: Storage) => Promise<void>): Promise<void> {
  const { copies, watch } = room
  for (const { storage, number } of mirrorsOf(room)) {
    try {
      await run(storage)
    } catch (error) {
      if (watch === undefined) throw error
      watch.onOutage(number, error)
    }
  }
  await run(copies[0])
  noteGaps(room, key)
}

async function deleteEverywhere(
  room: Room,
  keys: readonly string[],
  options: Abortable | undefined,
): Promise<void> {
  const { copies, watch } = room
  await copies[0].delete(keys, options)
  for (const { storage, number } of mirrorsOf(room)) {
    try {
      await storage.delete(keys, options)
    } catch (error) {
      if (watch === undefined) throw error
      watch.onOutage(number, error)
    }
  }
}

/** Before success is reported: what mirrors that are down lack. */
function noteGaps({ copies, watch }: Room, key: string): void {
  if (watch === undefined) return
  for (let mirror = 0; mirror < copies.length - 1; mirror++) {
    if (!watch.isUp(mirror)) watch.noteGap(mirror, key)
  }
}

async function putEverywhere(room: Room, key: string, body: ByteStream, options: PutOptions): Promise<void> {
  const sink = await openEverywhere(room, key, options)
  try {
    for await (const chunk of body) {
      await sink.write(chunk)
      options.onProgress?.()
    }
    options.signal?.throwIfAborted()
  } catch (error) {
    await sink.abort()
    throw error
  }
  await sink.end()
}

/** One sink of the tee; `number` is that of a mirror, undefined for the first storage. */
interface Branch {
  readonly number: number | undefined
  readonly sink: ObjectSink
  /** Of a mirror that failed: the others go on. */
  isGone: boolean
}

function openEverywhere(
  room: Room,
  key: string,
  options: PutOptions | undefined,
  into: readonly Storage[] = room.copies,
): Awaitable<ObjectSink> {
  const branches: Branch[] = []
  const { watch } = room
  const [first] = room.copies
  const targets = [...mirrorsOf(room), { storage: first, number: undefined }].filter(({ storage }) =>
    into.includes(storage),
  )
  const openFrom = (from: number): Awaitable<ObjectSink> => {
    for (let at = from; at < targets.length; at++) {
      const { storage, number } = targets[at]!
      const failed = (error: unknown): Awaitable<void> => {
        if (number !== undefined && watch !== undefined && !hasCode(error, 'OBJECT_EXISTS', 'CANCELLED')) {
          watch.onOutage(number, error)
          return
        }
        return abortAll(branches, error)
      }
      let opened: Awaitable<ObjectSink>
      try {
        opened = storage.openSink(key, options)
      } catch (error) {
        const settled = failed(error)
        if (settled instanceof Promise) return settled.then(() => openFrom(at + 1))
        continue
      }
      if (opened instanceof Promise) {
        return opened
          .then(sink => void branches.push({ number, sink, isGone: false }), failed)
          .then(() => openFrom(at + 1))
      }
      branches.push({ number, sink: opened, isGone: false })
    }
    return tee(room, key, branches)
  }
  return openFrom(0)
}

/** Ends all sinks of a put that has failed, then throws its failure. */
function abortAll(branches: readonly Branch[], error: unknown): Awaitable<never> {
  const aborts = branches.map(({ sink }) => sink.abort()).filter(abort => abort instanceof Promise)
  if (aborts.length === 0) throw error
  return Promise.allSettled(aborts).then(() => {
    throw error
  })
}

/** A failure of the first storage ends the put; that of a mirror too, unless somebody watches them. */
function tee(room: Room, key: string, branches: readonly Branch[]): ObjectSink {
  const { watch } = room
  const drop = (branch: Branch, error: unknown): Awaitable<void> => {
    if (branch.number === undefined || watch === undefined || hasCode(error, 'OBJECT_EXISTS', 'CANCELLED')) {
      throw error
    }
    watch.onOutage(branch.number, error)
    branch.isGone = true
    return branch.sink.abort()
  }
  const guarded = (branch: Branch, step: () => Awaitable<void>): Awaitable<void> => {
    try {
      const done = step()
      return done instanceof Promise ? done.catch((error: unknown) => drop(branch, error)) : done
    } catch (error) {
      return drop(branch, error)
    }
  }
  return {
    write(bytes) {
      const waits: Promise<void>[] = []
      for (const branch of branches) {
        if (branch.isGone) continue
        const written = guarded(branch, () => branch.sink.write(bytes))
        if (written instanceof Promise) waits.push(written)
      }
      if (waits.length === 0) return
      // All must have let go of the bytes before anybody is told of a failure.
      return Promise.allSettled(waits).then(throwFirst)
    },
    end() {
      const finish = (from: number): Awaitable<void> => {
        for (let at = from; at < branches.length; at++) {
          const branch = branches[at]!
          if (branch.isGone) continue
          const ended = guarded(branch, () => branch.sink.end())
          if (ended instanceof Promise) return ended.then(() => finish(at + 1))
        }
        noteGaps(room, key)
      }
      const abandon = (error: unknown): Awaitable<never> => abortAll(branches, error)
      try {
        const done = finish(0)
        return done instanceof Promise ? done.catch(abandon) : done
      } catch (error) {
        return abandon(error)
      }
    },
    abort() {
      const aborts = branches.map(({ sink }) => sink.abort()).filter(abort => abort instanceof Promise)
      return aborts.length === 0 ? undefined : Promise.allSettled(aborts).then(() => {})
    },
  }
}

function throwFirst(results: readonly PromiseSettledResult<void>[]): void {
  for (const result of results) if (result.status === 'rejected') throw result.reason
}
