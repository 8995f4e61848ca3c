import { type ByteSource, type ByteStream, collect, concatBytes, streamOf } from '../../kit/bytes.ts'
import { throwIfCancelled } from '../../kit/clock.ts'
import { WalgError } from '../../kit/errors.ts'
import { checkKey, checkPrefix, refuse } from '../keys.ts'
import { sinkClosed, storageClosed } from '../lifetime.ts'
import { rangeWithin } from '../ranges.ts'
import type {
  Abortable,
  GetOptions,
  ListOptions,
  ObjectInfo,
  ObjectSink,
  PutOptions,
  Storage,
  StorageEntry,
} from '../storage.ts'

interface MemoryObject {
  readonly bytes: Uint8Array
  readonly modifiedNs: bigint
}

/** The objects behind one id, and how many of them lie below each prefix. */
interface MemoryBucket {
  readonly objects: Map<string, MemoryObject>
  readonly countByPrefix: Map<string, number>
}

/** An object in memory is not larger: this is for tests and tools, not for backups. */
const OBJECT_BYTES_MAX = 1 << 30
const STREAM_CHUNK_BYTES = 1 << 20

const buckets = new Map<string, MemoryBucket>()
let lastModifiedNs = 0n

/** Objects in this thread's memory; opening the same id again finds them again. */
export function openMemoryDriver(name: string, id: string): Storage {
  const bucket = buckets.get(id) ?? { objects: new Map(), countByPrefix: new Map() }
  buckets.set(id, bucket)
  return new MemoryDriver(name, bucket)
}

/** Forgets what was put under `id`. */
export function dropMemory(id: string): void {
  buckets.delete(id)
}

class MemoryDriver implements Storage {
  readonly name: string
  readonly features: Storage['features'] = {
    ranges: true,
    conditionalPut: true,
    serverCopy: true,
    synchronous: true,
  }
  readonly #bucket: MemoryBucket
  #isClosed = false

  constructor(name: string, bucket: MemoryBucket) {
    this.name = name
    this.#bucket = bucket
  }

  async checkRoot(options: Abortable = {}): Promise<void> {
    this.#checkOpen(options)
  }

  list(prefix: string, options: ListOptions = {}): AsyncIterable<StorageEntry> {
    this.#checkOpen(options)
    checkPrefix(prefix, this.name)
    return this.#entries(prefix === '' ? '' : `${prefix}/`, options)
  }

  async *#entries(start: string, options: ListOptions): AsyncGenerator<StorageEntry> {
    const prefixes = new Set<string>()
    for (const [key, object] of [...this.#bucket.objects]) {
      throwIfCancelled(options.signal)
      if (!key.startsWith(start)) continue
      const slash = options.recursive === true ? -1 : key.indexOf('/', start.length)
      if (slash === -1) {
        yield { kind: 'object', key, sizeBytes: object.bytes.length, modifiedNs: object.modifiedNs }
      } else {
        prefixes.add(key.slice(0, slash))
      }
    }
    for (const key of prefixes) yield { kind: 'prefix', key }
  }

  async stat(key: string, options: Abortable = {}): Promise<ObjectInfo> {
    const object = this.#find(key, options)
    return { key, sizeBytes: object.bytes.length, modifiedNs: object.modifiedNs }
  }

  async get(key: string, options: GetOptions = {}): Promise<ByteStream> {
    return chunksOf(this.#bytesOf(key, options), options)
  }

  async put(key: string, body: ByteStream, options: PutOptions = {}): Promise<void> {
    this.#checkPut(key, options)
    const bytes = await collect(checked(body, options), OBJECT_BYTES_MAX)
    this.#store(key, bytes, options)
  }

  async copy(source: string, target: string, options: Abortable = {}): Promise<void> {
    const object = this.#find(source, options)
    this.#checkPut(target, options)
    if (source !== target) this.#store(target, object.bytes, options)
  }

  async delete(keys: readonly string[], options: Abortable = {}): Promise<void> {
    this.#checkOpen(options)
    for (const key of keys) checkKey(key, this.name)
    for (const key of keys) {
      if (!this.#bucket.objects.delete(key)) continue
      for (const prefix of prefixesOf(key)) {
        const count = (this.#bucket.countByPrefix.get(prefix) ?? 0) - 1
        if (count > 0) this.#bucket.countByPrefix.set(prefix, count)
        else this.#bucket.countByPrefix.delete(prefix)
      }
    }
  }

  openSink(key: string, options: PutOptions = {}): ObjectSink {
    this.#checkPut(key, options)
    const chunks: Uint8Array[] = []
    let isOpen = true
    const check = (): void => {
      throwIfCancelled(options.signal)
      if (!isOpen) throw sinkClosed(key, this.name)
    }
    return {
      write: bytes => {
        check()
        chunks.push(new Uint8Array(bytes))
      },
      end: () => {
        check()
        isOpen = false
        this.#store(key, concatBytes(chunks), options)
      },
      abort: () => {
        isOpen = false
        chunks.length = 0
      },
    }
  }

  openSource(key: string, options: GetOptions = {}): ByteSource {
    let rest = this.#bytesOf(key, options)
    return {
      read(into) {
        throwIfCancelled(options.signal)
        const count = Math.min(into.length, rest.length)
        into.set(rest.subarray(0, count))
        rest = rest.subarray(count)
        return count
      },
      close() {
        rest = rest.subarray(rest.length)
      },
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
  }

  #bytesOf(key: string, options: GetOptions): Uint8Array {
    const { bytes } = this.#find(key, options)
    const range = rangeWithin(key, this.name, bytes.length, options.range)
    return bytes.subarray(range.firstBytes, range.endBytes)
  }

  #find(key: string, options: Abortable): MemoryObject {
    this.#checkOpen(options)
    checkKey(key, this.name)
    const object = this.#bucket.objects.get(key)
    if (object !== undefined) return object
    throw new WalgError('OBJECT_NOT_FOUND', `object "${key}" not found in storage "${this.name}"`, {
      facts: { key, storage: this.name },
    })
  }

  /** As on a file system, a name is an object or a prefix, not both: what works here works there. */
  #checkPut(key: string, options: PutOptions): void {
    this.#checkOpen(options)
    checkKey(key, this.name)
    if (this.#bucket.countByPrefix.has(key)) throw refuse(key, this.name, 'there is a folder of that name')
    for (const prefix of prefixesOf(key)) {
      if (!this.#bucket.objects.has(prefix)) continue
      throw refuse(key, this.name, `a part of its path, "${prefix}", is an object`)
    }
    if (options.ifAbsent === true && this.#bucket.objects.has(key)) {
      throw new WalgError('OBJECT_EXISTS', `object "${key}" exists already in storage "${this.name}"`, {
        facts: { key, storage: this.name },
      })
    }
  }

  #store(key: string, bytes: Uint8Array, options: PutOptions): void {
    this.#checkPut(key, options)
    if (!this.#bucket.objects.has(key)) {
      for (const prefix of prefixesOf(key)) {
        this.#bucket.countByPrefix.set(prefix, (this.#bucket.countByPrefix.get(prefix) ?? 0) + 1)
      }
    }
    this.#bucket.objects.set(key, { bytes, modifiedNs: nextTimeNs() })
  }

  #checkOpen(options: Abortable): void {
    throwIfCancelled(options.signal)
    if (this.#isClosed) throw storageClosed(this.name)
  }
}

/** Later puts have later times, as backups in a listing need it. */
function nextTimeNs(): bigint {
  const nowNs = BigInt(Date.now()) * 1_000_000n
  lastModifiedNs = nowNs > lastModifiedNs ? nowNs : lastModifiedNs + 1n
  return lastModifiedNs
}

function* prefixesOf(key: string): Generator<string> {
  for (let at = key.indexOf('/'); at !== -1; at = key.indexOf('/', at + 1)) yield key.slice(0, at)
}

async function* checked(body: ByteStream, options: Abortable): AsyncGenerator<Uint8Array> {
  for await (const chunk of body) {
    throwIfCancelled(options.signal)
    yield chunk
  }
  throwIfCancelled(options.signal)
}

async function* chunksOf(bytes: Uint8Array, options: Abortable): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += STREAM_CHUNK_BYTES) {
    throwIfCancelled(options.signal)
    yield* streamOf(bytes.slice(at, at + STREAM_CHUNK_BYTES))
  }
}
