import { WalgError } from '../../kit/errors.ts'
import { retryAfterMs } from './patient-request.ts'

export interface HttpRequest {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body?: Uint8Array | string
  readonly signal: AbortSignal
  /** Further certificate authorities, PEM. */
  readonly caCertificates?: string
}

/** Sends one request; an answer of any status is an answer. Trouble on the way is STORAGE_UNAVAILABLE, an abort its reason. */
export async function sendRequest(request: HttpRequest): Promise<Response> {
  const { method, url, headers, body, signal, caCertificates } = request
  try {
    return await fetch(url, {
      method,
      headers: { 'accept-encoding': 'identity', 'user-agent': 'wal-g', ...headers },
      redirect: 'manual',
      signal,
      ...(body === undefined ? {} : { body: body as RequestInit['body'] & {} }),
      ...(caCertificates === undefined ? {} : { tls: { ca: caCertificates } }),
    })
  } catch (error) {
    throw transportError(error, url, signal)
  }
}

/** The chunks of an answer's body; the end of its connection is STORAGE_UNAVAILABLE. Leaving early ends the request. */
export async function* bodyOf(answer: Response, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const reader = answer.body?.getReader()
  if (reader === undefined) return
  try {
    for (;;) {
      const { done, value } = await reader.read()
      if (done) return
      // a chunk of a stream is at most 4 MiB
      for (let at = 0; at < value.length; at += CHUNK_BYTES_MAX)
        yield value.subarray(at, at + CHUNK_BYTES_MAX)
    }
  } catch (error) {
    throw transportError(error, answer.url, signal)
  } finally {
    await reader.cancel().catch(() => {})
  }
}

const CHUNK_BYTES_MAX = 4 * 1024 * 1024

/** A whole body as text, cut at `bytesMax`: answers that are not objects. */
export async function textOf(
  answer: Response,
  signal: AbortSignal,
  bytesMax: number = 64 << 20,
): Promise<string> {
  const decoder = new TextDecoder()
  let text = ''
  let bytes = 0
  for await (const chunk of bodyOf(answer, signal)) {
    bytes += chunk.length
    if (bytes > bytesMax)
      throw new WalgError('FORMAT_INVALID', `the answer of "${hostOf(answer.url)}" has no end`)
    text += decoder.decode(chunk, { stream: true })
  }
  return text + decoder.decode()
}

/** Reads an answer whose body does not matter, so that its connection can be used again. */
export async function dropBody(answer: Response): Promise<void> {
  await answer.body?.cancel().catch(() => {})
}

function transportError(error: unknown, url: string, signal: AbortSignal): WalgError {
  if (error instanceof WalgError) return error
  if (signal.aborted && signal.reason instanceof WalgError) return signal.reason
  if (signal.aborted) return new WalgError('CANCELLED', 'the work was interrupted', { cause: error })
  const code = (error as { code?: unknown }).code
  const text = error instanceof Error ? error.message : String(error)
  const reason = typeof code === 'string' ? `${code}, ${text}` : text
  return new WalgError('STORAGE_UNAVAILABLE', `no answer from "${hostOf(url)}": ${reason}`, {
    facts: { host: hostOf(url), ...(typeof code === 'string' ? { reason: code } : {}) },
    cause: error,
    hint: 'see whether the name of the host is right and the network leads there',
  })
}

function hostOf(url: string): string {
  return URL.canParse(url) ? new URL(url).host : url
}

/** What a refusing answer says. */
export interface HttpRefusal {
  readonly status: number
  /** The code or first line of its body; `''` for none. */
  readonly reason: string
  readonly retryAfter: string | null
}

/** The code of our own for a refused request on an object, and what a person can do. */
export interface HttpVerdict {
  readonly code: WalgError['code']
  readonly hint?: string
}

/** What a status means wherever HTTP is spoken; a driver decides first what means something else in its service. */
export function verdictOfStatus(status: number): HttpVerdict {
  if (status === 404) return { code: 'OBJECT_NOT_FOUND' }
  if (status === 401 || status === 403) {
    return {
      code: 'ACCESS_DENIED',
      hint: 'the storage answers, but refuses these credentials: see them and their permissions',
    }
  }
  if (status === 413 || status === 507) {
    return {
      code: 'DISK_FULL',
      hint: 'a quota is used up, or the storage is full: delete old backups or raise the quota',
    }
  }
  if (status === 429 || status === 498) {
    return {
      code: 'STORAGE_THROTTLED',
      hint: 'the account is over its limits: run fewer transfers at a time',
    }
  }
  if (status === 408 || status === 409 || status === 422 || status === 499 || status >= 500) {
    return {
      code: 'STORAGE_UNAVAILABLE',
      hint: 'see whether the storage is in trouble, then run the command again',
    }
  }
  return { code: 'ACCESS_DENIED', hint: 'the storage answers, but refuses this request for good' }
}

/** The error of a refusing answer; `doing` such as `put object "a/b"`. */
export function refusedRequest(
  { status, reason, retryAfter }: HttpRefusal,
  { code, hint }: HttpVerdict,
  doing: string,
  facts: Readonly<Record<string, string>>,
): WalgError {
  const waitMs = retryAfterMs(retryAfter)
  const text = reason === '' ? `${status}` : `${status}, ${reason}`
  return new WalgError(code, `unable to ${doing} in storage "${facts['storage']}": ${text}`, {
    facts: { ...facts, status, ...(waitMs === undefined ? {} : { retryAfterMs: waitMs }) },
    ...(hint === undefined ? {} : { hint }),
  })
}
