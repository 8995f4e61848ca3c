import { createHash } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { listObjects, OssBucket, type OssObject, refusal, unescapeXml } from './oss-bucket.ts'
import { pathOf, signatureTrouble, stsTrouble } from './oss-signatures.ts'

/**
 * A small Alibaba OSS, from the public documentation of its API: signatures of version 4 verified, objects, ranges,
 * multipart uploads, listings of version 2, deletes of many, copies, `x-oss-forbid-overwrite`, and AssumeRole of STS.
 */
export interface OssServer extends AsyncDisposable {
  readonly url: string
  readonly accessKeyId: string
  readonly accessKeySecret: string
  /** Makes a bucket and returns its name. */
  createBucket(): string
  bucket(name: string): OssBucket
  /** Every request so far, `PUT /bucket/key?query`. */
  readonly requests: readonly string[]
  /** Keys of an assumed role end after so long. */
  roleLifetimeMs: number
  /** How many keys STS has given. */
  readonly rolesAssumed: number
}

interface Secret {
  readonly secret: string
  readonly token?: string
  readonly endsMs?: number
}

const REGION = 'cn-test'

export async function startOssServer(): Promise<OssServer> {
  const accessKeyId = 'LTAI-test'
  const accessKeySecret = 'secret-of-the-test'
  const keys = new Map<string, Secret>([[accessKeyId, { secret: accessKeySecret }]])
  const buckets = new Map<string, OssBucket>()
  const requests: string[] = []
  const state = { roleLifetimeMs: 3_600_000, rolesAssumed: 0 }
  const server = createServer((request, response) => {
    void answer(request, response).catch(error => {
      response.destroy(error instanceof Error ? error : new Error(String(error)))
    })
  })

  async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await bodyOf(request)
    requests.push(`${request.method} ${request.url}`)
    if (request.method === 'POST' && request.url === '/') return send(response, assumeRole(body.toString()))
    const url = new URL(request.url ?? '/', 'http://oss')
    const [, bucketName = '', ...rest] = pathOf(request).split('/')
    const name = rest.join('/')
    const trouble = signatureTrouble(request, REGION, id => secretOf(id))
    if (trouble !== undefined) return send(response, refusal(403, trouble))
    const md5 = request.headers['content-md5']
    if (md5 !== undefined && md5 !== createHash('md5').update(body).digest('base64')) {
      return send(response, refusal(400, 'InvalidDigest'))
    }
    const bucket = buckets.get(bucketName)
    if (bucket === undefined) return send(response, refusal(404, 'NoSuchBucket'))
    const query = url.searchParams
    if (name === '') return send(response, onBucket(bucket, request, query, body))
    send(response, onObject(bucket, name, request, query, body), request.method === 'HEAD')
  }

  function secretOf(id: string): Secret | undefined {
    const found = keys.get(id)
    return found?.endsMs !== undefined && found.endsMs < Date.now() ? undefined : found
  }

  function assumeRole(form: string): Answer {
    const trouble = stsTrouble(form, keys)
    if (trouble !== undefined)
      return { status: 403, body: JSON.stringify({ Code: trouble, Message: trouble }) }
    const id = `STS.${++state.rolesAssumed}`
    const given = {
      secret: crypto.randomUUID(),
      token: crypto.randomUUID(),
      endsMs: Date.now() + state.roleLifetimeMs,
    }
    keys.set(id, given)
    const Credentials = {
      AccessKeyId: id,
      AccessKeySecret: given.secret,
      SecurityToken: given.token,
      Expiration: new Date(given.endsMs).toISOString(),
    }
    return { status: 200, body: JSON.stringify({ Credentials }) }
  }

  function onBucket(
    bucket: OssBucket,
    request: IncomingMessage,
    query: URLSearchParams,
    body: Buffer,
  ): Answer {
    if (request.method === 'GET' && query.get('list-type') === '2') {
      return { status: 200, body: listObjects(bucket, query) }
    }
    if (request.method === 'POST' && query.has('delete')) {
      if (request.headers['content-md5'] === undefined) return refusal(400, 'MissingArgument')
      for (const [, key = ''] of body.toString().matchAll(/<Key>(.*?)<\/Key>/gs))
        bucket.objects.delete(unescapeXml(key))
      return { status: 200, body: '' }
    }
    return refusal(405, 'MethodNotAllowed')
  }

  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('no port')
  return {
    url: `http://127.0.0.1:${address.port}`,
    accessKeyId,
    accessKeySecret,
    requests,
    createBucket() {
      const name = `walg-${crypto.randomUUID()}`
      buckets.set(name, new OssBucket())
      return name
    },
    bucket: name => buckets.get(name) ?? new OssBucket(),
    get roleLifetimeMs() {
      return state.roleLifetimeMs
    },
    set roleLifetimeMs(ms) {
      state.roleLifetimeMs = ms
    },
    get rolesAssumed() {
      return state.rolesAssumed
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
}

export interface Answer {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer
}

function send(response: ServerResponse, { status, headers = {}, body = '' }: Answer, isHead = false): void {
  const bytes = typeof body === 'string' ? Buffer.from(body) : body
  response.writeHead(status, {
    'content-length': String(bytes.length),
    'x-oss-request-id': 'test',
    ...headers,
  })
  response.end(isHead ? undefined : bytes)
}

function onObject(
  bucket: OssBucket,
  name: string,
  request: IncomingMessage,
  query: URLSearchParams,
  body: Buffer,
): Answer {
  const uploadId = query.get('uploadId')
  const mayOverwrite = request.headers['x-oss-forbid-overwrite'] !== 'true' || !bucket.objects.has(name)
  if (request.method === 'GET' || request.method === 'HEAD') return onRead(bucket.objects.get(name), request)
  if (request.method === 'DELETE') {
    if (uploadId === null) bucket.objects.delete(name)
    else bucket.uploads.delete(uploadId)
    return { status: 204 }
  }
  if (request.method === 'POST' && query.has('uploads')) {
    if (!mayOverwrite) return refusal(409, 'FileAlreadyExists')
    return {
      status: 200,
      body: `<InitiateMultipartUploadResult><UploadId>${bucket.begin(name, metadataOf(request))}</UploadId></InitiateMultipartUploadResult>`,
    }
  }
  const source = request.headers['x-oss-copy-source']
  if (request.method === 'PUT' && typeof source === 'string')
    return onCopy(bucket, name, source, request, query)
  if (request.method === 'PUT' && uploadId !== null) {
    const etag = bucket.putPart(uploadId, Number(query.get('partNumber')), body)
    return etag === undefined ? refusal(404, 'NoSuchUpload') : { status: 200, headers: { etag } }
  }
  if (request.method === 'POST' && uploadId !== null) {
    if (!bucket.uploads.has(uploadId)) return refusal(404, 'NoSuchUpload')
    if (!mayOverwrite) return refusal(409, 'FileAlreadyExists')
    const made = bucket.complete(uploadId, name, body.toString())
    return made === undefined
      ? refusal(400, 'InvalidPart')
      : { status: 200, headers: { etag: made.etag }, body: '<CompleteMultipartUploadResult/>' }
  }
  if (request.method !== 'PUT') return refusal(405, 'MethodNotAllowed')
  if (!mayOverwrite) return refusal(409, 'FileAlreadyExists')
  return { status: 200, headers: { etag: bucket.put(name, body, metadataOf(request)).etag } }
}

function onRead(object: OssObject | undefined, request: IncomingMessage): Answer {
  if (object === undefined) return refusal(404, 'NoSuchKey')
  if (request.headers['if-match'] !== undefined && request.headers['if-match'] !== object.etag) {
    return refusal(412, 'PreconditionFailed')
  }
  const headers = {
    ...object.metadata,
    etag: object.etag,
    'last-modified': new Date(object.modifiedMs).toUTCString(),
  }
  if (request.method === 'HEAD') {
    return { status: 200, headers: { ...headers, 'content-length': String(object.bytes.length) } }
  }
  const match = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '')
  if (match === null) return { status: 200, headers, body: object.bytes }
  const first = Number(match[1])
  const end = match[2] === '' ? object.bytes.length : Math.min(Number(match[2]) + 1, object.bytes.length)
  if (first >= object.bytes.length) {
    // without this header the real one sends everything
    const isStandard = request.headers['x-oss-range-behavior'] === 'standard'
    return isStandard ? refusal(416, 'InvalidRange') : { status: 200, headers, body: object.bytes }
  }
  const range = `bytes ${first}-${end - 1}/${object.bytes.length}`
  return {
    status: 206,
    headers: { ...headers, 'content-range': range },
    body: object.bytes.subarray(first, end),
  }
}

function onCopy(
  bucket: OssBucket,
  name: string,
  source: string,
  request: IncomingMessage,
  query: URLSearchParams,
): Answer {
  const from = bucket.objects.get(decodeURIComponent(source.split('/').slice(2).join('/')))
  if (from === undefined) return refusal(404, 'NoSuchKey')
  const uploadId = query.get('uploadId')
  if (uploadId === null) {
    bucket.put(name, from.bytes, from.metadata)
    return { status: 200, body: `<CopyObjectResult><ETag>${from.etag}</ETag></CopyObjectResult>` }
  }
  const [, first = '0', last = '0'] =
    /^bytes=(\d+)-(\d+)$/.exec(String(request.headers['x-oss-copy-source-range'])) ?? []
  const etag = bucket.putPart(
    uploadId,
    Number(query.get('partNumber')),
    from.bytes.subarray(Number(first), Number(last) + 1),
  )
  if (etag === undefined) return refusal(404, 'NoSuchUpload')
  return {
    status: 200,
    body: `<CopyPartResult><ETag>${etag.replaceAll('"', '&quot;')}</ETag></CopyPartResult>`,
  }
}

async function bodyOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

function metadataOf(request: IncomingMessage): Record<string, string> {
  const headers = Object.entries(request.headers).filter(([name]) => name.startsWith('x-oss-meta-'))
  return Object.fromEntries(headers.map(([name, value]) => [name, String(value)]))
}
