import { createHash } from 'node:crypto'
import { isIP } from 'node:net'
import { WalgError } from '../../../kit/errors.ts'
import { type HttpBody, readText } from '../../http/body.ts'
import { type HttpAnswer, HttpClient } from '../../http/client.ts'
import type { HttpTarget } from '../../http/connection.ts'
import { HttpFault } from '../../http/fault.ts'
import { type HttpVerdict, refusedRequest, verdictOfStatus } from '../../requests/http.ts'
import { OssKeys } from './assumed-role.ts'
import type { OssDescription } from './description.ts'
import { canonicalQuery, encodePath, signedHeaders } from './signature.ts'

export interface OssRequest {
  readonly method: string
  /** Name of an object; absent: a request on the bucket. */
  readonly name?: string
  readonly query?: Readonly<Record<string, string>>
  /** Lower-case names. */
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array | string
  readonly signal: AbortSignal
}

/** What an operation is called in messages: `put object "a/b"`, and the key of it. */
export interface OssWork {
  readonly doing: string
  readonly key: string
}

const ANSWER_BYTES_MAX = 32 * 1024 * 1024
/** The longest wait for a byte. */
const STALL_MS = 60_000

/** Signed requests to one bucket; errors are translated here. */
export class OssClient {
  readonly #description: OssDescription
  readonly #storage: string
  readonly #keys: OssKeys
  readonly #http: HttpClient
  readonly #target: HttpTarget
  readonly #host: string
  /** The bucket is a part of the path where it cannot be one of the host's name. */
  readonly #start: string

  constructor(description: OssDescription, storage: string) {
    const { endpoint, bucket, connectTimeoutMs, credentials } = description
    const url = new URL(endpoint)
    const isBare = isIP(url.hostname.replace(/^\[|\]$/g, '')) !== 0 || url.hostname === 'localhost'
    const host = isBare ? url.hostname.replace(/^\[|\]$/g, '') : `${bucket}.${url.hostname}`
    const isTls = url.protocol === 'https:'
    const port = url.port === '' ? (isTls ? 443 : 80) : Number(url.port)
    this.#description = description
    this.#storage = storage
    this.#keys = new OssKeys(credentials, storage)
    this.#http = new HttpClient({ connectTimeoutMs, stallTimeoutMs: STALL_MS })
    this.#target = isTls ? { host, port, tls: {} } : { host, port }
    this.#host = isBare ? url.host : `${bucket}.${url.host}`
    this.#start = isBare ? `/${bucket}` : ''
  }

  /** Any status but 2xx is an error, unless `accepts` it. */
  async send(work: OssWork, request: OssRequest, accepts: readonly number[] = []): Promise<HttpAnswer> {
    const answer = await this.#exchange(work, request)
    if ((answer.status >= 200 && answer.status < 300) || accepts.includes(answer.status)) return answer
    throw await this.#refused(work, answer, request.signal)
  }

  /** As `send`, and reads the whole answer as text. */
  async ask(
    work: OssWork,
    request: OssRequest,
  ): Promise<{ readonly text: string; readonly headers: HttpAnswer['headers'] }> {
    const answer = await this.send(work, request)
    return { text: await this.text(work, answer.body, request.signal), headers: answer.headers }
  }

  async text(work: OssWork, body: HttpBody, signal: AbortSignal): Promise<string> {
    try {
      return await readText(body, ANSWER_BYTES_MAX, signal)
    } catch (error) {
      throw this.#broken(work, error, signal)
    }
  }

  /** The chunks of an object. */
  async *chunks(work: OssWork, body: HttpBody, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    try {
      for (let chunk = await body.next(signal); chunk !== undefined; chunk = await body.next(signal))
        yield chunk
    } catch (error) {
      throw this.#broken(work, error, signal)
    } finally {
      body.close()
    }
  }

  close(): void {
    this.#http.close()
  }

  async #exchange(work: OssWork, request: OssRequest): Promise<HttpAnswer> {
    const { method, name, query = {}, signal } = request
    const body = typeof request.body === 'string' ? Buffer.from(request.body) : request.body
    const { bucket, region } = this.#description
    const key = await this.#keys.current(signal)
    const headers = {
      ...request.headers,
      ...(body === undefined ? {} : { 'content-md5': createHash('md5').update(body).digest('base64') }),
    }
    const signed = signedHeaders(
      { method, bucket, ...(name === undefined ? {} : { name }), query, headers },
      key,
      region,
    )
    const search = canonicalQuery(query)
    const path = `${this.#start}${encodePath(`/${name ?? ''}`)}${search === '' ? '' : `?${search}`}`
    try {
      return await this.#http.request(this.#target, {
        method,
        path,
        headers: {
          ...signed,
          host: this.#host,
          'user-agent': 'wal-g',
          'content-length': String(body?.length ?? 0),
        },
        ...(body === undefined ? {} : { body: [body] }),
        signal,
      })
    } catch (error) {
      throw this.#broken(work, error, signal)
    }
  }

  #broken({ doing, key }: OssWork, error: unknown, signal: AbortSignal): Error {
    if (signal.aborted) {
      const { reason } = signal
      return reason instanceof WalgError
        ? reason
        : new WalgError('CANCELLED', 'the work was interrupted', { cause: error })
    }
    if (!(error instanceof HttpFault)) return error instanceof Error ? error : new Error(String(error))
    const { host, port } = this.#target
    return new WalgError(
      error.kind === 'untrusted' ? 'ACCESS_DENIED' : 'STORAGE_UNAVAILABLE',
      `unable to ${doing} in storage "${this.#storage}": ${error.message} ("${host}", port ${port})`,
      {
        facts: { key, storage: this.#storage, reason: error.kind },
        cause: error,
        hint: 'see OSS_ENDPOINT and OSS_REGION, and whether the network leads there',
      },
    )
  }

  async #refused(work: OssWork, answer: HttpAnswer, signal: AbortSignal): Promise<WalgError> {
    const text = await this.text(work, answer.body, signal)
    const code = /<Code>([^<]*)<\/Code>/.exec(text)?.[1] ?? ''
    const message = /<Message>([^<]*)<\/Message>/.exec(text)?.[1] ?? ''
    const reason = [code, message].filter(part => part !== '').join(': ')
    const refusal = { status: answer.status, reason, retryAfter: answer.headers.get('retry-after') ?? null }
    return refusedRequest(refusal, this.#verdict(answer.status, code), work.doing, {
      key: work.key,
      storage: this.#storage,
      bucket: this.#description.bucket,
      ...(code === '' ? {} : { reason: code }),
    })
  }

  #verdict(status: number, code: string): HttpVerdict {
    switch (code) {
      case 'NoSuchBucket':
        return {
          code: 'STORAGE_ROOT_MISSING',
          hint: 'create the bucket, or correct WALG_OSS_PREFIX and OSS_REGION',
        }
      case 'FileAlreadyExists':
        return { code: 'OBJECT_EXISTS' }
      case 'InvalidAccessKeyId':
      case 'SignatureDoesNotMatch':
      case 'InvalidSecurityToken':
      case 'SecurityTokenExpired':
        return {
          code: 'ACCESS_DENIED',
          hint: 'see OSS_ACCESS_KEY_ID, OSS_ACCESS_KEY_SECRET and OSS_SESSION_TOKEN',
        }
      case 'RequestTimeTooSkewed':
        return {
          code: 'ACCESS_DENIED',
          hint: 'the clock of this host is wrong by more than 15 minutes: correct it',
        }
      case 'QosLimitExceeded':
      case 'TrafficRateLimitExceeded':
      case 'DownloadTrafficRateLimitExceeded':
      case 'UploadTrafficRateLimitExceeded':
        return verdictOfStatus(429)
      case 'BucketQuotaExceeded':
      case 'QuotaExceeded':
        return verdictOfStatus(507)
      case 'RequestTimeout':
      case 'InvalidDigest':
        return verdictOfStatus(503)
    }
    return verdictOfStatus(status)
  }
}
