import { createHash } from 'node:crypto'
import { type PatienceOptions, patientRequest, stallTimeoutOf } from '../../requests/patient-request.ts'
import type { GcsAuthorization } from './credentials.ts'
import type { GcsDescription } from './description.ts'
import { fromCredentialsError, fromFetchError, fromRefusal, type GcsPlace, readRefusal } from './errors.ts'

export interface GcsRequest {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  /** From `/` on, names encoded; or a whole URL that the service gave. */
  readonly path: string
  readonly query?: Readonly<Record<string, string | undefined>>
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Uint8Array | string
  /** For messages: what is done with which object. */
  readonly doing: string
  readonly key: string
  /** Statuses besides 2xx that are answers, not errors. */
  readonly alsoFine?: readonly number[]
}

export interface GcsClientOptions {
  readonly name: string
  readonly description: GcsDescription
  readonly stallTimeoutMs: number
}

/** Requests to the JSON API, with authorization and patience. */
export class GcsClient {
  readonly place: GcsPlace
  readonly patience: PatienceOptions
  readonly #description: GcsDescription
  #authorization: GcsAuthorization | undefined

  constructor({ name, description, stallTimeoutMs }: GcsClientOptions) {
    this.place = { name, bucket: description.bucket }
    this.#description = description
    const { attemptsMax, timeoutMs, tryTimeoutMs } = description
    this.patience = {
      attemptsMax,
      deadlineMs: Math.min(timeoutMs, RETRIES_DEADLINE_MS),
      tryTimeoutMs,
      stallTimeoutMs: stallTimeoutOf(stallTimeoutMs),
    }
  }

  /** Headers with the customer's key, for requests that touch content. */
  get keyHeaders(): Record<string, string> {
    return keyHeaders(this.#description.encryptionKey, 'x-goog-encryption')
  }

  /** The same for the source of a copy. */
  get sourceKeyHeaders(): Record<string, string> {
    return keyHeaders(this.#description.encryptionKey, 'x-goog-copy-source-encryption')
  }

  get bucketPath(): string {
    return `/b/${encodeURIComponent(this.#description.bucket)}`
  }

  /** One try. The answer is fine, its body unread; anything else is an error. */
  async send(request: GcsRequest, signal: AbortSignal): Promise<Response> {
    const response = await this.#fetch(request, signal)
    if (response.ok || request.alsoFine?.includes(response.status) === true) return response
    const refusal = await readRefusal(response)
    throw fromRefusal(refusal, this.place, request.doing, request.key)
  }

  /** A request that may be repeated, and its answer as JSON; an empty answer is an empty object. */
  async ask<T>(request: GcsRequest, signal: AbortSignal | undefined): Promise<T> {
    return patientRequest(
      async bounded => {
        const response = await this.send(request, bounded)
        return this.readJson<T>(response, request, bounded)
      },
      this.patience,
      signal,
      request.body?.length,
    )
  }

  async readJson<T>(response: Response, { doing, key }: GcsRequest, signal: AbortSignal): Promise<T> {
    try {
      const text = await response.text()
      return (text === '' ? {} : JSON.parse(text)) as T
    } catch (error) {
      throw fromFetchError(error, this.place, doing, key, signal)
    }
  }

  async #fetch(request: GcsRequest, signal: AbortSignal): Promise<Response> {
    for (let attempt = 1; ; attempt++) {
      const authorization = await this.#authorize()
      let response: Response
      try {
        response = await fetch(this.#urlOf(request), {
          method: request.method,
          headers: { ...request.headers, ...authorization },
          // an answer with 308 is about bytes, not about another place
          redirect: 'manual',
          signal,
          ...(request.body === undefined ? {} : { body: request.body as Uint8Array<ArrayBuffer> | string }),
        })
      } catch (error) {
        throw fromFetchError(error, this.place, request.doing, request.key, signal)
      }
      if (response.status !== 401 || attempt > 1 || this.#authorization === undefined) return response
      await response.body?.cancel()
      this.#authorization.forget()
    }
  }

  async #authorize(): Promise<Record<string, string>> {
    const { credentials } = this.#description
    if (credentials.kind === 'none') return {}
    try {
      if (this.#authorization === undefined) {
        const { openAuthorization } = await import('./credentials.ts')
        this.#authorization ??= openAuthorization(credentials)
      }
      return { authorization: await this.#authorization.header() }
    } catch (error) {
      throw fromCredentialsError(error, this.place)
    }
  }

  #urlOf({ path, query = {} }: GcsRequest): string {
    const url = path.startsWith('http') ? path : `${this.#description.endpoint}${path}`
    const pairs = Object.entries(query).filter((pair): pair is [string, string] => pair[1] !== undefined)
    return pairs.length === 0 ? url : `${url}?${new URLSearchParams(pairs)}`
  }
}

const RETRIES_DEADLINE_MS = 120_000

function keyHeaders(key: string | undefined, name: string): Record<string, string> {
  if (key === undefined) return {}
  const sha256 = createHash('sha256').update(Buffer.from(key, 'base64')).digest('base64')
  return { [`${name}-algorithm`]: 'AES256', [`${name}-key`]: key, [`${name}-key-sha256`]: sha256 }
}
