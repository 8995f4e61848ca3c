import { type ByteSource, type ByteStream, streamFromSource } from '../../../kit/bytes.ts'
import { throwIfCancelled } from '../../../kit/clock.ts'
import { WalgError } from '../../../kit/errors.ts'
import { type MemoryBudget, type MemoryLimiter, openMemoryBudget } from '../../../kit/limits.ts'
import { checkKey, checkPrefix, joinKey, keyBelowRoot, listingStart, refuse } from '../../keys.ts'
import { storageClosed } from '../../lifetime.ts'
import { rangeHeader, wholeSizeOf } from '../../ranges.ts'
import { BlockSink } from '../../requests/block-sink.ts'
import { forEachOf } from '../../requests/for-each-of.ts'
import { bodyOf, dropBody, type HttpRequest, textOf } from '../../requests/http.ts'
import { type PatienceOptions, patientRequest, stallTimeoutOf } from '../../requests/patient-request.ts'
import { putThroughSink } from '../../requests/put-through-sink.ts'
import {
  openResumedSource,
  type ReadAnswer,
  type ReadRequest,
  replacedWhileRead,
} from '../../requests/resumed-source.ts'
import type {
  Abortable,
  GetOptions,
  ListOptions,
  ObjectInfo,
  ObjectSink,
  PutOptions,
  Storage,
  StorageEntry,
} from '../../storage.ts'
import { encoded, type ListedEntry, timeOfHeaders, timeOfListing } from './answers.ts'
import type { SwiftDescription } from './description.ts'
import {
  foreignListing,
  noContainer,
  noRanges,
  notConditional,
  refusedAnswer,
  type SwiftPlace,
} from './refusals.ts'
import { BULK_MAX, checkBulk, DELETES_AT_A_TIME, SwiftRemoval } from './removal.ts'
import { isSegmentName } from './segments.ts'
import { SwiftSession } from './session.ts'
import { SwiftUpload } from './upload.ts'

export interface SwiftDriverOptions extends SwiftDescription {
  readonly name: string
  /** Entries of one page of a listing (default 10,000, which is what a cluster gives at most). */
  readonly pageEntries?: number
  readonly patience?: Partial<PatienceOptions>
  /** The longest wait for a byte; 0 = no limit. */
  readonly stallTimeoutMs?: number
  /** What all threads together may hold of bytes on their way. */
  readonly memoryBudget?: MemoryBudget | undefined
}

const PATIENCE: PatienceOptions = { attemptsMax: 8, deadlineMs: 120_000, tryTimeoutMs: 120_000 }
const STALL_TIMEOUT_MS = 60_000
const PAGE_ENTRIES = 10_000
/** A copy on the server is one object, and cannot be larger than one may be. */
const COPY_BYTES_MAX = 5 * 1024 * 1024 * 1024

/** Opens a container; nothing is sent before the first use. */
export function openSwiftDriver(options: SwiftDriverOptions): Storage {
  return new SwiftDriver(options)
}

/** What HEAD tells of an object. */
interface SwiftObject extends ObjectInfo {
  /** A static large object: its segments are objects of their own. */
  readonly isManifest: boolean
}

class SwiftDriver implements Storage {
  readonly name: string
  readonly features: Storage['features'] = {
    isRemote: true,
    ranges: true,
    // `If-None-Match: *` is looked at before the body comes: of two puts at the same time both succeed
    conditionalPut: false,
    serverCopy: true,
    synchronous: false,
    flatKeys: true,
    boundsWaits: true,
    deleteBatchMax: BULK_MAX,
  }
  readonly #options: SwiftDriverOptions
  readonly #place: SwiftPlace
  readonly #session: SwiftSession
  readonly #patience: PatienceOptions
  readonly #removal: SwiftRemoval
  readonly #memory: MemoryLimiter | undefined
  #isClosed = false

  constructor(options: SwiftDriverOptions) {
    this.name = options.name
    this.#options = options
    this.#place = { storage: options.name, container: options.container }
    this.#session = new SwiftSession(options, options.name)
    this.#patience = {
      ...PATIENCE,
      stallTimeoutMs: stallTimeoutOf(options.stallTimeoutMs ?? STALL_TIMEOUT_MS),
      ...options.patience,
    }
    this.#removal = new SwiftRemoval({
      session: this.#session,
      place: this.#place,
      request: (given, run) => this.#request(given, run),
    })
    this.#memory = options.memoryBudget && openMemoryBudget(options.memoryBudget)
  }

  /** Lists one entry: what every other command may do, too. */
  async checkRoot(options: Abortable = {}): Promise<void> {
    this.#checkOpen(options)
    await this.#page('', { limit: '1' }, options)
  }

  list(prefix: string, options: ListOptions = {}): AsyncIterable<StorageEntry> {
    this.#checkOpen(options)
    checkPrefix(prefix, this.name)
    return this.#entries(prefix, options)
  }

  async *#entries(prefix: string, options: ListOptions): AsyncGenerator<StorageEntry> {
    const start = listingStart(this.#options.root, prefix)
    const limit = this.#options.pageEntries ?? PAGE_ENTRIES
    const query = {
      prefix: start,
      limit: String(limit),
      ...(options.recursive === true ? {} : { delimiter: '/' }),
    }
    for (let marker = ''; ; ) {
      const page = await this.#page(prefix, { ...query, marker }, options)
      options.onProgress?.()
      for (const each of page) {
        throwIfCancelled(options.signal)
        const entry = this.#entryOf(each, start)
        if (entry !== undefined) yield entry
      }
      const last = page.at(-1)
      if (last === undefined || page.length < limit) return
      marker = 'subdir' in last ? last.subdir : last.name
    }
  }

  async #page(
    prefix: string,
    query: Record<string, string>,
    options: Abortable,
  ): Promise<readonly ListedEntry[]> {
    const path = `/${encodeURIComponent(this.#options.container)}?${new URLSearchParams({ format: 'json', ...query })}`
    return this.#request(options, async signal => {
      const answer = await this.#session.send(path, { method: 'GET', headers: {}, signal })
      if (answer.status === 404) throw noContainer(this.#place)
      if (!answer.ok) throw await refusedAnswer(answer, this.#place, `list "${prefix}"`, prefix, signal)
      const text = await textOf(answer, signal)
      // what stands in between may say yes, too
      if (!answer.headers.has('x-container-object-count')) throw foreignListing(this.#place, prefix)
      return answer.status === 204 ? [] : (JSON.parse(text) as readonly ListedEntry[])
    })
  }

  /** Undefined for names that are no keys, such as the marker of a folder, and for segments. */
  #entryOf(listed: ListedEntry, start: string): StorageEntry | undefined {
    const name = 'subdir' in listed ? listed.subdir.replace(/\/$/, '') : listed.name
    if (isSegmentName(name.slice(start.length))) return undefined
    const key = keyBelowRoot(name, start, this.#options.root)
    if (key === undefined) return undefined
    if ('subdir' in listed) return { kind: 'prefix', key }
    return { kind: 'object', key, sizeBytes: listed.bytes, modifiedNs: timeOfListing(listed.last_modified) }
  }

  async stat(key: string, options: Abortable = {}): Promise<ObjectInfo> {
    this.#check(key, options)
    const { sizeBytes, modifiedNs } = await this.#head(key, options)
    return { key, sizeBytes, modifiedNs }
  }

  #head(key: string, options: Abortable): Promise<SwiftObject> {
    return this.#request(options, async signal => {
      const answer = await this.#session.send(this.#pathOf(key), { method: 'HEAD', headers: {}, signal })
      if (!answer.ok) throw await refusedAnswer(answer, this.#place, `stat object "${key}"`, key, signal)
      await dropBody(answer)
      return {
        key,
        sizeBytes: Number(answer.headers.get('content-length')),
        modifiedNs: timeOfHeaders(answer.headers),
        isManifest: answer.headers.get('x-static-large-object')?.toLowerCase() === 'true',
      }
    })
  }

  async get(key: string, options: GetOptions = {}): Promise<ByteStream> {
    return streamFromSource(await this.openSource(key, options))
  }

  async openSource(key: string, options: GetOptions = {}): Promise<ByteSource> {
    this.#check(key, options)
    return openResumedSource(
      {
        key,
        storage: this.name,
        request: (range, signal) => this.#read(key, range, signal),
        stat: signal => this.stat(key, signal === undefined ? {} : { signal }),
        patience: this.#patience,
      },
      options,
    )
  }

  async #read(
    key: string,
    { firstBytes, endBytes, version }: ReadRequest,
    signal: AbortSignal,
  ): Promise<ReadAnswer | undefined> {
    const range = rangeHeader(firstBytes, endBytes)
    const answer = await this.#session.send(this.#pathOf(key), {
      method: 'GET',
      headers: {
        ...(range === undefined ? {} : { range }),
        ...(version === undefined ? {} : { 'if-match': version }),
      },
      signal,
    })
    if (answer.status === 416) {
      await dropBody(answer)
      return undefined
    }
    if (answer.status === 412) throw replacedWhileRead(key, this.name)
    if (!answer.ok) throw await refusedAnswer(answer, this.#place, `get object "${key}"`, key, signal)
    const sizeBytes =
      wholeSizeOf(answer.headers.get('content-range')) ?? Number(answer.headers.get('content-length'))
    // a server that does not know ranges sends everything
    if (answer.status !== 206 && firstBytes > 0) throw noRanges(this.#place, key)
    return { sizeBytes, version: answer.headers.get('etag') ?? '', body: bodyOf(answer, signal) }
  }

  async put(key: string, body: ByteStream, options: PutOptions = {}): Promise<void> {
    await putThroughSink(this.openSink(key, options), body, options)
  }

  openSink(key: string, options: PutOptions = {}): ObjectSink {
    this.#check(key, options)
    if (options.ifAbsent === true) throw notConditional(this.#place, key)
    const { container, root, segmentSizeBytes, segmentsMax } = this.#options
    const upload = new SwiftUpload({
      container,
      name: joinKey(root, key),
      send: (doing, name, { body, headers, query }) =>
        this.#request(
          options,
          async signal => {
            const path = `${this.#pathOfName(name)}${query === undefined ? '' : `?${query}`}`
            const request: Omit<HttpRequest, 'url'> = {
              method: 'PUT',
              headers: headers ?? {},
              body: body ?? '',
              signal,
            }
            const answer = await this.#session.send(path, request)
            if (!answer.ok)
              throw await refusedAnswer(answer, this.#place, `${doing} object "${key}"`, key, signal, true)
            await dropBody(answer)
          },
          body?.length,
        ),
      remove: names => this.#removal.removeNames(names, {}),
    })
    return new BlockSink(upload, {
      key,
      storage: this.name,
      blockSizeBytes: segmentSizeBytes,
      blocksMax: segmentsMax,
      isParallel: true,
      expectedSizeBytes: options.expectedSizeBytes,
      memory: this.#memory,
      signal: options.signal,
    })
  }

  async copy(source: string, target: string, options: Abortable = {}): Promise<void> {
    this.#check(source, options)
    this.#check(target, options)
    const { sizeBytes } = await this.#head(source, options)
    if (source === target) return
    if (sizeBytes > COPY_BYTES_MAX) return this.put(target, await this.get(source, options), options)
    const from = `${encodeURIComponent(this.#options.container)}/${encoded(joinKey(this.#options.root, source))}`
    await this.#request(options, async signal => {
      const headers = { 'x-copy-from': `/${from}`, 'content-length': '0' }
      const answer = await this.#session.send(this.#pathOf(target), {
        method: 'PUT',
        headers,
        body: '',
        signal,
      })
      if (!answer.ok)
        throw await refusedAnswer(answer, this.#place, `copy object "${source}"`, source, signal)
      await dropBody(answer)
    })
  }

  /** Segments of large objects go with them: whether an object has some, only it can tell. */
  async delete(keys: readonly string[], options: Abortable = {}): Promise<void> {
    this.#checkOpen(options)
    for (const key of keys) checkKey(key, this.name)
    throwIfCancelled(options.signal)
    const plain: string[] = []
    await forEachOf(keys, DELETES_AT_A_TIME, async key => {
      const isManifest = await this.#isManifest(key, options)
      if (isManifest === true) await this.#deleteManifest(key, options)
      else if (isManifest === false) plain.push(joinKey(this.#options.root, key))
      options.onProgress?.()
    })
    await this.#removal.removeNames(plain, options)
  }

  /** Undefined when there is no such object. */
  async #isManifest(key: string, options: Abortable): Promise<boolean | undefined> {
    try {
      return (await this.#head(key, options)).isManifest
    } catch (error) {
      if (error instanceof WalgError && error.code === 'OBJECT_NOT_FOUND') return undefined
      throw error
    }
  }

  async #deleteManifest(key: string, options: Abortable): Promise<void> {
    await this.#request(options, async signal => {
      const path = `${this.#pathOf(key)}?multipart-manifest=delete`
      const answer = await this.#session.send(path, {
        method: 'DELETE',
        headers: { accept: 'application/json' },
        signal,
      })
      if (answer.status === 404) return dropBody(answer)
      if (!answer.ok) throw await refusedAnswer(answer, this.#place, `delete object "${key}"`, key, signal)
      checkBulk(await textOf(answer, signal), `delete object "${key}"`, this.name)
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
  }

  #request<T>(
    { signal }: Abortable,
    run: (signal: AbortSignal, attempt: number) => Promise<T>,
    bodyBytes: number = 0,
  ): Promise<T> {
    return patientRequest(run, this.#patience, signal, bodyBytes)
  }

  #pathOf(key: string): string {
    return this.#pathOfName(joinKey(this.#options.root, key))
  }

  #pathOfName(name: string): string {
    return `/${encodeURIComponent(this.#options.container)}/${encoded(name)}`
  }

  #check(key: string, options: Abortable): void {
    this.#checkOpen(options)
    checkKey(key, this.name)
    if (isSegmentName(key)) throw refuse(key, this.name, 'names with "_slo_segments" are those of segments')
  }

  #checkOpen(options: Abortable): void {
    throwIfCancelled(options.signal)
    if (this.#isClosed) throw storageClosed(this.name)
  }
}
