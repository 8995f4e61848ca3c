import type { Connection } from './connection.ts'
import { readHead } from './connection.ts'
import { HttpFault } from './fault.ts'

const CHUNK_BYTES_MAX = 1 << 18
const CHUNK_LINE_BYTES_MAX = 4096

/** The body of an answer, pulled. */
export interface HttpBody {
  /** Announced size; undefined when the server did not say. */
  readonly sizeBytes: number | undefined
  /** The next bytes; undefined at the end, when everything announced has come. Throws HttpFault. */
  next(signal?: AbortSignal): Promise<Uint8Array | undefined>
  /** No more interest; idempotent. A connection with unread bytes is closed. */
  close(): void
}

export interface BodyOptions {
  readonly connection: Connection
  /** By its head: `none`, a count of bytes, in chunks, or up to the end of the connection. */
  readonly framing: 'none' | 'chunked' | 'to the end' | { readonly bytes: number }
  /** Called once: whether the connection may carry another request. */
  readonly release: (isReusable: boolean) => void
}

/** Reads a body by its framing; a stream that ends early or late is a `cut`. */
export function openBody(options: BodyOptions): HttpBody {
  const { connection, framing, release } = options
  let isReleased = false
  const finish = (isReusable: boolean): void => {
    if (isReleased) return
    isReleased = true
    release(isReusable)
  }
  const chunks =
    typeof framing === 'object'
      ? countedChunks(connection, framing.bytes)
      : framing === 'chunked'
        ? chunkedChunks(connection)
        : framing === 'none'
          ? noChunks()
          : restChunks(connection)
  return {
    sizeBytes: typeof framing === 'object' ? framing.bytes : framing === 'none' ? 0 : undefined,
    async next(signal) {
      if (isReleased) return undefined
      try {
        const chunk = await chunks.next(signal)
        if (chunk === undefined) finish(framing !== 'to the end')
        return chunk
      } catch (error) {
        finish(false)
        throw error
      }
    },
    close: () => finish(false),
  }
}

interface Chunks {
  next(signal: AbortSignal | undefined): Promise<Uint8Array | undefined>
}

function noChunks(): Chunks {
  return { next: async () => undefined }
}

function restChunks(connection: Connection): Chunks {
  return { next: signal => connection.read(CHUNK_BYTES_MAX, signal) }
}

function countedChunks(connection: Connection, sizeBytes: number): Chunks {
  let leftBytes = sizeBytes
  return {
    async next(signal) {
      if (leftBytes === 0) return undefined
      const chunk = await connection.read(Math.min(leftBytes, CHUNK_BYTES_MAX), signal)
      if (chunk === undefined) {
        const got = sizeBytes - leftBytes
        throw new HttpFault('cut', `the answer ended after ${got} of ${sizeBytes} bytes`)
      }
      leftBytes -= chunk.length
      return chunk
    },
  }
}

function chunkedChunks(connection: Connection): Chunks {
  let leftBytes = 0
  let isFirst = true
  let isDone = false
  const nextSize = async (signal: AbortSignal | undefined): Promise<number> => {
    if (!isFirst) await readLine(connection, signal)
    isFirst = false
    const line = await readLine(connection, signal)
    if (!/^[0-9a-fA-F]+ *(;.*)?$/.test(line)) throw new HttpFault('invalid', 'a chunk has no size')
    return Number.parseInt(line, 16)
  }
  return {
    async next(signal) {
      if (isDone) return undefined
      if (leftBytes === 0) {
        leftBytes = await nextSize(signal)
        if (leftBytes === 0) {
          isDone = true
          // trailers, up to an empty line
          while ((await readLine(connection, signal)) !== '') {
            // not used
          }
          return undefined
        }
      }
      const chunk = await connection.read(Math.min(leftBytes, CHUNK_BYTES_MAX), signal)
      if (chunk === undefined) throw new HttpFault('cut', 'the answer ended in the middle of a chunk')
      leftBytes -= chunk.length
      return chunk
    },
  }
}

async function readLine(connection: Connection, signal: AbortSignal | undefined): Promise<string> {
  let line = ''
  for (;;) {
    const bytes = await connection.read(CHUNK_LINE_BYTES_MAX, signal)
    if (bytes === undefined) throw new HttpFault('cut', 'the answer ended between two chunks')
    const end = bytes.indexOf(0x0a)
    line += Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString('latin1')
    if (end >= 0) {
      connection.unread(bytes.subarray(end + 1))
      return line.replace(/\r$/, '')
    }
    if (line.length > CHUNK_LINE_BYTES_MAX) throw new HttpFault('invalid', 'a chunk has no size')
  }
}

/** The whole body as text; `invalid` beyond `bytesMax`. */
export async function readText(body: HttpBody, bytesMax: number, signal?: AbortSignal): Promise<string> {
  const chunks: Uint8Array[] = []
  let sizeBytes = 0
  for (;;) {
    const chunk = await body.next(signal)
    if (chunk === undefined) return Buffer.concat(chunks).toString('utf8')
    sizeBytes += chunk.length
    if (sizeBytes > bytesMax) {
      body.close()
      throw new HttpFault('invalid', `the answer has more than ${bytesMax} bytes`)
    }
    chunks.push(chunk)
  }
}

/** Reads the head of an answer; 1xx heads are passed over. */
export async function readAnswerHead(
  connection: Connection,
  signal: AbortSignal | undefined,
): Promise<{ status: number; isOld: boolean; headers: Map<string, string> } | undefined> {
  for (;;) {
    const head = await readHead(connection, 1 << 16, signal)
    if (head === undefined) return undefined
    const [first = '', ...lines] = head.split('\r\n')
    const match = /^HTTP\/1\.([01]) (\d{3})(?: |$)/.exec(first)
    if (match === null) throw new HttpFault('invalid', `not an HTTP answer: "${first.slice(0, 60)}"`)
    const status = Number(match[2])
    if (status >= 100 && status < 200) continue
    const headers = new Map<string, string>()
    for (const line of lines) {
      const colon = line.indexOf(':')
      if (colon < 1) throw new HttpFault('invalid', 'a header without a name')
      headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim())
    }
    return { status, isOld: match[1] === '0', headers }
  }
}
