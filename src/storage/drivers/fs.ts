import { constants } from 'node:fs'
import { type ByteStream, streamFromSource } from '../../kit/bytes.ts'
import { errnoOf } from '../../kit/errors.ts'
import { call, type FileSteps, runPooled, unless } from '../../kit/file-steps.ts'
import { type FileSystem, fileSystem } from '../../kit/file-system.ts'
import { isWorkerThread } from '../../kit/thread.ts'
import { checkKey, checkPrefix } from '../keys.ts'
import { storageClosed } from '../lifetime.ts'
import { rangeWithin } from '../ranges.ts'
import { putThroughSink } from '../requests/put-through-sink.ts'
import type {
  Abortable,
  GetOptions,
  ListOptions,
  PutOptions,
  Storage,
  StorageEntry,
  UnfinishedUploads,
} from '../storage.ts'
import { listFolder } from './fs/listing.ts'
import { type FsPlace, fromFsError, resolveKey, resolveRoot } from './fs/place.ts'
import { type EntryCounts, noteRemoved, removeObject, settleFolder } from './fs/removal.ts'
import { type CallMode, openFsSink } from './fs/sink.ts'
import { openFsSource, statObject } from './fs/source.ts'
import { unfinishedUploads } from './fs/unfinished-uploads.ts'

const READ_CHUNK_BYTES = 1 << 20
const DELETES_AT_ONCE = 16
const APPEND: number = constants.O_WRONLY | constants.O_APPEND
const CREATE: number = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL
/** What file systems say that cannot share blocks between two files. */
const CANNOT_CLONE = ['ENOTSUP', 'EOPNOTSUPP', 'EXDEV', 'EINVAL', 'ENOSYS', 'ENOTTY', 'EPERM', 'ETXTBSY']

export interface FsDriverOptions {
  /** The storage's name. */
  readonly name: string
  readonly root: string
  readonly isDurable: boolean
  /** Default: the thread's (`kit/file-system.ts`). */
  readonly system?: FileSystem
  /** How `openSink` and `openSource` call the system. Default: blocking in a worker, pooled on the main thread. */
  readonly mode?: CallMode
  /** One in so many objects looks for stale temporaries in its folder (default 128). */
  readonly sweepOneIn?: number
}

/**
 * Objects as files below a folder (storage-format 7.3). Throws STORAGE_ROOT_MISSING unless the folder is there: it is
 * never created.
 */
export async function openFsDriver(options: FsDriverOptions): Promise<Storage> {
  const system = options.system ?? fileSystem()
  const realRoot = await runPooled(system, resolveRoot(options.root, options.name))
  const place: FsPlace = {
    name: options.name,
    root: options.root,
    realRoot,
    annexes: new Set(),
    isDurable: options.isDurable,
    sweepOneIn: options.sweepOneIn ?? 128,
  }
  return new FsDriver(system, place, options.mode ?? (isWorkerThread() ? 'blocking' : 'pooled'))
}

class FsDriver implements Storage {
  readonly name: string
  readonly features: Storage['features']
  readonly #system: FileSystem
  readonly #place: FsPlace
  readonly #mode: CallMode
  readonly #counts: EntryCounts = new Map()
  readonly unfinishedUploads: UnfinishedUploads
  #isClosed = false

  constructor(system: FileSystem, place: FsPlace, mode: CallMode) {
    this.name = place.name
    this.features = { ranges: true, conditionalPut: true, serverCopy: true, synchronous: mode === 'blocking' }
    this.#system = system
    this.#place = place
    this.#mode = mode
    this.unfinishedUploads = unfinishedUploads(system, place, this.#counts)
  }

  async checkRoot(options: Abortable = {}): Promise<void> {
    this.#checkOpen()
    await this.#run(readRoot(this.#place), options)
  }

  list(prefix: string, options: ListOptions = {}): AsyncIterable<StorageEntry> {
    this.#checkOpen()
    checkPrefix(prefix, this.name)
    return listFolder(this.#system, this.#place, prefix, options)
  }

  async stat(key: string, options: Abortable = {}): ReturnType<Storage['stat']> {
    this.#check(key)
    return this.#run(statObject(this.#place, key), options)
  }

  /** The file is opened at the first pull: a stream that nobody reads holds no descriptor. */
  async get(key: string, options: GetOptions = {}): Promise<ByteStream> {
    const info = await this.stat(key, options)
    const range = rangeWithin(key, this.name, info.sizeBytes, options.range)
    const chunkBytes = Math.min(READ_CHUNK_BYTES, Math.max(1, range.endBytes - range.firstBytes))
    return this.#read(key, options, chunkBytes)
  }

  async *#read(key: string, options: GetOptions, chunkBytes: number): AsyncGenerator<Uint8Array> {
    const source = await openFsSource(this.#system, this.#place, key, options, 'pooled')
    yield* streamFromSource(source, chunkBytes)
  }

  async put(key: string, body: ByteStream, options: PutOptions = {}): Promise<void> {
    this.#check(key)
    const sink = await openFsSink(this.#system, this.#place, key, { ...options, mode: 'pooled' })
    await putThroughSink(sink, body, options)
  }

  async copy(source: string, target: string, options: Abortable = {}): Promise<void> {
    this.#check(source)
    this.#check(target)
    const real = await this.#run(resolveObject(this.#place, source), options)
    if (source === target) return
    let isWhole = false
    const sink = await openFsSink(this.#system, this.#place, target, {
      ...options,
      mode: 'pooled',
      *fill(path) {
        isWhole = yield* cloneObject(real, path)
        return yield* call('open', path, isWhole ? APPEND : CREATE, 0o666)
      },
    })
    const body = isWhole ? [] : this.#read(source, options, READ_CHUNK_BYTES)
    await putThroughSink(sink, body, options)
  }

  async delete(keys: readonly string[], options: Abortable = {}): Promise<void> {
    this.#checkOpen()
    for (const key of keys) checkKey(key, this.name)
    const folders = new Set<string>()
    for (let at = 0; at < keys.length; at += DELETES_AT_ONCE) {
      const group = keys.slice(at, at + DELETES_AT_ONCE)
      const removals = group.map(key => this.#run(removeObject(this.#place, key), options))
      for (const folder of await Promise.all(removals)) {
        if (folder === undefined) continue
        folders.add(folder)
        noteRemoved(this.#counts, folder)
      }
      options.onProgress?.()
    }
    for (const folder of folders) {
      await this.#run(settleFolder(this.#place, folder, this.#counts), options)
      options.onProgress?.()
    }
  }

  openSink(key: string, options: PutOptions = {}): ReturnType<Storage['openSink']> {
    this.#check(key)
    return openFsSink(this.#system, this.#place, key, { ...options, mode: this.#mode })
  }

  openSource(key: string, options: GetOptions = {}): ReturnType<Storage['openSource']> {
    this.#check(key)
    return openFsSource(this.#system, this.#place, key, options, this.#mode)
  }

  async close(): Promise<void> {
    this.#isClosed = true
  }

  #run<T>(steps: FileSteps<T>, options: Abortable): Promise<T> {
    return runPooled(this.#system, steps, options.signal)
  }

  #check(key: string): void {
    this.#checkOpen()
    checkKey(key, this.name)
  }

  #checkOpen(): void {
    if (this.#isClosed) throw storageClosed(this.name)
  }
}

function* readRoot(place: FsPlace): FileSteps<void> {
  try {
    yield* call('readdir', place.realRoot)
  } catch (error) {
    throw fromFsError(error, place, 'open', '')
  }
}

/** Copies by sharing blocks; false when the file system cannot, and nothing was made. */
function* cloneObject(source: string, target: string): FileSteps<boolean> {
  try {
    yield* call('reflink', source, target)
    return true
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === 'EEXIST') throw error
    yield* unless(['ENOENT'], call('unlink', target))
    if (errno !== undefined && CANNOT_CLONE.includes(errno)) return false
    throw error
  }
}

function* resolveObject(place: FsPlace, key: string): FileSteps<string> {
  yield* statObject(place, key)
  return yield* resolveKey(place, key)
}
