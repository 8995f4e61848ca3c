import type { BlockBlobClient, ContainerClient } from '@azure/storage-blob'
import { type ByteSource, type ByteStream, streamFromSource } from '../../../kit/bytes.ts'
import { systemClock, throwIfCancelled } from '../../../kit/clock.ts'
import { WalgError } from '../../../kit/errors.ts'
import { type MemoryBudget, type MemoryLimiter, openMemoryBudget } from '../../../kit/limits.ts'
import { checkKey, checkPrefix, joinKey, keyBelowRoot, listingStart, refuse } from '../../keys.ts'
import { storageClosed } from '../../lifetime.ts'
import { wholeSizeOf } from '../../ranges.ts'
import { BlockSink } from '../../requests/block-sink.ts'
import { forEachOf } from '../../requests/for-each-of.ts'
import { type PatienceOptions, patientRequest, stallTimeoutOf } from '../../requests/patient-request.ts'
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
import { openContainer } from './client.ts'
import type { AzureDescription } from './description.ts'
import { type AzurePlace, fromAzureError, statusOf } from './errors.ts'
import { takeBody } from './transport.ts'
import { AzureUpload } from './upload.ts'

export interface AzureDriverOptions {
  /** The storage's name. */
  readonly name: string
  readonly description: AzureDescription
  /** No wait for a byte lasts longer; 0 = no limit. */
  readonly stallTimeoutMs: number
  readonly memoryBudget?: MemoryBudget | undefined
}

const RETRIES_DEADLINE_MS = 120_000
const PAGE_ENTRIES = 5000
const DELETES_AT_A_TIME = 16
const COPY_POLL_MS = 500
/** Ten minutes without a byte. */
const COPY_IDLE_POLLS_MAX = 1200

/** Opens a container; nothing is sent before the first use. */
export async function openAzureDriver(options: AzureDriverOptions): Promise<Storage> {
  return new AzureDriver(options, await openContainer(options.description))
}

class AzureDriver implements Storage {
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
  readonly #description: AzureDescription
  readonly #memory: MemoryLimiter | undefined
  readonly #container: ContainerClient
  readonly #place: AzurePlace
  readonly #patience: PatienceOptions
  #isClosed = false

  constructor(options: AzureDriverOptions, container: ContainerClient) {
    const { name, description, stallTimeoutMs, memoryBudget } = options
    this.name = name
    this.#description = description
    this.#memory = memoryBudget === undefined ? undefined : openMemoryBudget(memoryBudget)
    this.#container = container
    this.#place = { name, container: description.container, account: description.account }
    this.#patience = {
      attemptsMax: description.attemptsMax,
      deadlineMs: RETRIES_DEADLINE_MS,
      tryTimeoutMs: description.tryTimeoutMs,
      stallTimeoutMs: stallTimeoutOf(stallTimeoutMs),
    }
  }

  /** Lists one entry: what every other command may do, too. */
  async checkRoot(options: Abortable = {}): Promise<void> {
    this.#checkOpen(options)
    const prefix = this.#description.root === '' ? '' : `${this.#description.root}/`
    await this.#request('list', '', options, abortSignal =>
      this.#container.listBlobsFlat({ prefix, abortSignal }).byPage({ maxPageSize: 1 }).next(),
    )
  }

  list(prefix: string, options: ListOptions = {}): AsyncIterable<StorageEntry> {
    this.#checkOpen(options)
    checkPrefix(prefix, this.name)
    this.#checkBackslash(prefix)
    return this.#entries(prefix, options)
  }

  async *#entries(prefix: string, options: ListOptions): AsyncGenerator<StorageEntry> {
    const start = listingStart(this.#description.root, prefix)
    let continuationToken: string | undefined
    do {
      const page = await this.#page(start, continuationToken, options)
      options.onProgress?.()
      for (const { name } of page.segment.blobPrefixes ?? []) {
        const key = keyBelowRoot(name.slice(0, -1), start, this.#description.root)
        if (key !== undefined) yield { kind: 'prefix', key }
      }
      for (const { name, properties } of page.segment.blobItems) {
        throwIfCancelled(options.signal)
        const key = keyBelowRoot(name, start, this.#description.root)
        if (key === undefined) continue
        const sizeBytes = properties.contentLength ?? 0
        yield { kind: 'object', key, sizeBytes, modifiedNs: nanoseconds(properties.lastModified) }
      }
      continuationToken = page.continuationToken
    } while (continuationToken !== undefined && continuationToken !== '')
  }

  async #page(prefix: string, continuationToken: string | undefined, options: ListOptions): Promise<Page> {
    const pageOptions = {
      maxPageSize: PAGE_ENTRIES,
      ...(continuationToken === undefined ? {} : { continuationToken }),
    }
    return this.#request('list', prefix.replace(/\/$/, ''), options, async abortSignal => {
      const request = { prefix, abortSignal }
      const pages =
        options.recursive === true
          ? this.#container.listBlobsFlat(request).byPage(pageOptions)
          : this.#container.listBlobsByHierarchy('/', request).byPage(pageOptions)
      const next = await pages.next()
      return next.done === true ? { segment: { blobItems: [] } } : next.value
    })
  }

  async stat(key: string, options: Abortable = {}): Promise<ObjectInfo> {
    const blob = this.#blob(key, options)
    const found = await this.#request('stat', key, options, abortSignal =>
      blob.getProperties({ abortSignal }),
    )
    return { key, sizeBytes: found.contentLength ?? 0, modifiedNs: nanoseconds(found.lastModified) }
  }

  async get(key: string, options: GetOptions = {}): Promise<ByteStream> {
    return streamFromSource(await this.openSource(key, options))
  }

  async openSource(key: string, options: GetOptions = {}): Promise<ByteSource> {
    const blob = this.#blob(key, options)
    return openResumedSource(
      {
        key,
        storage: this.name,
        request: (range, signal) => this.#read(blob, key, range, signal),
        stat: signal => this.stat(key, signal === undefined ? {} : { signal }),
        patience: this.#patience,
      },
      options,
    )
  }

  async #read(
    blob: BlockBlobClient,
    key: string,
    { firstBytes, endBytes, version }: ReadRequest,
    abortSignal: AbortSignal,
  ): Promise<ReadAnswer | undefined> {
    const count = endBytes === undefined ? undefined : endBytes - firstBytes
    try {
      const answer = await blob.download(firstBytes, count, {
        abortSignal,
        ...(version === undefined ? {} : { conditions: { ifMatch: version } }),
      })
      leave(answer.readableStreamBody)
      const sizeBytes = wholeSizeOf(answer.contentRange) ?? answer.contentLength ?? 0
      const body = chunksOfBody(takeBody(abortSignal), error =>
        fromAzureError(error, this.#place, 'get', key, abortSignal),
      )
      return { sizeBytes, version: answer.etag ?? '', body }
    } catch (error) {
      await takeBody(abortSignal)?.cancel()
      if (statusOf(error) === 416) return undefined
      if (version !== undefined && statusOf(error) === 412) throw replacedWhileRead(key, this.name)
      throw fromAzureError(error, this.#place, 'get', key, abortSignal)
    }
  }

  async put(key: string, body: ByteStream, options: PutOptions = {}): Promise<void> {
    await putThroughSink(this.openSink(key, options), body, options)
  }

  openSink(key: string, options: PutOptions = {}): ObjectSink {
    const blob = this.#blob(key, options)
    const upload = new AzureUpload({
      blob,
      ifAbsent: options.ifAbsent === true,
      request: (doing, run, bodyBytes) => this.#request(doing, key, options, run, bodyBytes),
    })
    return new BlockSink(upload, {
      key,
      storage: this.name,
      blockSizeBytes: this.#description.blockSizeBytes,
      blocksMax: this.#description.blocksMax,
      isParallel: true,
      expectedSizeBytes: options.expectedSizeBytes,
      memory: this.#memory,
      signal: options.signal,
    })
  }

  async copy(source: string, target: string, options: Abortable = {}): Promise<void> {
    const from = this.#blob(source, options)
    const to = this.#blob(target, options)
    if (source === target) {
      await this.stat(source, options)
      return
    }
    const isDone = await this.#request('copy', source, options, async abortSignal => {
      const poller = await to.beginCopyFromURL(from.url, { abortSignal })
      return poller.isDone()
    })
    if (!isDone) await this.#awaitCopy(to, source, options)
  }

  /** Within an account a copy is done at once; when it is not, it is waited for while it advances. */
  async #awaitCopy(to: BlockBlobClient, source: string, options: Abortable): Promise<void> {
    let seen = ''
    for (let idlePolls = 0; ; idlePolls++) {
      await systemClock.sleep(COPY_POLL_MS, options.signal)
      const found = await this.#request('copy', source, options, abortSignal =>
        to.getProperties({ abortSignal }),
      )
      options.onProgress?.()
      const { copyStatus, copyProgress = '' } = found
      if (copyStatus === undefined || copyStatus === 'success') return
      if (copyProgress !== seen) idlePolls = 0
      seen = copyProgress
      if (copyStatus === 'pending' && idlePolls < COPY_IDLE_POLLS_MAX) continue
      throw new WalgError(
        'STORAGE_UNAVAILABLE',
        `unable to copy object "${source}" in storage "${this.name}": it is ${copyStatus} at ${copyProgress} bytes`,
        { facts: { key: source, storage: this.name }, hint: 'run the command again' },
      )
    }
  }

  async delete(keys: readonly string[], options: Abortable = {}): Promise<void> {
    this.#checkOpen(options)
    for (const key of keys) this.#checkKey(key)
    await forEachOf(keys, DELETES_AT_A_TIME, async key => {
      const blob = this.#blob(key, options)
      await this.#request('delete', key, options, async abortSignal => {
        await blob.deleteIfExists({ abortSignal, deleteSnapshots: 'include' })
      })
      options.onProgress?.()
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
  }

  #blob(key: string, options: Abortable): BlockBlobClient {
    this.#checkOpen(options)
    this.#checkKey(key)
    return this.#container.getBlockBlobClient(joinKey(this.#description.root, key))
  }

  /** The service takes \\ for /: the object would have another name than the one that it was given. */
  #checkKey(key: string): void {
    checkKey(key, this.name)
    this.#checkBackslash(key)
  }

  #checkBackslash(key: string): void {
    if (key.includes('\\')) throw refuse(key, this.name, 'Azure takes a backslash for "/"')
  }

  #request<T>(
    doing: string,
    key: string,
    { signal }: Abortable,
    run: (signal: AbortSignal) => Promise<T>,
    bodyBytes?: number,
  ): Promise<T> {
    return patientRequest(
      async abortSignal => {
        try {
          return await run(abortSignal)
        } catch (error) {
          throw fromAzureError(error, this.#place, doing, key, abortSignal)
        }
      },
      this.#patience,
      signal,
      bodyBytes,
    )
  }

  #checkOpen(options: Abortable): void {
    throwIfCancelled(options.signal)
    if (this.#isClosed) throw storageClosed(this.name)
  }
}

/** What both kinds of listing answer with. */
interface Page {
  readonly segment: {
    readonly blobPrefixes?: readonly { readonly name: string }[]
    readonly blobItems: readonly {
      readonly name: string
      readonly properties: { readonly contentLength?: number; readonly lastModified: Date }
    }[]
  }
  readonly continuationToken?: string
}

function nanoseconds(time: Date | undefined): bigint {
  return BigInt(time?.getTime() ?? 0) * 1_000_000n
}

/** The client's own stream, which is not used; its complaint about that is expected. */
function leave(stream: NodeJS.ReadableStream | undefined): void {
  stream?.on('error', () => {})
  if (stream !== undefined && 'destroy' in stream) (stream.destroy as () => void)()
}
