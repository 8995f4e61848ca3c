import type { ByteSource } from '../../../kit/bytes.ts'
import { systemClock, throwIfCancelled } from '../../../kit/clock.ts'
import { hasCode, WalgError } from '../../../kit/errors.ts'
import { notice } from '../../../kit/log.ts'
import type { HttpBody } from '../../http/body.ts'
import type { HttpAnswer } from '../../http/client.ts'
import { HttpFault } from '../../http/fault.ts'
import { rangeHeader, rangeWithin } from '../../ranges.ts'
import type { GetOptions, ObjectInfo } from '../../storage.ts'
import { customerKeyHeaders } from './object-headers.ts'
import type { S3Requests } from './requests.ts'

export interface S3SourceOptions {
  readonly requests: S3Requests
  /** The whole key in the bucket. */
  readonly key: string
  /** The key below the storage's root. */
  readonly shownKey: string
  readonly storage: string
  readonly get: GetOptions
  /** For a range that only the object's size can judge. */
  readonly stat: () => Promise<ObjectInfo>
}

/** Where a download begins and ends; `endBytes` undefined: at the object's end. */
interface Span {
  readonly firstBytes: number
  readonly endBytes: number | undefined
}

/** Opens an object for reading; a GET is under way when this returns. */
export async function openS3Source(options: S3SourceOptions): Promise<S3Source> {
  const span = await spanOf(options)
  if (span === undefined) return new S3Source(options, { firstBytes: 0, endBytes: 0 }, undefined)
  try {
    const answer = await request(options, span, undefined)
    return new S3Source(options, span, answer)
  } catch (error) {
    if (!isBeyondEnd(error)) throw error
    const { sizeBytes } = await options.stat()
    rangeWithin(options.shownKey, options.storage, sizeBytes, options.get.range)
    return new S3Source(options, { firstBytes: 0, endBytes: 0 }, undefined)
  }
}

/** undefined: no byte is wanted, and the range is right. */
async function spanOf({ get, stat, shownKey, storage }: S3SourceOptions): Promise<Span | undefined> {
  const { range } = get
  if (range === undefined) return { firstBytes: 0, endBytes: undefined }
  const { first, end } = range
  const isPlain =
    Number.isSafeInteger(first) &&
    first >= 0 &&
    (end === undefined || (Number.isSafeInteger(end) && end > first))
  if (isPlain) return { firstBytes: first, endBytes: end }
  rangeWithin(shownKey, storage, (await stat()).sizeBytes, range)
  return undefined
}

function request(options: S3SourceOptions, span: Span, etag: string | undefined): Promise<HttpAnswer> {
  const { firstBytes, endBytes } = span
  const range = rangeHeader(firstBytes, endBytes)
  return options.requests.send({
    method: 'GET',
    key: options.key,
    headers: {
      ...customerKeyHeaders(options.requests.description),
      ...(range === undefined ? {} : { range }),
      ...(etag === undefined ? {} : { 'if-match': etag }),
    },
    doing: 'get',
    signal: options.get.signal,
  })
}

function isBeyondEnd(error: unknown): boolean {
  return hasCode(error, 'STORAGE_UNAVAILABLE') && error.facts['status'] === 416
}

/** The bytes of an object. A download that breaks goes on behind its last byte, as long as the object is the same. */
export class S3Source implements ByteSource {
  readonly #options: S3SourceOptions
  readonly #span: Span
  readonly #etag: string | undefined
  #body: HttpBody | undefined
  /** Of the whole download; undefined when the store did not say. */
  readonly #sizeBytes: number | undefined
  #gotBytes = 0
  #rest: Uint8Array = new Uint8Array(0)
  #isClosed = false

  constructor(options: S3SourceOptions, span: Span, answer: HttpAnswer | undefined) {
    this.#options = options
    this.#span = span
    this.#body = answer?.body
    this.#etag = answer?.headers.get('etag')
    this.#sizeBytes = answer === undefined ? 0 : answer.body.sizeBytes
    const isRange = span.firstBytes > 0 || span.endBytes !== undefined
    if (answer !== undefined && answer.status !== 206 && isRange) {
      answer.body.close()
      throw new WalgError(
        'STORAGE_UNAVAILABLE',
        `the store does not know ranges: it sent all of "${options.shownKey}"`,
        { facts: { key: options.shownKey, storage: options.storage } },
      )
    }
  }

  async read(into: Uint8Array): Promise<number> {
    if (this.#rest.length === 0) this.#rest = (await this.next()) ?? this.#rest
    const count = Math.min(into.length, this.#rest.length)
    into.set(this.#rest.subarray(0, count))
    this.#rest = this.#rest.subarray(count)
    return count
  }

  /** The next bytes, in memory that stays as it is; undefined at the end. */
  async next(): Promise<Uint8Array | undefined> {
    throwIfCancelled(this.#options.get.signal)
    if (this.#isClosed || this.#body === undefined) return undefined
    for (let retries = 1; ; retries++) {
      try {
        const chunk = await this.#body!.next(this.#options.get.signal)
        if (chunk !== undefined) {
          this.#gotBytes += chunk.length
          return chunk
        }
        this.#body = undefined
        return undefined
      } catch (error) {
        throwIfCancelled(this.#options.get.signal)
        await this.#resume(error, retries)
      }
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#body?.close()
    this.#rest = this.#rest.subarray(this.#rest.length)
  }

  async #resume(error: unknown, retries: number): Promise<void> {
    const { requests, shownKey, key } = this.#options
    const { rangeRetriesMax } = requests.description.retries
    if (!(error instanceof HttpFault) || retries > rangeRetriesMax) {
      throw requests.translate(error, { key, doing: 'get' })
    }
    notice(
      `${requests.endpointShown}: get "${shownKey}": ${error.message}; going on behind byte ${this.#gotBytes} (${retries} of ${rangeRetriesMax})`,
    )
    if (retries > 1) await systemClock.sleep(100 * 2 ** Math.min(retries, 7), this.#options.get.signal)
    const firstBytes = this.#span.firstBytes + this.#gotBytes
    const endBytes =
      this.#span.endBytes ??
      (this.#sizeBytes === undefined ? undefined : this.#span.firstBytes + this.#sizeBytes)
    try {
      const answer = await request(this.#options, { firstBytes, endBytes }, this.#etag)
      this.#body = answer.body
      if (firstBytes > 0 && answer.status !== 206) {
        answer.body.close()
        throw requests.translate(error, { key, doing: 'get' })
      }
    } catch (failure) {
      if (isBeyondEnd(failure)) throw requests.translate(error, { key, doing: 'get' })
      if (!hasCode(failure, 'OBJECT_EXISTS')) throw failure
      throw new WalgError('FORMAT_TRUNCATED', `object "${shownKey}" was replaced while it was being read`, {
        facts: { key: shownKey, storage: this.#options.storage },
        cause: error,
      })
    }
  }
}
