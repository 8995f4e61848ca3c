import { type ByteSource, type ByteStream, streamFromSource } from '../../../kit/bytes.ts'
import { throwIfCancelled } from '../../../kit/clock.ts'
import { hasCode } from '../../../kit/errors.ts'
import { type MemoryBudget, type MemoryLimiter, openMemoryBudget } from '../../../kit/limits.ts'
import { checkKey, checkPrefix, joinKey, keyBelowRoot, listingStart, refuse } from '../../keys.ts'
import { storageClosed } from '../../lifetime.ts'
import { rangeHeader, wholeSizeOf } from '../../ranges.ts'
import { BlockSink } from '../../requests/block-sink.ts'
import { forEachOf } from '../../requests/for-each-of.ts'
import { putThroughSink } from '../../requests/put-through-sink.ts'
import {
  openResumedSource,
  type ReadAnswer,
  type ReadRequest,
  replacedWhileRead,
} from '../../requests/resumed-source.ts'
import { chunksOfBody } from '../../requests/web-body.ts'
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
import { GcsClient, type GcsRequest } from './client.ts'
import type { GcsDescription } from './description.ts'
import { foreignAnswer, fromFetchError } from './errors.ts'
import { GcsUpload } from './upload.ts'

export interface GcsDriverOptions {
  /** The storage's name. */
  readonly name: string
  readonly description: GcsDescription
  /** No wait for a byte lasts longer; 0 = no limit. */
  readonly stallTimeoutMs: number
  readonly memoryBudget?: MemoryBudget | undefined
}

const PAGE_ENTRIES = 1000
const DELETES_AT_A_TIME = 32
/** One chunk is filled while the other is sent. */
const CHUNKS_MAX = 2

/** Opens a bucket; nothing is sent before the first use. */
export function openGcsDriver(options: GcsDriverOptions): Storage {
  return new GcsDriver(options)
}

interface ObjectResource {
  readonly name: string
  readonly size: string
  readonly updated: string
}

interface Page {
  readonly items?: readonly ObjectResource[]
  readonly kind?: string
  readonly prefixes?: readonly string[]
  readonly nextPageToken?: string
}

class GcsDriver implements Storage {
  readonly name: string
  readonly features: Storage['features'] = {
    isRemote: true,
    ranges: true,
    conditionalPut: true,
    serverCopy: true,
    synchronous: false,
    flatKeys: true,
    boundsWaits: true,
    provesRoot: true,
  }
  readonly #description: GcsDescription
  readonly #memory: MemoryLimiter | undefined
  readonly #client: GcsClient
  #isClosed = false

  constructor(options: GcsDriverOptions) {
    this.name = options.name
    this.#description = options.description
    this.#memory = options.memoryBudget === undefined ? undefined : openMemoryBudget(options.memoryBudget)
    this.#client = new GcsClient(options)
  }

  /** Lists one entry: what every other command may do, too. */
  async checkRoot(options: Abortable = {}): Promise<void> {
    this.#checkOpen(options)
    const { root } = this.#description
    const query = { maxResults: '1', fields: 'kind', prefix: root === '' ? undefined : `${root}/` }
    await this.#page(query, '', options)
  }

  list(prefix: string, options: ListOptions = {}): AsyncIterable<StorageEntry> {
    this.#checkOpen(options)
    checkPrefix(prefix, this.name)
    this.#checkLineBreaks(prefix)
    return this.#entries(prefix, options)
  }

  async *#entries(prefix: string, options: ListOptions): AsyncGenerator<StorageEntry> {
    const start = listingStart(this.#description.root, prefix)
    let pageToken: string | undefined
    do {
      const query = {
        prefix: start === '' ? undefined : start,
        delimiter: options.recursive === true ? undefined : '/',
        maxResults: String(PAGE_ENTRIES),
        fields: 'kind,items(name,size,updated),prefixes,nextPageToken',
        pageToken,
      }
      const page = await this.#page(query, prefix, options)
      options.onProgress?.()
      for (const name of page.prefixes ?? []) {
        const key = keyBelowRoot(name.slice(0, -1), start, this.#description.root)
        if (key !== undefined) yield { kind: 'prefix', key }
      }
      for (const item of page.items ?? []) {
        throwIfCancelled(options.signal)
        const key = keyBelowRoot(item.name, start, this.#description.root)
        if (key !== undefined) yield { kind: 'object', ...infoOf(key, item) }
      }
      pageToken = page.nextPageToken
    } while (pageToken !== undefined && pageToken !== '')
  }

  async #page(query: NonNullable<GcsRequest['query']>, prefix: string, { signal }: Abortable): Promise<Page> {
    const page = await this.#client.ask<Page>(
      { method: 'GET', path: this.#objectsPath, query, doing: 'list', key: prefix },
      signal,
    )
    // an empty listing has nothing else by which to know it
    if (page.kind === 'storage#objects') return page
    throw foreignAnswer(this.#client.place, 'list', prefix)
  }

  async stat(key: string, options: Abortable = {}): Promise<ObjectInfo> {
    const path = this.#objectPath(key, options)
    const query = { fields: 'name,size,updated' }
    const found = await this.#client.ask<ObjectResource>(
      { method: 'GET', path, query, doing: 'stat', key },
      options.signal,
    )
    return infoOf(key, found)
  }

  async get(key: string, options: GetOptions = {}): Promise<ByteStream> {
    return streamFromSource(await this.openSource(key, options))
  }

  async openSource(key: string, options: GetOptions = {}): Promise<ByteSource> {
    const path = this.#objectPath(key, options)
    return openResumedSource(
      {
        key,
        storage: this.name,
        request: (range, signal) => this.#read(path, key, range, signal),
        stat: signal => this.stat(key, signal === undefined ? {} : { signal }),
        patience: this.#client.patience,
      },
      options,
    )
  }

  async #read(
    path: string,
    key: string,
    { firstBytes, endBytes, version }: ReadRequest,
    signal: AbortSignal,
  ): Promise<ReadAnswer | undefined> {
    const range = rangeHeader(firstBytes, endBytes)
    try {
      const response = await this.#client.send(
        {
          method: 'GET',
          path,
          query: { alt: 'media', generation: version },
          headers: {
            'accept-encoding': 'identity',
            ...this.#client.keyHeaders,
            ...(range === undefined ? {} : { range }),
          },
          doing: 'get',
          key,
          alsoFine: [416],
        },
        signal,
      )
      if (response.status === 416) {
        await response.body?.cancel()
        return undefined
      }
      return {
        sizeBytes: totalOf(response.headers),
        version: response.headers.get('x-goog-generation') ?? '',
        body: chunksOfBody(response.body, error =>
          fromFetchError(error, this.#client.place, 'get', key, signal),
        ),
      }
    } catch (error) {
      if (version !== undefined && hasCode(error, 'OBJECT_NOT_FOUND')) throw replacedWhileRead(key, this.name)
      throw error
    }
  }

  async put(key: string, body: ByteStream, options: PutOptions = {}): Promise<void> {
    await putThroughSink(this.openSink(key, options), body, options)
  }

  openSink(key: string, options: PutOptions = {}): ObjectSink {
    this.#check(key, options)
    const upload = new GcsUpload({
      client: this.#client,
      key,
      name: joinKey(this.#description.root, key),
      ifAbsent: options.ifAbsent === true,
      signal: options.signal,
    })
    return new BlockSink(upload, {
      key,
      storage: this.name,
      blockSizeBytes: this.#description.chunkSizeBytes,
      blocksMax: CHUNKS_MAX,
      isParallel: false,
      expectedSizeBytes: options.expectedSizeBytes,
      memory: this.#memory,
      signal: options.signal,
    })
  }

  async copy(source: string, target: string, options: Abortable = {}): Promise<void> {
    const from = this.#objectPath(source, options)
    const to = this.#objectPath(target, options)
    if (source === target) {
      await this.stat(source, options)
      return
    }
    const path = `${from}/rewriteTo${to.slice('/storage/v1'.length)}`
    const headers = { ...this.#client.keyHeaders, ...this.#client.sourceKeyHeaders }
    let rewriteToken: string | undefined
    do {
      const query = { rewriteToken, fields: 'done,rewriteToken' }
      const answer = await this.#client.ask<{ done: boolean; rewriteToken?: string }>(
        { method: 'POST', path, query, headers, body: '', doing: 'copy', key: source },
        options.signal,
      )
      options.onProgress?.()
      rewriteToken = answer.done ? undefined : answer.rewriteToken
    } while (rewriteToken !== undefined)
  }

  async delete(keys: readonly string[], options: Abortable = {}): Promise<void> {
    this.#checkOpen(options)
    const paths = keys.map(key => [key, this.#objectPath(key, options)] as const)
    await forEachOf(paths, DELETES_AT_A_TIME, async ([key, path]) => {
      try {
        await this.#client.ask({ method: 'DELETE', path, doing: 'delete', key }, options.signal)
      } catch (error) {
        if (!hasCode(error, 'OBJECT_NOT_FOUND')) throw error
      }
      options.onProgress?.()
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
  }

  get #objectsPath(): string {
    return `/storage/v1${this.#client.bucketPath}/o`
  }

  #objectPath(key: string, options: Abortable): string {
    this.#check(key, options)
    return `${this.#objectsPath}/${encodeURIComponent(joinKey(this.#description.root, key))}`
  }

  #check(key: string, options: Abortable): void {
    this.#checkOpen(options)
    checkKey(key, this.name)
    this.#checkLineBreaks(key)
  }

  #checkLineBreaks(key: string): void {
    if (/[\r\n]/.test(key)) throw refuse(key, this.name, 'Google takes no line breaks in names')
  }

  #checkOpen(options: Abortable): void {
    throwIfCancelled(options.signal)
    if (this.#isClosed) throw storageClosed(this.name)
  }
}

function infoOf(key: string, { size, updated }: ObjectResource): ObjectInfo {
  return { key, sizeBytes: Number(size), modifiedNs: BigInt(Date.parse(updated)) * 1_000_000n }
}

/** The size of the whole object: of `bytes 5-9/100`, else of what is sent. */
function totalOf(headers: Headers): number {
  return (
    wholeSizeOf(headers.get('content-range')) ??
    Number(headers.get('content-length') ?? headers.get('x-goog-stored-content-length') ?? 0)
  )
}
