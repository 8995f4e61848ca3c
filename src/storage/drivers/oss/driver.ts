import { type ByteSource, type ByteStream, streamFromSource } from '../../../kit/bytes.ts'
import { throwIfCancelled } from '../../../kit/clock.ts'
import { WalgError } from '../../../kit/errors.ts'
import { type MemoryBudget, type MemoryLimiter, openMemoryBudget } from '../../../kit/limits.ts'
import { checkKey, checkPrefix, joinKey, keyBelowRoot, listingStart } from '../../keys.ts'
import { storageClosed } from '../../lifetime.ts'
import { rangeHeader, wholeSizeOf } from '../../ranges.ts'
import { BlockSink } from '../../requests/block-sink.ts'
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
import { deletionOf, type OssPage, readPage, timeOf } from './answers.ts'
import { OssClient, type OssWork } from './client.ts'
import { copyObject } from './copying.ts'
import type { OssDescription } from './description.ts'
import { OssUpload } from './upload.ts'

export interface OssDriverOptions extends OssDescription {
  readonly name: string
  /** Entries of one page of a listing (default 1000, which is the most). */
  readonly pageEntries?: number
  readonly patience?: Partial<PatienceOptions>
  /** The longest wait for a byte; 0 = no limit. */
  readonly stallTimeoutMs?: number
  /** What all threads together may hold of bytes on their way. */
  readonly memoryBudget?: MemoryBudget | undefined
}

const DEADLINE_MS = 120_000
const TRY_TIMEOUT_MS = 300_000
const STALL_TIMEOUT_MS = 60_000
const PAGE_ENTRIES = 1000
const DELETES_MAX = 1000
/** Part buffers of an object, the one being filled included. */
const PARTS_MAX = 4
/** The service allows 10,000 parts: of 6 MiB, growing, they make 6 TiB. */
const PARTS_OF_A_SIZE = 1000

/** Opens a bucket; nothing is sent before the first use. */
export function openOssDriver(options: OssDriverOptions): Storage {
  return new OssDriver(options)
}

class OssDriver implements Storage {
  readonly name: string
  readonly features: Storage['features'] = {
    isRemote: true,
    ranges: true,
    conditionalPut: true,
    serverCopy: true,
    synchronous: false,
    flatKeys: true,
    boundsWaits: true,
    deleteBatchMax: DELETES_MAX,
  }
  readonly #options: OssDriverOptions
  readonly #client: OssClient
  readonly #patience: PatienceOptions
  readonly #memory: MemoryLimiter | undefined
  #isClosed = false

  constructor(options: OssDriverOptions) {
    this.name = options.name
    this.#options = options
    this.#client = new OssClient(options, options.name)
    const { attemptsMax } = options
    this.#patience = {
      attemptsMax,
      deadlineMs: DEADLINE_MS,
      tryTimeoutMs: TRY_TIMEOUT_MS,
      stallTimeoutMs: stallTimeoutOf(options.stallTimeoutMs ?? STALL_TIMEOUT_MS),
      ...options.patience,
    }
    this.#memory = options.memoryBudget && openMemoryBudget(options.memoryBudget)
  }

  /** Lists one entry, unless OSS_SKIP_VALIDATION says that the key may not. */
  async checkRoot(options: Abortable = {}): Promise<void> {
    this.#checkOpen(options)
    if (this.#options.isChecked) await this.#page('', { 'max-keys': '1' }, options)
  }

  list(prefix: string, options: ListOptions = {}): AsyncIterable<StorageEntry> {
    this.#checkOpen(options)
    checkPrefix(prefix, this.name)
    return this.#entries(prefix, options)
  }

  async *#entries(prefix: string, options: ListOptions): AsyncGenerator<StorageEntry> {
    const start = listingStart(this.#options.root, prefix)
    const query: Record<string, string> = {
      'max-keys': String(this.#options.pageEntries ?? PAGE_ENTRIES),
      ...(start === '' ? {} : { prefix: start }),
      ...(options.recursive === true ? {} : { delimiter: '/' }),
    }
    for (let next: string | undefined = ''; next !== undefined; ) {
      const page: OssPage = await this.#page(
        prefix,
        next === '' ? query : { ...query, 'continuation-token': next },
        options,
      )
      options.onProgress?.()
      for (const name of page.prefixes) {
        const key = keyBelowRoot(name.slice(0, -1), start, this.#options.root)
        if (key !== undefined) yield { kind: 'prefix', key }
      }
      for (const { name, sizeBytes, modifiedNs } of page.objects) {
        throwIfCancelled(options.signal)
        const key = keyBelowRoot(name, start, this.#options.root)
        if (key !== undefined) yield { kind: 'object', key, sizeBytes, modifiedNs }
      }
      next = page.next
    }
  }

  #page(prefix: string, query: Readonly<Record<string, string>>, options: Abortable): Promise<OssPage> {
    const work = { doing: `list "${prefix}"`, key: prefix }
    return this.#request(options, async signal => {
      const whole = { 'list-type': '2', 'encoding-type': 'url', ...query }
      const { text } = await this.#client.ask(work, { method: 'GET', query: whole, signal })
      const page = readPage(text)
      if (page !== undefined) return page
      throw new WalgError(
        'STORAGE_UNAVAILABLE',
        `unable to ${work.doing} in storage "${this.name}": the answer is no listing`,
        {
          facts: { key: prefix, storage: this.name },
          hint: 'this answer is not of the service: see OSS_ENDPOINT, and what stands in between',
        },
      )
    })
  }

  async stat(key: string, options: Abortable = {}): Promise<ObjectInfo> {
    const name = this.#nameOf(key, options)
    return this.#request(options, async signal => {
      const { headers } = await this.#client.ask(workOn('stat', key), { method: 'HEAD', name, signal })
      const sizeBytes = Number(headers.get('content-length'))
      return { key, sizeBytes, modifiedNs: timeOf(headers.get('last-modified') ?? '') }
    })
  }

  async get(key: string, options: GetOptions = {}): Promise<ByteStream> {
    return streamFromSource(await this.openSource(key, options))
  }

  async openSource(key: string, options: GetOptions = {}): Promise<ByteSource> {
    const name = this.#nameOf(key, options)
    return openResumedSource(
      {
        key,
        storage: this.name,
        request: (range, signal) => this.#read(key, name, range, signal),
        stat: signal => this.stat(key, signal === undefined ? {} : { signal }),
        patience: this.#patience,
      },
      options,
    )
  }

  async #read(
    key: string,
    name: string,
    { firstBytes, endBytes, version }: ReadRequest,
    signal: AbortSignal,
  ): Promise<ReadAnswer | undefined> {
    const range = rangeHeader(firstBytes, endBytes)
    const headers = {
      // else a range that is not there is answered with the whole object
      ...(range === undefined ? {} : { range, 'x-oss-range-behavior': 'standard' }),
      ...(version === undefined ? {} : { 'if-match': version }),
    }
    const work = workOn('get', key)
    const answer = await this.#client.send(work, { method: 'GET', name, headers, signal }, [412, 416])
    if (answer.status === 416 || answer.status === 412) {
      answer.body.close()
      if (answer.status === 416) return undefined
      throw replacedWhileRead(key, this.name)
    }
    return {
      sizeBytes: wholeSizeOf(answer.headers.get('content-range')) ?? answer.body.sizeBytes ?? 0,
      version: answer.headers.get('etag') ?? '',
      body: this.#client.chunks(work, answer.body, signal),
    }
  }

  async put(key: string, body: ByteStream, options: PutOptions = {}): Promise<void> {
    await putThroughSink(this.openSink(key, options), body, options)
  }

  openSink(key: string, options: PutOptions = {}): ObjectSink {
    const upload = new OssUpload({
      client: this.#client,
      name: this.#nameOf(key, options),
      key,
      ifAbsent: options.ifAbsent === true,
      request: (run, bodyBytes) => this.#request(options, run, bodyBytes),
    })
    return new BlockSink(upload, {
      key,
      storage: this.name,
      blockSizeBytes: this.#options.partSizeBytes,
      blocksMax: PARTS_MAX,
      blocksOfASize: PARTS_OF_A_SIZE,
      isParallel: true,
      expectedSizeBytes: options.expectedSizeBytes,
      memory: this.#memory,
      signal: options.signal,
    })
  }

  async copy(source: string, target: string, options: Abortable = {}): Promise<void> {
    const from = this.#nameOf(source, options)
    const to = this.#nameOf(target, options)
    const { sizeBytes } = await this.stat(source, options)
    if (source === target) return
    await copyObject({
      client: this.#client,
      bucket: this.#options.bucket,
      key: source,
      from,
      to,
      sizeBytes,
      partSizeBytes: this.#options.copyPartSizeBytes,
      request: run => this.#request(options, run),
      onProgress: () => options.onProgress?.(),
    })
  }

  async delete(keys: readonly string[], options: Abortable = {}): Promise<void> {
    this.#checkOpen(options)
    const names = keys.map(key => this.#nameOf(key, options))
    for (let at = 0; at < names.length; at += DELETES_MAX) {
      const body = deletionOf(names.slice(at, at + DELETES_MAX))
      await this.#request(options, async signal => {
        await this.#client.ask(workOn('delete', keys[at] ?? ''), {
          method: 'POST',
          query: { delete: '' },
          body,
          signal,
        })
      })
      options.onProgress?.()
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#client.close()
  }

  #nameOf(key: string, options: Abortable): string {
    this.#checkOpen(options)
    checkKey(key, this.name)
    return joinKey(this.#options.root, key)
  }

  #request<T>(
    { signal }: Abortable,
    run: (signal: AbortSignal, attempt: number) => Promise<T>,
    bodyBytes: number = 0,
  ): Promise<T> {
    return patientRequest(run, this.#patience, signal, bodyBytes)
  }

  #checkOpen(options: Abortable): void {
    throwIfCancelled(options.signal)
    if (this.#isClosed) throw storageClosed(this.name)
  }
}

function workOn(doing: string, key: string): OssWork {
  return { doing: `${doing} object "${key}"`, key }
}
