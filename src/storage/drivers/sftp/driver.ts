import { type ByteStream, streamFromSource } from '../../../kit/bytes.ts'
import { throwIfCancelled } from '../../../kit/clock.ts'
import { WalgError } from '../../../kit/errors.ts'
import type { RetryOptions } from '../../../kit/retry.ts'
import { checkKey, checkPrefix } from '../../keys.ts'
import { storageClosed } from '../../lifetime.ts'
import { rangeWithin } from '../../ranges.ts'
import { putThroughSink } from '../../requests/put-through-sink.ts'
import type {
  Abortable,
  CheckRootOptions,
  GetOptions,
  ListOptions,
  ObjectSink,
  PutOptions,
  Storage,
  StorageEntry,
  UnfinishedUploads,
} from '../../storage.ts'
import { copyObject } from './copy.ts'
import type { SftpDescription } from './description.ts'
import { SftpLink } from './link.ts'
import { listFolder } from './listing.ts'
import { checkRoot, makeRoot, type SftpPlace } from './place.ts'
import { removeObject, settleFolder } from './removal.ts'
import { openSftpSink } from './sink.ts'
import { openSftpSource, statObject } from './source.ts'
import { unfinishedUploads } from './unfinished-uploads.ts'

const READ_CHUNK_BYTES = 1 << 20
const DELETES_AT_ONCE = 64

export interface SftpDriverOptions {
  /** One in so many objects looks for stale temporaries in its folder (default 128). */
  readonly sweepOneIn?: number
  /** How lost connections are opened again. */
  readonly retry?: Partial<RetryOptions>
}

/**
 * Objects as files below a folder of a server (storage-format 7.4), with the promises of the `fs` driver as far as the
 * server can keep them. Connects at once: what the server offers decides what the storage can do.
 */
export async function openSftpDriver(
  name: string,
  description: SftpDescription,
  options: SftpDriverOptions = {},
): Promise<Storage> {
  const link = new SftpLink(description, name, options.retry)
  const place: SftpPlace = {
    name,
    host: description.host,
    root: description.root,
    sweepOneIn: options.sweepOneIn ?? 128,
  }
  const extensions = await link.run(async session => session.extensions)
  return new SftpDriver(link, place, extensions)
}

class SftpDriver implements Storage {
  readonly name: string
  readonly features: Storage['features']
  readonly #link: SftpLink
  readonly #place: SftpPlace
  readonly unfinishedUploads: UnfinishedUploads
  #isClosed = false

  constructor(link: SftpLink, place: SftpPlace, extensions: ReadonlySet<string>) {
    this.name = place.name
    this.features = {
      isRemote: true,
      ranges: true,
      // only of OpenSSH is it known that a rename never replaces
      conditionalPut: extensions.has('hardlink@openssh.com'),
      serverCopy: extensions.has('copy-data'),
      synchronous: false,
    }
    this.#link = link
    this.#place = place
    this.unfinishedUploads = unfinishedUploads(link, place)
  }

  async checkRoot(options: CheckRootOptions = {}): Promise<void> {
    this.#checkOpen(options)
    await this.#link.run(async session => {
      if (options.mayCreate === true) await makeRoot(session, this.#place)
      await checkRoot(session, this.#place)
    }, options.signal)
  }

  list(prefix: string, options: ListOptions = {}): AsyncIterable<StorageEntry> {
    this.#checkOpen(options)
    checkPrefix(prefix, this.name)
    return listFolder(this.#link, this.#place, prefix, options)
  }

  async stat(key: string, options: Abortable = {}): ReturnType<Storage['stat']> {
    this.#check(key, options)
    return this.#link.run(session => statObject(session, this.#place, key), options.signal)
  }

  /** The file is opened at the first pull: a stream that nobody reads holds no handle. */
  async get(key: string, options: GetOptions = {}): Promise<ByteStream> {
    const info = await this.stat(key, options)
    const range = rangeWithin(key, this.name, info.sizeBytes, options.range)
    const chunkBytes = Math.min(READ_CHUNK_BYTES, Math.max(1, range.endBytes - range.firstBytes))
    return this.#read(key, options, chunkBytes)
  }

  async *#read(key: string, options: GetOptions, chunkBytes: number): AsyncGenerator<Uint8Array> {
    yield* streamFromSource(await this.openSource(key, options), chunkBytes)
  }

  async put(key: string, body: ByteStream, options: PutOptions = {}): Promise<void> {
    await putThroughSink(await this.openSink(key, options), body, options)
  }

  async copy(source: string, target: string, options: Abortable = {}): Promise<void> {
    this.#check(source, options)
    this.#check(target, options)
    const info = await this.stat(source, options)
    if (source === target) return
    if (this.features.serverCopy) await copyObject(this.#link, this.#place, info, target, options)
    else await this.put(target, this.#read(source, options, READ_CHUNK_BYTES), options)
  }

  async delete(keys: readonly string[], options: Abortable = {}): Promise<void> {
    this.#checkOpen(options)
    for (const key of keys) checkKey(key, this.name)
    const folders = new Set<string>()
    for (let at = 0; at < keys.length; at += DELETES_AT_ONCE) {
      throwIfCancelled(options.signal)
      const removals = keys
        .slice(at, at + DELETES_AT_ONCE)
        .map(key => this.#link.run(session => removeObject(session, this.#place, key), options.signal))
      for (const folder of await Promise.all(removals)) if (folder !== undefined) folders.add(folder)
      options.onProgress?.()
    }
    for (const folder of folders) {
      await this.#link.run(session => settleFolder(session, this.#place, folder), options.signal)
      options.onProgress?.()
    }
  }

  async openSink(key: string, options: PutOptions = {}): Promise<ObjectSink> {
    this.#check(key, options)
    if (options.ifAbsent === true && !this.features.conditionalPut) {
      throw new WalgError(
        'FORMAT_UNSUPPORTED',
        `storage "${this.name}" cannot put an object only if there is none: "${this.#place.host}" is not OpenSSH`,
        { facts: { key, storage: this.name } },
      )
    }
    return openSftpSink(this.#link, this.#place, key, options)
  }

  async openSource(key: string, options: GetOptions = {}): ReturnType<typeof openSftpSource> {
    this.#check(key, options)
    return openSftpSource(this.#link, this.#place, key, options)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    await this.#link.close()
  }

  #check(key: string, options: Abortable): void {
    this.#checkOpen(options)
    checkKey(key, this.name)
  }

  #checkOpen(options: Abortable): void {
    throwIfCancelled(options.signal)
    if (this.#isClosed) throw storageClosed(this.name)
  }
}
