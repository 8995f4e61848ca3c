import type { ByteSource, ByteStream } from '../../../kit/bytes.ts'
import { throwIfCancelled } from '../../../kit/clock.ts'
import { hasCode, WalgError } from '../../../kit/errors.ts'
import type { MemoryBudget } from '../../../kit/limits.ts'
import { checkKey, checkPrefix, joinKey } from '../../keys.ts'
import { storageClosed } from '../../lifetime.ts'
import { BlockPool } from '../../part-blocks.ts'
import { putThroughSink } from '../../requests/put-through-sink.ts'
import type {
  Abortable,
  GetOptions,
  ListOptions,
  ObjectInfo,
  ObjectSink,
  ObjectVersions,
  PutOptions,
  Storage,
  StorageEntry,
  StorageFeatures,
  UnfinishedUploads,
} from '../../storage.ts'
import { copyObject } from './copying.ts'
import type { S3Description } from './description.ts'
import { listBucket } from './listing.ts'
import { customerKeyHeaders } from './object-headers.ts'
import { removeObjects } from './removal.ts'
import { S3Requests, type S3RequestsOptions } from './requests.ts'
import { openS3Source, type S3Source } from './source.ts'
import { unfinishedUploads } from './unfinished-uploads.ts'
import { S3Sink } from './upload.ts'
import { objectVersions } from './versions.ts'

export interface S3DriverOptions extends Pick<S3RequestsOptions, 'deadlines' | 'stallTimeoutMs'> {
  /** The storage's name. */
  readonly name: string
  readonly description: S3Description
  readonly memoryBudget?: MemoryBudget | undefined
  /** Entries of one page of a listing (default 1000). */
  readonly pageSize?: number
}

/** Objects in an S3 bucket. Nothing is asked before the first operation. */
export function openS3Driver(options: S3DriverOptions): Storage {
  return new S3Driver(options)
}

/** What is learned from the store changes one of them. */
type S3Features = Omit<StorageFeatures, 'conditionalPut'> & { conditionalPut: boolean }

class S3Driver implements Storage {
  readonly name: string
  readonly features: S3Features
  readonly unfinishedUploads: UnfinishedUploads
  readonly versions: ObjectVersions
  readonly #options: S3DriverOptions
  readonly #requests: S3Requests
  readonly #pool: BlockPool
  #isClosed = false
  /** The bucket has answered: "not there" means the object. */
  #isRootProved = false

  constructor(options: S3DriverOptions) {
    this.name = options.name
    this.#options = options
    this.#requests = new S3Requests(options)
    this.#pool = new BlockPool(options.memoryBudget)
    const { rootPrefix } = this.#listing('')
    this.unfinishedUploads = unfinishedUploads(this.#requests, rootPrefix)
    this.versions = objectVersions(this.#requests, rootPrefix)
    const { conditionalPut, skipsValidation, deleteBatchMax } = options.description
    this.features = {
      ranges: true,
      conditionalPut: conditionalPut !== 'no',
      serverCopy: true,
      synchronous: false,
      flatKeys: true,
      isRemote: true,
      boundsWaits: true,
      provesRoot: skipsValidation,
      deleteBatchMax,
    }
  }

  async checkRoot(options: Abortable = {}): Promise<void> {
    this.#check(options)
    const listing = listBucket({ ...options, ...this.#listing(''), pageSize: 1 })
    await listing.next()
    this.#isRootProved = true
  }

  list(prefix: string, options: ListOptions = {}): AsyncIterable<StorageEntry> {
    this.#check(options)
    checkPrefix(prefix, this.name)
    return listBucket({ ...options, ...this.#listing(prefix), pageSize: this.#options.pageSize ?? 1000 })
  }

  async stat(key: string, options: Abortable = {}): Promise<ObjectInfo> {
    this.#checkKey(key, options)
    const request = {
      key: this.#whole(key),
      headers: customerKeyHeaders(this.#options.description),
      doing: 'stat',
      ...options,
    }
    try {
      const { headers } = await this.#requests.sendOnly({ ...request, method: 'HEAD' })
      this.#isRootProved = true
      return infoOf(key, headers)
    } catch (error) {
      if (hasCode(error, 'OBJECT_NOT_FOUND')) throw await this.#proved(error, options)
      if (!hasCode(error, 'ACCESS_DENIED', 'STORAGE_UNAVAILABLE') || error.facts['s3Code'] !== '') throw error
      // The answer to HEAD has no body that could say why.
      const answer = await this.#requests.send({ ...request, method: 'GET' })
      answer.body.close()
      return infoOf(key, answer.headers)
    }
  }

  async get(key: string, options: GetOptions = {}): Promise<ByteStream> {
    return streamOf(await this.#open(key, options))
  }

  async put(key: string, body: ByteStream, options: PutOptions = {}): Promise<void> {
    await putThroughSink(this.openSink(key, options), body, options)
  }

  async copy(source: string, target: string, options: Abortable = {}): Promise<void> {
    this.#checkKey(target, options)
    const { sizeBytes } = await this.stat(source, options)
    if (source === target) return
    await copyObject(this.#requests, { key: this.#whole(source), sizeBytes }, this.#whole(target), options)
  }

  async delete(keys: readonly string[], options: Abortable = {}): Promise<void> {
    this.#check(options)
    for (const key of keys) checkKey(key, this.name)
    const targets = keys.map(key => ({ key: this.#whole(key) }))
    await removeObjects(this.#requests, targets, options)
  }

  openSink(key: string, options: PutOptions = {}): ObjectSink {
    this.#checkKey(key, options)
    if (options.ifAbsent === true && !this.features.conditionalPut && options.mayLookFirst !== true) {
      throw this.#noConditionalPut(key)
    }
    const sink = new S3Sink({
      ...options,
      requests: this.#requests,
      pool: this.#pool,
      key: this.#whole(key),
      shownKey: key,
      storage: this.name,
      stat: signal => this.stat(key, { signal }),
      isConditional: this.features.conditionalPut,
      onUnconditional: () => {
        this.features.conditionalPut = false
      },
    })
    if (options.ifAbsent !== true) return sink
    return {
      write: bytes => sink.write(bytes),
      abort: () => sink.abort(),
      end: async () => {
        try {
          await sink.end()
        } catch (error) {
          throw hasCode(error, 'FORMAT_UNSUPPORTED') ? this.#noConditionalPut(key, error) : error
        }
      },
    }
  }

  openSource(key: string, options: GetOptions = {}): Promise<ByteSource> {
    return this.#open(key, options)
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#requests.close()
  }

  async #open(key: string, options: GetOptions): Promise<S3Source> {
    this.#checkKey(key, options)
    try {
      return await openS3Source({
        requests: this.#requests,
        key: this.#whole(key),
        shownKey: key,
        storage: this.name,
        get: options,
        stat: () => this.stat(key, options),
      })
    } catch (error) {
      if (hasCode(error, 'OBJECT_NOT_FOUND')) throw await this.#proved(error, options)
      throw error
    }
  }

  /** The error, after the bucket has answered; or that it is not there itself. */
  async #proved(error: WalgError, options: Abortable): Promise<WalgError> {
    if (error.facts['s3Code'] === 'NoSuchKey') this.#isRootProved = true
    if (!this.#isRootProved) await this.checkRoot(options)
    return error
  }

  #listing(prefix: string) {
    const { root } = this.#options.description
    return { requests: this.#requests, rootPrefix: root === '' ? '' : `${root}/`, prefix }
  }

  #whole(key: string): string {
    return joinKey(this.#options.description.root, key)
  }

  #checkKey(key: string, options: Abortable): void {
    this.#check(options)
    checkKey(key, this.name)
  }

  #check(options: Abortable): void {
    throwIfCancelled(options.signal)
    if (this.#isClosed) throw storageClosed(this.name)
  }

  #noConditionalPut(key: string, cause?: unknown): WalgError {
    return new WalgError(
      'FORMAT_UNSUPPORTED',
      `storage "${this.name}" does not know how to put "${key}" only when it is not there`,
      { facts: { key, storage: this.name }, cause, hint: 'set S3_CONDITIONAL_PUT=no' },
    )
  }
}

function infoOf(key: string, headers: ReadonlyMap<string, string>): ObjectInfo {
  const modifiedMs = Date.parse(headers.get('last-modified') ?? '')
  return {
    key,
    sizeBytes: Number(headers.get('content-length') ?? 0),
    modifiedNs: BigInt(Number.isNaN(modifiedMs) ? 0 : modifiedMs) * 1_000_000n,
  }
}

async function* streamOf(source: S3Source): AsyncGenerator<Uint8Array> {
  try {
    for (;;) {
      const chunk = await source.next()
      if (chunk === undefined) return
      yield chunk
    }
  } finally {
    await source.close()
  }
}
