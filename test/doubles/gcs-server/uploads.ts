import { type Buckets, type Conditions, GcsFailure, type NewObject, type ObjectResource } from './buckets.ts'

/** Only multiples of it are kept of a chunk that is not the last. */
const CHUNK_UNIT_BYTES = 256 * 1024

interface Session {
  readonly bucket: string
  readonly name: string
  readonly given: NewObject
  readonly conditions: Conditions
  readonly chunks: Buffer[]
  keptBytes: number
  resource: ObjectResource | undefined
}

/** The answer to a chunk: the object is complete, or so many bytes are kept so far. */
export type ChunkAnswer = { readonly resource: ObjectResource } | { readonly keptBytes: number }

/** Resumable uploads: an object is visible only when its last byte has come. */
export class Uploads {
  readonly #buckets: Buckets
  readonly #sessions = new Map<string, Session>()

  constructor(buckets: Buckets) {
    this.#buckets = buckets
  }

  begin(bucket: string, name: string, given: NewObject, conditions: Conditions): string {
    this.#buckets.bucket(bucket)
    this.#buckets.checkConditions(bucket, name, conditions)
    const id = crypto.randomUUID()
    this.#sessions.set(id, { bucket, name, given, conditions, chunks: [], keptBytes: 0, resource: undefined })
    return id
  }

  get openCount(): number {
    return [...this.#sessions.values()].filter(each => each.resource === undefined).length
  }

  cancel(id: string): void {
    this.#find(id)
    this.#sessions.delete(id)
  }

  /** `range` as `bytes 0-99/*`, `bytes 0-99/100`, `bytes * /*`; absent: the rest of the object. */
  accept(id: string, range: string | undefined, body: Buffer): ChunkAnswer {
    const session = this.#find(id)
    if (session.resource !== undefined) return { resource: session.resource }
    const { first, total } = parseRange(range)
    if (first === undefined && body.length === 0 && range !== undefined) {
      return total === session.keptBytes ? this.#finish(session) : { keptBytes: session.keptBytes }
    }
    const begin = first ?? session.keptBytes
    if (begin > session.keptBytes)
      throw new GcsFailure(
        400,
        'invalid',
        `Invalid request.  The chunk begins at ${begin}, ${session.keptBytes} bytes are there.`,
      )
    const news = body.subarray(session.keptBytes - begin)
    const isLast = total === undefined ? isOpenEnded(range) : begin + body.length === total
    const keptBytes = isLast ? news.length : news.length - (news.length % CHUNK_UNIT_BYTES)
    session.chunks.push(Buffer.from(news.subarray(0, keptBytes)))
    session.keptBytes += keptBytes
    return isLast ? this.#finish(session) : { keptBytes: session.keptBytes }
  }

  #finish(session: Session): ChunkAnswer {
    const { bucket, name, given, conditions, chunks } = session
    session.resource = this.#buckets.put(bucket, name, Buffer.concat(chunks), given, conditions)
    chunks.length = 0
    return { resource: session.resource }
  }

  #find(id: string): Session {
    const session = this.#sessions.get(id)
    if (session === undefined) throw new GcsFailure(410, 'gone', 'The requested upload session is gone.')
    return session
  }
}

function isOpenEnded(range: string | undefined): boolean {
  return range === undefined || /^bytes \d+-\*\/\*$/.test(range)
}

function parseRange(range: string | undefined): { first: number | undefined; total: number | undefined } {
  const match = /^bytes (?:(\d+)-(?:\d+|\*)|\*)\/(\d+|\*)$/.exec(range ?? 'bytes */*')
  if (match === null) throw new GcsFailure(400, 'invalid', `Failed to parse Content-Range header "${range}".`)
  const number = (text: string | undefined): number | undefined =>
    text === undefined || text === '*' ? undefined : Number(text)
  return { first: number(match[1]), total: number(match[2]) }
}

/** The two parts of a `multipart/related` upload: what the object shall be like, and its bytes. */
export function splitMultipart(
  contentType: string,
  body: Buffer,
): { given: NewObject & { name?: string }; bytes: Buffer } {
  const boundary = /boundary="?([^";]+)"?/.exec(contentType)?.[1]
  if (boundary === undefined) throw new GcsFailure(400, 'badRequest', 'Missing boundary.')
  const firstHead = body.indexOf('\r\n\r\n')
  const separator = Buffer.from(`\r\n--${boundary}`)
  const middle = body.indexOf(separator, firstHead)
  const secondHead = body.indexOf('\r\n\r\n', middle + separator.length)
  const end = body.lastIndexOf(separator)
  if (firstHead < 0 || middle < 0 || secondHead < 0 || end < secondHead) {
    throw new GcsFailure(400, 'badRequest', 'Malformed multipart body.')
  }
  const given = JSON.parse(body.toString('utf8', firstHead + 4, middle)) as NewObject
  return { given, bytes: Buffer.from(body.subarray(secondHead + 4, end)) }
}
