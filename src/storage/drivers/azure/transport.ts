import { Readable } from 'node:stream'
import type { HttpOperationResponse, IHttpClient, WebResource } from '@azure/storage-blob'

/**
 * How the requests of Azure's client travel: by the runtime's `fetch`, at half the processor time of the client's own
 * way. It keeps connections, and goes through HTTPS_PROXY.
 */
export const fetchTransport: IHttpClient = { sendRequest }

async function sendRequest(request: WebResource): Promise<HttpOperationResponse> {
  const response = await fetch(request.url, {
    method: request.method,
    headers: headersOf(request),
    redirect: 'manual',
    ...(request.abortSignal === undefined ? {} : { signal: request.abortSignal as AbortSignal }),
    ...(request.body === undefined ? {} : { body: request.body as string | Uint8Array<ArrayBuffer> }),
  })
  const isStream = request.streamResponseStatusCodes?.has(response.status) === true
  const headers = Object.fromEntries(response.headers)
  return {
    request,
    status: response.status,
    // of the client's interface only this is asked for
    headers: { toJson: () => headers } as unknown as HttpOperationResponse['headers'],
    ...(isStream
      ? { readableStreamBody: keepBody(request, response) }
      : { bodyAsText: await response.text() }),
  }
}

function headersOf(request: WebResource): Record<string, string> {
  const headers = request.headers.toJson()
  // fetch counts the bytes, and says no to being told
  delete headers['content-length']
  return headers
}

/** Bodies on the way from here to the driver, by the signal of their request. */
const bodies = new WeakMap<object, ReadableStream<Uint8Array>>()

/**
 * The body of the answer to the request that was made with `signal`; whoever takes it, ends it. It goes past the client,
 * whose streams cost more than the transfer and fail where nobody listens.
 */
export function takeBody(signal: AbortSignal): ReadableStream<Uint8Array> | undefined {
  const body = bodies.get(signal)
  bodies.delete(signal)
  return body
}

function keepBody({ abortSignal }: WebResource, { body }: Response): Readable {
  if (abortSignal !== undefined && body !== null) bodies.set(abortSignal, body)
  // what the client wraps instead never moves
  return new Readable({ read() {} })
}
