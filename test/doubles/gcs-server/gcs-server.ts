import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { Buckets, GcsFailure, type NewObject, type ObjectResource, type StoredObject } from './buckets.ts'
import { splitMultipart, Uploads } from './uploads.ts'

export interface GcsServer {
  /** `http://127.0.0.1:<port>` */
  readonly url: string
  /** For STORAGE_EMULATOR_HOST. */
  readonly host: string
  readonly buckets: Buckets
  readonly uploads: Uploads
  /** What was asked for, in order: `METHOD /path?query`. */
  readonly requests: string[]
  close(): Promise<void>
}

export interface GcsServerOptions {
  /** Who may come in, by the Authorization header; default: everybody. */
  readonly admits?: (authorization: string | undefined) => boolean
}

interface Request {
  readonly method: string
  readonly url: URL
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
  readonly origin: string
}

interface Reply {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: Buffer | string
}

/**
 * A Google Cloud Storage of our own on 127.0.0.1, in memory: the JSON API (simple, multipart and resumable uploads,
 * ranges, listings in pages, compose, rewrite, preconditions, versions, customer keys) and reads by the XML API, which
 * the original makes. `shared/lab/gcs/gcs-prove.mjs` is its conformance test.
 */
export async function startGcsServer(options: GcsServerOptions = {}): Promise<GcsServer> {
  const buckets = new Buckets()
  const uploads = new Uploads(buckets)
  const service = new GcsService(buckets, uploads, options)
  const requests: string[] = []
  const server = createServer((message, response) => {
    requests.push(`${message.method} ${message.url}`)
    void respond(service, message, response)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    host: `127.0.0.1:${port}`,
    buckets,
    uploads,
    requests,
    close: async () => {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

async function respond(
  service: GcsService,
  message: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const chunks: Buffer[] = []
  for await (const chunk of message) chunks.push(chunk as Buffer)
  const origin = `http://${message.headers.host}`
  const reply = service.answer({
    method: message.method ?? 'GET',
    url: new URL(message.url ?? '/', origin),
    headers: message.headers,
    body: Buffer.concat(chunks),
    origin,
  })
  const body = reply.body ?? ''
  response.writeHead(reply.status, { 'content-length': String(Buffer.byteLength(body)), ...reply.headers })
  response.end(body)
}

type Route = readonly [
  method: string,
  pattern: RegExp,
  handle: (request: Request, ...names: string[]) => Reply,
]

class GcsService {
  readonly #buckets: Buckets
  readonly #uploads: Uploads
  readonly #admits: (authorization: string | undefined) => boolean
  readonly #routes: readonly Route[] = [
    ['POST', /^\/storage\/v1\/b$/, request => this.#createBucket(request)],
    ['GET', /^\/storage\/v1\/b\/([^/]+)$/, (_request, bucket) => this.#getBucket(bucket!)],
    ['PATCH', /^\/storage\/v1\/b\/([^/]+)$/, (request, bucket) => this.#patchBucket(request, bucket!)],
    ['GET', /^\/storage\/v1\/b\/([^/]+)\/o$/, (request, bucket) => this.#list(request, bucket!)],
    [
      'POST',
      /^\/storage\/v1\/b\/([^/]+)\/o\/([^/]+)\/compose$/,
      (request, ...at) => this.#compose(request, at[0]!, at[1]!),
    ],
    [
      'POST',
      /^\/storage\/v1\/b\/([^/]+)\/o\/([^/]+)\/(?:rewriteTo|copyTo)\/b\/([^/]+)\/o\/([^/]+)$/,
      (request, ...at) => this.#rewrite(request, at),
    ],
    [
      'GET',
      /^\/(?:download\/)?storage\/v1\/b\/([^/]+)\/o\/([^/]+)$/,
      (request, ...at) => this.#get(request, at[0]!, at[1]!),
    ],
    [
      'PATCH',
      /^\/storage\/v1\/b\/([^/]+)\/o\/([^/]+)$/,
      (request, ...at) => this.#patch(request, at[0]!, at[1]!),
    ],
    [
      'DELETE',
      /^\/storage\/v1\/b\/([^/]+)\/o\/([^/]+)$/,
      (request, ...at) => this.#remove(request, at[0]!, at[1]!),
    ],
    [
      'POST',
      /^\/(?:resumable\/)?upload\/storage\/v1\/b\/([^/]+)\/o$/,
      (request, bucket) => this.#upload(request, bucket!),
    ],
    ['PUT', /^\/(?:resumable\/)?upload\/storage\/v1\/b\/([^/]+)\/o$/, request => this.#chunk(request)],
    ['DELETE', /^\/(?:resumable\/)?upload\/storage\/v1\/b\/([^/]+)\/o$/, request => this.#cancel(request)],
    ['GET', /^\/([^/]+)\/(.+)$/, (request, ...at) => this.#media(request, at[0]!, at[1]!)],
    [
      'HEAD',
      /^\/([^/]+)\/(.+)$/,
      (request, ...at) => ({ ...this.#media(request, at[0]!, at[1]!), body: '' }),
    ],
  ]

  constructor(buckets: Buckets, uploads: Uploads, { admits = () => true }: GcsServerOptions) {
    this.#buckets = buckets
    this.#uploads = uploads
    this.#admits = admits
  }

  answer(request: Request): Reply {
    try {
      if (!this.#admits(request.headers.authorization)) {
        throw new GcsFailure(401, 'authError', 'Invalid Credentials')
      }
      for (const [method, pattern, handle] of this.#routes) {
        const match = method === request.method ? pattern.exec(request.url.pathname) : null
        if (match !== null) return handle(request, ...match.slice(1).map(decodeURIComponent))
      }
      throw new GcsFailure(404, 'notFound', 'Not Found')
    } catch (error) {
      if (error instanceof GcsFailure) return failed(error)
      throw error
    }
  }

  #createBucket({ body }: Request): Reply {
    const { name } = JSON.parse(body.toString()) as { name: string }
    this.#buckets.create(name)
    return this.#getBucket(name)
  }

  #getBucket(name: string): Reply {
    const { isVersioned } = this.#buckets.bucket(name)
    return json({
      kind: 'storage#bucket',
      name,
      id: name,
      metageneration: '1',
      versioning: { enabled: isVersioned },
    })
  }

  #patchBucket({ body }: Request, name: string): Reply {
    const change = JSON.parse(body.toString()) as { versioning?: { enabled: boolean } }
    if (change.versioning !== undefined) this.#buckets.setVersioned(name, change.versioning.enabled)
    return this.#getBucket(name)
  }

  #list({ url }: Request, bucket: string): Reply {
    const query = url.searchParams
    const prefix = query.get('prefix') ?? ''
    const delimiter = query.get('delimiter') ?? ''
    const after = Buffer.from(query.get('pageToken') ?? '', 'base64')
    const entriesMax = Math.min(Number(query.get('maxResults') ?? 1000) || 1000, 1000)
    const items: ObjectResource[] = []
    const prefixes: string[] = []
    let last: string | undefined
    for (const resource of this.#buckets.sorted(bucket, query.get('versions') === 'true')) {
      if (!resource.name.startsWith(prefix)) continue
      const slash = delimiter === '' ? -1 : resource.name.indexOf(delimiter, prefix.length)
      const entry = slash === -1 ? resource.name : resource.name.slice(0, slash + delimiter.length)
      if (after.length > 0 && Buffer.compare(Buffer.from(entry), after) <= 0) continue
      if (entry === prefixes.at(-1)) continue
      if (items.length + prefixes.length >= entriesMax) {
        const nextPageToken = Buffer.from(last ?? '').toString('base64')
        return json({ kind: 'storage#objects', items, prefixes, nextPageToken })
      }
      last = entry
      if (slash === -1) items.push(resource)
      else prefixes.push(entry)
    }
    return json({
      kind: 'storage#objects',
      ...(items.length === 0 ? {} : { items }),
      ...(prefixes.length === 0 ? {} : { prefixes }),
    })
  }

  #get(request: Request, bucket: string, name: string): Reply {
    if (request.url.searchParams.get('alt') === 'media') return this.#media(request, bucket, name)
    const { resource } = this.#find(request, bucket, name)
    if (keySha256(request) !== undefined) checkKey(request, resource)
    return json(describe(resource))
  }

  #media(request: Request, bucket: string, name: string): Reply {
    const { resource, bytes } = this.#find(request, bucket, name)
    checkKey(request, resource)
    const headers = {
      'content-type': resource.contentType ?? 'application/octet-stream',
      'last-modified': new Date(resource.updated).toUTCString(),
      etag: `"${resource.etag}"`,
      'accept-ranges': 'bytes',
      'x-goog-generation': resource.generation,
      'x-goog-metageneration': resource.metageneration,
      'x-goog-stored-content-length': resource.size,
      'x-goog-stored-content-encoding': 'identity',
      'x-goog-storage-class': resource.storageClass,
      'x-goog-hash': [`crc32c=${resource.crc32c}`, resource.md5Hash && `md5=${resource.md5Hash}`]
        .filter(Boolean)
        .join(','),
    }
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '')
    if (range === null) return { status: 200, headers, body: bytes }
    const first = Number(range[1])
    const last = Math.min(range[2] === '' ? bytes.length - 1 : Number(range[2]), bytes.length - 1)
    if (first >= bytes.length) {
      return {
        status: 416,
        headers: { 'content-range': `bytes */${bytes.length}` },
        body: 'The requested range cannot be satisfied.',
      }
    }
    const part = { 'content-range': `bytes ${first}-${last}/${bytes.length}` }
    return { status: 206, headers: { ...headers, ...part }, body: bytes.subarray(first, last + 1) }
  }

  #find({ url }: Request, bucket: string, name: string): StoredObject {
    const conditions = conditionsOf(url)
    const found = this.#buckets.find(bucket, name, url.searchParams.get('generation') ?? undefined)
    this.#buckets.checkConditions(bucket, name, conditions)
    return found
  }

  #patch({ body }: Request, bucket: string, name: string): Reply {
    return json(describe(this.#buckets.patch(bucket, name, JSON.parse(body.toString()))))
  }

  #remove({ url }: Request, bucket: string, name: string): Reply {
    const generation = url.searchParams.get('generation') ?? undefined
    this.#buckets.remove(bucket, name, generation, conditionsOf(url))
    return { status: 204 }
  }

  #compose(request: Request, bucket: string, name: string): Reply {
    const { sourceObjects, destination } = JSON.parse(request.body.toString()) as {
      sourceObjects: { name: string; generation?: string }[]
      destination?: NewObject
    }
    if (sourceObjects.length > 32)
      throw new GcsFailure(
        400,
        'invalid',
        'The number of source components provided exceeds the maximum (32)',
      )
    const parts = sourceObjects.map(source => this.#buckets.find(bucket, source.name, source.generation))
    for (const { resource } of parts) checkKey(request, resource)
    const componentCount = parts.reduce((sum, { resource }) => sum + (resource.componentCount ?? 1), 0)
    const bytes = Buffer.concat(parts.map(part => part.bytes))
    const given = { ...described(destination), componentCount, ...keyOf(request) }
    return json(describe(this.#buckets.put(bucket, name, bytes, given, conditionsOf(request.url))))
  }

  #rewrite(request: Request, [bucket, name, targetBucket, target]: string[]): Reply {
    const { bytes, resource } = this.#buckets.find(bucket!, name!)
    checkKey(request, resource, 'x-goog-copy-source-encryption-key-sha256')
    const given = { ...described(resource), ...keyOf(request) }
    const copied = this.#buckets.put(targetBucket!, target!, bytes, given, conditionsOf(request.url))
    return json({
      kind: 'storage#rewriteResponse',
      totalBytesRewritten: copied.size,
      objectSize: copied.size,
      done: true,
      resource: describe(copied),
    })
  }

  #upload(request: Request, bucket: string): Reply {
    const { url, headers, body } = request
    const type = url.searchParams.get('uploadType')
    const conditions = conditionsOf(url)
    if (type === 'media') {
      const name = url.searchParams.get('name') ?? ''
      const contentType = headers['content-type']
      const given = { ...(contentType === undefined ? {} : { contentType }), ...keyOf(request) }
      return json(describe(this.#buckets.put(bucket, name, body, given, conditions)))
    }
    if (type === 'multipart') {
      const { given, bytes } = splitMultipart(headers['content-type'] ?? '', body)
      const name = given.name ?? url.searchParams.get('name') ?? ''
      return json(
        describe(
          this.#buckets.put(bucket, name, bytes, { ...described(given), ...keyOf(request) }, conditions),
        ),
      )
    }
    const given = (body.length === 0 ? {} : JSON.parse(body.toString())) as NewObject & { name?: string }
    const name = url.searchParams.get('name') ?? given.name ?? ''
    const id = this.#uploads.begin(bucket, name, { ...described(given), ...keyOf(request) }, conditions)
    const location = `${request.origin}/upload/storage/v1/b/${encodeURIComponent(bucket)}/o?uploadType=resumable&upload_id=${id}`
    return { status: 200, headers: { location, 'x-guploader-uploadid': id } }
  }

  #chunk({ url, headers, body }: Request): Reply {
    const id = url.searchParams.get('upload_id') ?? ''
    const answer = this.#uploads.accept(id, headers['content-range'], body)
    if ('resource' in answer) return json(describe(answer.resource))
    const range: Record<string, string> =
      answer.keptBytes === 0 ? {} : { range: `bytes=0-${answer.keptBytes - 1}` }
    // what Google's Go client asks for
    return headers['x-guploader-no-308'] === 'yes'
      ? { status: 200, headers: { ...range, 'x-http-status-code-override': '308' } }
      : { status: 308, headers: range }
  }

  #cancel({ url }: Request): Reply {
    this.#uploads.cancel(url.searchParams.get('upload_id') ?? '')
    return { status: 499 }
  }
}

function describe(resource: ObjectResource): Record<string, unknown> {
  const { bucket, name, generation } = resource
  return { kind: 'storage#object', id: `${bucket}/${name}/${generation}`, ...resource }
}

function described({ contentType, metadata, md5Hash, crc32c }: NewObject = {}): NewObject {
  return {
    ...(contentType === undefined ? {} : { contentType }),
    ...(metadata === undefined ? {} : { metadata }),
    ...(md5Hash === undefined ? {} : { md5Hash }),
    ...(crc32c === undefined ? {} : { crc32c }),
  }
}

function conditionsOf(url: URL): Record<string, string | undefined> {
  const query = url.searchParams
  return {
    ifGenerationMatch: query.get('ifGenerationMatch') ?? undefined,
    ifGenerationNotMatch: query.get('ifGenerationNotMatch') ?? undefined,
  }
}

/** The hash of the customer's key that comes with a request, once it fits the key. */
function keySha256({ headers }: Request, name = 'x-goog-encryption-key-sha256'): string | undefined {
  const key = headers[name.replace('-sha256', '')]
  if (typeof key !== 'string') return undefined
  const sha256 = createHash('sha256').update(Buffer.from(key, 'base64')).digest('base64')
  if (sha256 !== headers[name])
    throw new GcsFailure(400, 'invalid', 'The SHA256 hash of the encryption key does not match.')
  return sha256
}

function keyOf(request: Request): NewObject {
  const sha256 = keySha256(request)
  return sha256 === undefined ? {} : { keySha256: sha256 }
}

function checkKey(request: Request, resource: ObjectResource, header?: string): void {
  const wanted = resource.customerEncryption?.keySha256
  const given = keySha256(request, header)
  if (wanted === given) return
  if (wanted === undefined) {
    throw new GcsFailure(
      400,
      'resourceNotEncryptedWithCustomerEncryptionKey',
      'The target object is not encrypted by a customer-supplied encryption key.',
    )
  }
  if (given === undefined) {
    throw new GcsFailure(
      400,
      'resourceIsEncryptedWithCustomerEncryptionKey',
      'The target object is encrypted by a customer-supplied encryption key.',
    )
  }
  throw new GcsFailure(403, 'customerEncryptionKeyIsIncorrect', 'The provided encryption key is incorrect.')
}

function json(value: unknown): Reply {
  return {
    status: 200,
    headers: { 'content-type': 'application/json; charset=UTF-8' },
    body: JSON.stringify(value),
  }
}

function failed({ status, reason, message }: GcsFailure): Reply {
  const errors = [{ message, domain: 'global', reason }]
  return { ...json({ error: { code: status, message, errors } }), status }
}
