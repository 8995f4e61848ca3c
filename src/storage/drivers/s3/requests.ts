import { createHash } from 'node:crypto'
import { systemClock, throwIfCancelled } from '../../../kit/clock.ts'
import type { WalgError } from '../../../kit/errors.ts'
import { notice } from '../../../kit/log.ts'
import { readText } from '../../http/body.ts'
import { type HttpAnswer, HttpClient } from '../../http/client.ts'
import { HttpFault } from '../../http/fault.ts'
import { type CredentialSource, openCredentials } from './credentials.ts'
import type { S3Description } from './description.ts'
import { addressBucket, atNode, type BucketAddress } from './endpoint.ts'
import { NodeSource } from './endpoint-source.ts'
import { type FaultKind, judgeFault, S3Fault, taskInBucket, toWalgError } from './fault.ts'
import { faultOfAnswer } from './fault-answer.ts'
import { RetryPlan } from './retry-plan.ts'
import {
  EMPTY_PAYLOAD_HASH,
  encodeKey,
  encodeQuery,
  type SigningKeys,
  signRequest,
  UNSIGNED_PAYLOAD,
} from './signature.ts'
import { parseXml, type XmlElement } from './xml.ts'

export interface S3Request {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE'
  /** The whole key in the bucket; `''` for the bucket itself. */
  readonly key: string
  readonly query?: Readonly<Record<string, string>>
  /** Lower-case names. */
  readonly headers?: Readonly<Record<string, string>>
  /** Stays as it is until the answer has come: it may be sent again. */
  readonly body?: readonly Uint8Array[]
  /** A verb phrase for messages: `put`, `list`, … */
  readonly doing: string
  readonly signal?: AbortSignal | undefined
  readonly onProgress?: (() => void) | undefined
}

/** What S3 calls the documents that it answers with. */
export type AnswerName =
  | 'ListBucketResult'
  | 'ListVersionsResult'
  | 'ListMultipartUploadsResult'
  | 'VersioningConfiguration'
  | 'InitiateMultipartUploadResult'
  | 'CompleteMultipartUploadResult'
  | 'CopyObjectResult'
  | 'CopyPartResult'
  | 'DeleteResult'

export interface S3RequestsOptions {
  /** The storage's name. */
  readonly name: string
  readonly description: S3Description
  readonly stallTimeoutMs: number
  /** Until the first answer of this process, and after it (tests shorten both). */
  readonly deadlines?: { readonly firstMs: number; readonly laterMs: number }
}

const CONNECT_TIMEOUT_MS = 10_000
/** A store that never answered is more likely misconfigured than away for a moment. */
const FIRST_DEADLINE_MS = 30_000
/** A backup of many hours must outlast a store that is away for some minutes. */
const LATER_DEADLINE_MS = 300_000
const ANSWER_BYTES_MAX = 64 << 20
/** How often one request may be sent again for other keys, another clock or another region. */
const CORRECTIONS_MAX = 3

/** Requests to one bucket: addressed, signed, repeated while that makes sense, with their failures translated. */
export class S3Requests {
  readonly description: S3Description
  readonly #options: S3RequestsOptions
  readonly #client: HttpClient
  readonly #credentials: CredentialSource
  readonly #node: NodeSource | undefined
  #region: string
  #address: BucketAddress
  #clockOffsetMs = 0
  #hasAnswered = false

  constructor(options: S3RequestsOptions) {
    this.#options = options
    this.description = options.description
    const { endpoint, credentials } = options.description
    const { stallTimeoutMs } = options
    this.#client = new HttpClient({ connectTimeoutMs: CONNECT_TIMEOUT_MS, stallTimeoutMs })
    this.#credentials = openCredentials(credentials, endpoint.region)
    this.#node = endpoint.source === undefined ? undefined : new NodeSource(endpoint.source, this.#client)
    this.#region = endpoint.region ?? 'us-east-1'
    this.#address = addressBucket(options.description, this.#region)
  }

  /** Over plain http nothing but the signature protects what is sent. */
  get endpointShown(): string {
    return this.#address.shown
  }

  /** An answer with a good status; its body is the caller's to read or close. */
  send(request: S3Request): Promise<HttpAnswer> {
    return this.#repeat(request, async answer => answer)
  }

  /** An answer with a good status whose body means nothing. */
  async sendOnly(request: S3Request): Promise<HttpAnswer> {
    return this.#repeat(request, async answer => {
      await readText(answer.body, ANSWER_BYTES_MAX, request.signal)
      return answer
    })
  }

  /**
   * The whole XML document of an answer, which must be one of `names`: the list of buckets that a store sends for an address that it
   * does not know, or a page of a proxy, would pass for an empty bucket. A document that says `Error` is one, whatever the status.
   */
  async sendForXml(request: S3Request, ...names: readonly AnswerName[]): Promise<XmlElement> {
    return this.#repeat(request, async answer => {
      const text = await readText(answer.body, ANSWER_BYTES_MAX, request.signal)
      let document: XmlElement
      try {
        document = parseXml(text)
      } catch {
        throw new HttpFault('cut', 'the answer is no whole XML document')
      }
      const { name } = document
      if (name === 'Error') throw faultOfAnswer({ ...answer, status: 500 }, text)
      if ((names as readonly string[]).includes(name)) return document
      throw new HttpFault('invalid', `the answer is <${name}>, not <${names[0]}>`)
    })
  }

  /** The translated error of a failure that a caller met while reading a body. */
  translate(error: unknown, request: Pick<S3Request, 'key' | 'doing'>): unknown {
    if (error instanceof S3Fault || error instanceof HttpFault) {
      return toWalgError(error, {
        storage: this.#options.name,
        bucket: this.description.bucket,
        key: this.#shownKey(request.key),
        doing: request.doing,
        endpoint: this.#address.shown,
        credentials: this.#credentials.name,
      })
    }
    return error
  }

  /** How long, and how often, a request of now is repeated. */
  planRetries(doing: string): RetryPlan {
    const { firstMs, laterMs } = this.#options.deadlines ?? {
      firstMs: FIRST_DEADLINE_MS,
      laterMs: LATER_DEADLINE_MS,
    }
    return new RetryPlan({
      ...this.description.retries,
      deadlineMs: () => (this.#hasAnswered ? laterMs : firstMs),
      what: `${this.#address.shown}: ${doing}`,
    })
  }

  close(): void {
    this.#client.close()
  }

  async #repeat<T>(request: S3Request, use: (answer: HttpAnswer) => Promise<T>): Promise<T> {
    const { doing, key } = request
    const { bucket } = this.description
    const task = key === '' ? taskInBucket({ doing, key, bucket }) : `${doing} "${this.#shownKey(key)}"`
    const plan = this.planRetries(task)
    let corrections = 0
    for (;;) {
      throwIfCancelled(request.signal)
      let keys: SigningKeys | undefined
      try {
        keys = await this.#credentials.keys()
        const answer = await this.#attempt(request, keys)
        return await use(answer)
      } catch (error) {
        throwIfCancelled(request.signal)
        if (!(error instanceof S3Fault || error instanceof HttpFault)) throw error
        const kind = judgeFault(error)
        if (keys !== undefined && corrections < CORRECTIONS_MAX && this.#correct(kind, error, keys)) {
          corrections++
          continue
        }
        const isAgain = kind === 'passing' || kind === 'throttled'
        const delayMs = isAgain ? plan.next(error, kind === 'throttled') : undefined
        if (delayMs === undefined) throw plan.explain(this.translate(error, request) as WalgError)
        request.onProgress?.()
        await systemClock.sleep(delayMs, request.signal)
      }
    }
  }

  /** Changes what a failure asks to be changed; false when there is nothing to change. */
  #correct(kind: FaultKind, error: S3Fault | HttpFault, keys: SigningKeys): boolean {
    if (!(error instanceof S3Fault)) return false
    if (kind === 'stale keys' || error.code === 'InvalidAccessKeyId') return this.#credentials.refresh(keys)
    if (kind === 'wrong clock' && error.serverMs !== undefined && this.#clockOffsetMs === 0) {
      this.#clockOffsetMs = error.serverMs - Date.now()
      notice(
        `the clock of this host is ${Math.round(Math.abs(this.#clockOffsetMs) / 1000)} s ${this.#clockOffsetMs > 0 ? 'behind' : 'ahead of'} that of ${this.#address.shown}; requests are signed with its time`,
      )
      return true
    }
    if (kind === 'elsewhere' && error.region !== undefined && error.region !== this.#region) {
      this.#region = error.region
      this.#address = addressBucket(this.description, error.region)
      return true
    }
    return false
  }

  async #attempt(request: S3Request, keys: SigningKeys): Promise<HttpAnswer> {
    const address = await this.#route()
    const { description } = this
    const path =
      request.key === '' ? address.basePath || '/' : `${address.basePath}/${encodeKey(request.key)}`
    const body = request.body ?? []
    const bodyBytes = body.reduce((sum, block) => sum + block.length, 0)
    const hasLength = bodyBytes > 0 || request.method === 'PUT' || request.method === 'POST'
    const headers = signRequest(
      {
        method: request.method,
        path,
        query: request.query ?? {},
        headers: {
          ...description.headers,
          ...request.headers,
          host: address.hostHeader,
          ...(description.credentials.kind === 'yandex' && keys.sessionToken !== undefined
            ? { 'x-yacloud-subjecttoken': keys.sessionToken }
            : {}),
        },
        payloadHash: bodyBytes === 0 ? EMPTY_PAYLOAD_HASH : this.#payloadHash(body),
      },
      keys,
      { region: this.#region, service: 's3', nowMs: Date.now() + this.#clockOffsetMs },
    )
    if (hasLength) headers['content-length'] = String(bodyBytes)
    headers['user-agent'] = 'wal-g'
    const query = encodeQuery(request.query ?? {})
    const beganMs = performance.now()
    const answer = await this.#client.request(address.target, {
      method: request.method,
      path: query === '' ? path : `${path}?${query}`,
      headers,
      body,
      ...(request.signal === undefined ? {} : { signal: request.signal }),
      ...(request.onProgress === undefined ? {} : { onProgress: request.onProgress }),
    })
    this.#hasAnswered = true
    if (description.isTraced) {
      const tookMs = Math.round(performance.now() - beganMs)
      notice(
        `S3 ${request.method} ${path}${query && `?${query}`} ${bodyBytes} bytes: ${answer.status}, ${tookMs} ms`,
        'DEBUG',
      )
    }
    if (answer.status >= 200 && answer.status < 300) return answer
    throw faultOfAnswer(answer, await readText(answer.body, ANSWER_BYTES_MAX, request.signal))
  }

  async #route(): Promise<BucketAddress> {
    const node = await this.#node?.find()
    if (node === undefined) return this.#address
    const protocol = node.protocol ?? this.#address.protocol
    return atNode(this.#address, { ...node, protocol }, this.description.endpoint.ca)
  }

  #payloadHash(body: readonly Uint8Array[]): string {
    if (!this.description.signsPayload) return UNSIGNED_PAYLOAD
    const hash = createHash('sha256')
    for (const block of body) hash.update(block)
    return hash.digest('hex')
  }

  #shownKey(key: string): string {
    const { root } = this.description
    return root !== '' && key.startsWith(`${root}/`) ? key.slice(root.length + 1) : key
  }
}
