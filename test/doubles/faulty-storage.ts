import type { Awaitable, ByteSource, ByteStream } from '../../src/kit/bytes.ts'
import { WalgError } from '../../src/kit/errors.ts'
import type { ObjectSink, Storage } from '../../src/storage/storage.ts'

export type StorageOperation =
  | 'checkRoot'
  | 'list'
  | 'stat'
  | 'get'
  | 'put'
  | 'copy'
  | 'delete'
  | 'openSink'
  | 'openSource'

/** One way in which a storage lets its caller down. */
export interface StorageFault {
  readonly operation: StorageOperation
  /** Only for keys (prefixes, the first key of a delete) that contain this text. */
  readonly key?: string
  /** Matching operations that go well before the fault strikes (default 0). */
  readonly after?: number
  /** Strikes so often (default 1; Infinity = always, then at least once). */
  readonly times?: number
  /** What is thrown; default STORAGE_UNAVAILABLE. */
  readonly error?: Error
  /** The operation goes on for so many bytes first. */
  readonly afterBytes?: number
  /** Never answers (from `afterBytes` on, when given). */
  readonly hangs?: boolean
  /** Answers only after this promise, and then well: a slow storage without a clock. */
  readonly until?: Promise<void>
  /** The operation is done, its answer lost: the caller sees the error, the object is there. */
  readonly isAnswerLost?: boolean
}

export interface FaultyStorage extends Storage {
  /** Queues a fault; the first that matches strikes. */
  fail(fault: StorageFault): void
  /** What was asked of the storage: `put wal_005/x`, in order. */
  readonly calls: readonly string[]
  /** Throws unless every fault has struck as often as was asked: a test whose fault never struck proves nothing. */
  verifyAllFaultsStruck(): void
}

interface QueuedFault {
  readonly fault: StorageFault
  seen: number
  struck: number
}

/** A storage that fails on demand, over a real one. */
export function faultyStorage(storage: Storage, ...faults: readonly StorageFault[]): FaultyStorage {
  const queue: QueuedFault[] = []
  const calls: string[] = []
  const fail = (fault: StorageFault): void => {
    queue.push({ fault, seen: 0, struck: 0 })
  }
  for (const fault of faults) fail(fault)
  const strike = (operation: StorageOperation, key: string): Strike | undefined => {
    calls.push(key === '' ? operation : `${operation} ${key}`)
    return strikeOf(queue, operation, key)
  }
  const around = async <T>(operation: StorageOperation, key: string, run: () => Awaitable<T>): Promise<T> => {
    const struck = strike(operation, key)
    if (struck === undefined) return run()
    if (struck.fault.isAnswerLost === true) await run()
    await struck.happen()
    return run()
  }
  return {
    name: storage.name,
    features: { ...storage.features, synchronous: false },
    fail,
    calls,
    verifyAllFaultsStruck: () => verify(queue),
    checkRoot: options => around('checkRoot', '', () => storage.checkRoot(options)),
    async *list(prefix, options) {
      await around('list', prefix, () => {})
      yield* storage.list(prefix, options)
    },
    stat: (key, options) => around('stat', key, () => storage.stat(key, options)),
    async get(key, options) {
      const struck = strike('get', key)
      if (struck !== undefined && struck.fault.afterBytes === undefined) await struck.happen()
      const body = await storage.get(key, options)
      return struck?.fault.afterBytes === undefined ? body : breaking(body, struck)
    },
    async put(key, body, options) {
      const struck = strike('put', key)
      if (struck === undefined) return storage.put(key, body, options)
      const { afterBytes, isAnswerLost } = struck.fault
      if (isAnswerLost === true) await storage.put(key, body, options)
      else if (afterBytes !== undefined) return storage.put(key, breaking(body, struck), options)
      await struck.happen()
      await storage.put(key, body, options)
    },
    copy: (source, target, options) => around('copy', source, () => storage.copy(source, target, options)),
    delete: (keys, options) => around('delete', keys[0] ?? '', () => storage.delete(keys, options)),
    async openSink(key, options) {
      const struck = strike('openSink', key)
      if (struck !== undefined && isImmediate(struck.fault)) await struck.happen()
      const sink = await storage.openSink(key, options)
      return struck === undefined ? sink : breakingSink(sink, struck)
    },
    async openSource(key, options) {
      const struck = strike('openSource', key)
      if (struck !== undefined && isImmediate(struck.fault)) await struck.happen()
      const source = await storage.openSource(key, options)
      return struck === undefined ? source : breakingSource(source, struck)
    },
    close: () => storage.close(),
  }
}

/** A fault that has been chosen for one operation. */
interface Strike {
  readonly fault: StorageFault
  /** Throws, hangs, or waits. */
  happen(): Promise<void>
}

function strikeOf(queue: QueuedFault[], operation: StorageOperation, key: string): Strike | undefined {
  for (const queued of queue) {
    const { fault } = queued
    if (fault.operation !== operation || !key.includes(fault.key ?? '')) continue
    if (queued.seen++ < (fault.after ?? 0) || queued.struck >= (fault.times ?? 1)) continue
    queued.struck++
    return { fault, happen: () => happen(fault, operation, key) }
  }
  return undefined
}

async function happen(fault: StorageFault, operation: StorageOperation, key: string): Promise<void> {
  if (fault.hangs === true) await new Promise(() => {})
  if (fault.until !== undefined) return fault.until
  const message = `unable to ${operation} "${key}": the connection was reset`
  throw fault.error ?? new WalgError('STORAGE_UNAVAILABLE', message, { facts: { key } })
}

function verify(queue: readonly QueuedFault[]): void {
  const idle = queue.filter(({ fault, struck }) => {
    const times = fault.times ?? 1
    return struck < (Number.isFinite(times) ? times : 1)
  })
  if (idle.length === 0) return
  const names = idle.map(({ fault, struck }) => `${fault.operation} ${fault.key ?? ''} (${struck} times)`)
  throw new Error(`faults that did not strike: ${names.join(', ')}`)
}

function isImmediate(fault: StorageFault): boolean {
  return fault.afterBytes === undefined && fault.isAnswerLost !== true
}

async function* breaking(body: ByteStream, struck: Strike): AsyncGenerator<Uint8Array> {
  let leftBytes = struck.fault.afterBytes ?? 0
  for await (const chunk of body) {
    if (chunk.length > leftBytes) {
      if (leftBytes > 0) yield chunk.subarray(0, leftBytes)
      await struck.happen()
      yield chunk.subarray(leftBytes)
      leftBytes = Number.POSITIVE_INFINITY
    } else {
      leftBytes -= chunk.length
      yield chunk
    }
  }
  if (Number.isFinite(leftBytes)) await struck.happen()
}

function breakingSink(sink: ObjectSink, struck: Strike): ObjectSink {
  let leftBytes = struck.fault.afterBytes ?? Number.POSITIVE_INFINITY
  return {
    async write(bytes) {
      if (bytes.length > leftBytes) {
        leftBytes = Number.POSITIVE_INFINITY
        await struck.happen()
      }
      leftBytes -= bytes.length
      await sink.write(bytes)
    },
    async end() {
      if (struck.fault.isAnswerLost === true) await sink.end()
      if (struck.fault.isAnswerLost === true || Number.isFinite(leftBytes)) await struck.happen()
      await sink.end()
    },
    abort: () => sink.abort(),
  }
}

function breakingSource(source: ByteSource, struck: Strike): ByteSource {
  let leftBytes = struck.fault.afterBytes ?? Number.POSITIVE_INFINITY
  return {
    async read(into) {
      const count = await source.read(into.subarray(0, Math.max(1, Math.min(into.length, leftBytes))))
      if (count > leftBytes || (count === 0 && Number.isFinite(leftBytes))) {
        leftBytes = Number.POSITIVE_INFINITY
        await struck.happen()
      }
      leftBytes -= count
      return count
    },
    close: () => source.close(),
  }
}
