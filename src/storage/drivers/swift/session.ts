import { WalgError } from '../../../kit/errors.ts'
import {
  dropBody,
  type HttpRequest,
  refusedRequest,
  sendRequest,
  textOf,
  verdictOfStatus,
} from '../../requests/http.ts'
import type { SwiftDescription, SwiftKeystone } from './description.ts'

/** A token and where it is good. */
interface SwiftToken {
  readonly token: string
  /** Address of the account, without a slash at its end. */
  readonly storageUrl: string
}

/** Requests to one account: gets a token, and another when it has expired. */
export class SwiftSession {
  readonly #description: SwiftDescription
  readonly #storage: string
  #token: Promise<SwiftToken> | undefined

  constructor(description: SwiftDescription, storage: string) {
    this.#description = description
    this.#storage = storage
  }

  /** `path` begins with `/` or `?`, below the account. A token that is no longer good is replaced, once per request. */
  async send(path: string, request: Omit<HttpRequest, 'url'>): Promise<Response> {
    const token = await this.#current(request.signal)
    const answer = await this.#sendWith(token, path, request)
    if (answer.status !== 401) return answer
    if (this.#description.identity.version === 'token') return answer
    await dropBody(answer)
    if ((await this.#token) === token) this.#token = undefined
    return this.#sendWith(await this.#current(request.signal), path, request)
  }

  #sendWith(
    { token, storageUrl }: SwiftToken,
    path: string,
    request: Omit<HttpRequest, 'url'>,
  ): Promise<Response> {
    return sendRequest({
      ...request,
      ...this.#certificates(),
      url: `${storageUrl}${path}`,
      headers: { 'x-auth-token': token, ...request.headers },
    })
  }

  /** All requests wait for the same token; a failure is nobody's but theirs. */
  #current(signal: AbortSignal): Promise<SwiftToken> {
    if (this.#token !== undefined) return this.#token
    const asked: Promise<SwiftToken> = this.#ask(signal).catch(error => {
      if (this.#token === asked) this.#token = undefined
      throw error
    })
    this.#token = asked
    return asked
  }

  async #ask(signal: AbortSignal): Promise<SwiftToken> {
    const { identity } = this.#description
    if (identity.version === 'token')
      return { token: identity.token, storageUrl: trimmed(identity.storageUrl) }
    if (identity.version === 3) return this.#askKeystone(identity, signal)
    const headers = { 'x-auth-user': identity.username, 'x-auth-key': identity.password }
    const answer = await this.#sendForToken({ method: 'GET', url: identity.url, headers, signal })
    await dropBody(answer)
    return this.#accept(
      answer.headers.get('x-auth-token'),
      identity.storageUrl ?? answer.headers.get('x-storage-url'),
    )
  }

  async #askKeystone(identity: SwiftKeystone, signal: AbortSignal): Promise<SwiftToken> {
    const answer = await this.#sendForToken({
      method: 'POST',
      url: `${identity.url}/auth/tokens`,
      headers: { 'content-type': 'application/json', accept: 'application/json' },
      body: identity.request,
      signal,
    })
    const text = await textOf(answer, signal)
    const storageUrl = identity.storageUrl ?? storageUrlOf(text, identity)
    if (storageUrl === undefined) throw this.#noEndpoint(identity)
    return this.#accept(answer.headers.get('x-subject-token'), storageUrl)
  }

  async #sendForToken(request: HttpRequest): Promise<Response> {
    const answer = await sendRequest({ ...request, ...this.#certificates() })
    if (answer.ok) return answer
    const reason = (await textOf(answer, request.signal))
      .replace(/<[^>]*>|\s+/g, ' ')
      .trim()
      .slice(0, 200)
    const refusal = { status: answer.status, reason, retryAfter: answer.headers.get('retry-after') }
    const isWrongPlace =
      [400, 404, 405].includes(answer.status) || (answer.status >= 300 && answer.status < 400)
    const verdict =
      answer.status === 401 || answer.status === 403
        ? {
            code: 'ACCESS_DENIED' as const,
            hint: 'see OS_USERNAME, OS_PASSWORD, and the OS_ variables of project and domain',
          }
        : isWrongPlace
          ? {
              code: 'ACCESS_DENIED' as const,
              hint: 'this is not the address of an identity service: see OS_AUTH_URL',
            }
          : verdictOfStatus(answer.status)
    throw refusedRequest(refusal, verdict, 'get a token', {
      storage: this.#storage,
      host: new URL(request.url).host,
    })
  }

  #accept(token: string | null, storageUrl: string | null): SwiftToken {
    if (token !== null && storageUrl !== null && URL.canParse(storageUrl)) {
      return { token, storageUrl: trimmed(storageUrl) }
    }
    throw new WalgError(
      'ACCESS_DENIED',
      `the identity service of storage "${this.#storage}" answered without a token`,
      {
        facts: { storage: this.#storage },
        hint: 'this is not the address of an identity service: see OS_AUTH_URL',
      },
    )
  }

  #noEndpoint({ region, endpoint }: SwiftKeystone): WalgError {
    const where = region === undefined ? '' : ` in region "${region}"`
    return new WalgError(
      'ACCESS_DENIED',
      `the catalogue of storage "${this.#storage}" has no ${endpoint} object storage${where}`,
      {
        facts: { storage: this.#storage },
        hint: 'see OS_REGION_NAME, OS_ENDPOINT_TYPE and the project (OS_TENANT_NAME)',
      },
    )
  }

  #certificates(): Pick<HttpRequest, 'caCertificates'> {
    const { caCertificates } = this.#description
    return caCertificates === undefined ? {} : { caCertificates }
  }
}

interface KeystoneAnswer {
  readonly token?: {
    readonly catalog?: readonly {
      readonly type?: string
      readonly endpoints?: readonly {
        readonly interface?: string
        readonly region?: string
        readonly region_id?: string
        readonly url?: string
      }[]
    }[]
  }
}

/** The address of the object storage in the catalogue of a token. */
function storageUrlOf(text: string, { region, endpoint }: SwiftKeystone): string | undefined {
  const catalog = (JSON.parse(text) as KeystoneAnswer).token?.catalog ?? []
  const endpoints = catalog
    .filter(({ type }) => type === 'object-store')
    .flatMap(each => each.endpoints ?? [])
  return endpoints.find(
    each =>
      each.interface === endpoint && (region === undefined || [each.region, each.region_id].includes(region)),
  )?.url
}

function trimmed(url: string): string {
  return url.replace(/\/+$/, '')
}
