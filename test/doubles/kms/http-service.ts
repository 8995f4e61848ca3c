import { createServer, type IncomingMessage } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Answer {
  readonly status: number
  readonly body: unknown
  readonly contentType?: string
}

export interface HttpService {
  readonly url: string
  /** What was asked for, in order: `POST /path`. */
  readonly requests: string[]
  close(): Promise<void>
}

/** A JSON service on 127.0.0.1. */
export async function startHttpService(
  answer: (request: IncomingMessage, body: string) => Answer,
): Promise<HttpService> {
  const requests: string[] = []
  const server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk: Buffer) => chunks.push(chunk))
    request.on('end', () => {
      requests.push(`${request.method} ${request.url}`)
      const { status, body, contentType } = answer(request, Buffer.concat(chunks).toString())
      response.writeHead(status, { 'content-type': contentType ?? 'application/json' })
      response.end(typeof body === 'string' && contentType !== undefined ? body : JSON.stringify(body))
    })
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    requests,
    close: () => new Promise(resolve => server.close(() => resolve())),
  }
}
