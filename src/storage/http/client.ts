import { type BodyOptions, type HttpBody, openBody, readAnswerHead } from './body.ts'
import { Connection, type ConnectionTimes, type HttpTarget } from './connection.ts'
import { HttpFault } from './fault.ts'

export interface HttpRequest {
  readonly method: string
  /** Path and query, encoded as they go out. */
  readonly path: string
  /** Lower-case names. `host` and `content-length` are the caller's to set. */
  readonly headers: Readonly<Record<string, string>>
  /** Blocks, sent one after the other straight from their memory. */
  readonly body?: readonly Uint8Array[]
  readonly signal?: AbortSignal
  /** Bytes have gone out or an answer has begun. */
  readonly onProgress?: () => void
}

export interface HttpAnswer {
  readonly status: number
  /** By lower-case name. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: HttpBody
}

export interface HttpClientOptions extends ConnectionTimes {
  readonly idleConnectionsMax?: number
}

/**
 * HTTP/1.1 over connections that are kept. Nothing is retried here, with one exception: a kept connection that the
 * server had closed meanwhile is replaced by a new one, as long as no byte of an answer has come.
 */
export class HttpClient {
  readonly #options: HttpClientOptions
  readonly #idle = new Map<string, Connection[]>()
  readonly #open = new Set<Connection>()
  #isClosed = false

  constructor(options: HttpClientOptions) {
    this.#options = options
  }

  async request(target: HttpTarget, request: HttpRequest): Promise<HttpAnswer> {
    if (this.#isClosed) throw new HttpFault('closed', 'the client has been closed')
    const kept = this.#takeIdle(target)
    if (kept !== undefined) {
      try {
        return await this.#exchange(kept, target, request)
      } catch (error) {
        const isStale = error instanceof HttpFault && error.kind === 'reset'
        if (!isStale || request.signal?.aborted === true) throw error
      }
    }
    const connection = await Connection.open(target, this.#options, request.signal)
    this.#open.add(connection)
    return this.#exchange(connection, target, request)
  }

  /** Ends all connections, those of unread bodies too; idempotent. */
  close(): void {
    this.#isClosed = true
    for (const connection of this.#open) connection.close()
    this.#open.clear()
    this.#idle.clear()
  }

  async #exchange(connection: Connection, target: HttpTarget, request: HttpRequest): Promise<HttpAnswer> {
    connection.setNeeded(true)
    try {
      const isSent = await send(connection, request)
      const head = await readAnswerHead(connection, request.signal)
      if (head === undefined) throw new HttpFault('reset', 'the connection was closed before an answer')
      request.onProgress?.()
      const { status, headers } = head
      const isKept = isSent && !head.isOld && headers.get('connection')?.toLowerCase() !== 'close'
      const release = (isReusable: boolean): void => this.#release(connection, target, isReusable && isKept)
      const framing = framingOf(request.method, status, headers)
      return { status, headers, body: openBody({ connection, framing, release }) }
    } catch (error) {
      this.#drop(connection)
      throw error
    }
  }

  #takeIdle(target: HttpTarget): Connection | undefined {
    const idle = this.#idle.get(keyOf(target))
    for (let connection = idle?.pop(); connection !== undefined; connection = idle?.pop()) {
      connection.onClose(undefined)
      if (connection.isFit) return connection
      this.#drop(connection)
    }
    return undefined
  }

  #release(connection: Connection, target: HttpTarget, isReusable: boolean): void {
    const key = keyOf(target)
    const idle = this.#idle.get(key) ?? []
    const isWanted = idle.length < (this.#options.idleConnectionsMax ?? 32)
    if (!isReusable || !isWanted || !connection.isFit || this.#isClosed) {
      this.#drop(connection)
      return
    }
    connection.setNeeded(false)
    connection.onClose(() => {
      const at = idle.indexOf(connection)
      if (at >= 0) idle.splice(at, 1)
      this.#drop(connection)
    })
    idle.push(connection)
    this.#idle.set(key, idle)
  }

  #drop(connection: Connection): void {
    this.#open.delete(connection)
    connection.close()
  }
}

/** Sends head and body; false when the server answered before everything was sent. */
async function send(connection: Connection, request: HttpRequest): Promise<boolean> {
  const lines = Object.entries(request.headers).map(([name, value]) => `${name}: ${value}\r\n`)
  const head = Buffer.from(`${request.method} ${request.path} HTTP/1.1\r\n${lines.join('')}\r\n`, 'utf8')
  if (!(await connection.write(head, request.signal))) return false
  for (const block of request.body ?? []) {
    if (!(await connection.write(block, request.signal, request.onProgress))) return false
  }
  return true
}

function framingOf(
  method: string,
  status: number,
  headers: ReadonlyMap<string, string>,
): BodyOptions['framing'] {
  if (method === 'HEAD' || status === 204 || status === 304) return 'none'
  if (headers.get('transfer-encoding')?.toLowerCase().includes('chunked') === true) return 'chunked'
  const length = headers.get('content-length')
  if (length === undefined) return 'to the end'
  if (!/^\d+$/.test(length)) throw new HttpFault('invalid', 'the answer has a senseless Content-Length')
  return { bytes: Number(length) }
}

function keyOf({ host, port, tls }: HttpTarget): string {
  return `${tls === undefined ? 'http' : `https ${tls.serverName ?? ''}`} ${host}:${port}`
}
