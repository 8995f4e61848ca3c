import { createHash, createHmac, randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { SignatureV4 } from '@smithy/signature-v4'

/** A request as the store saw it. */
export interface S3Seen {
  readonly method: string
  /** Key in the bucket, decoded; `''` for the bucket. */
  readonly key: string
  readonly query: URLSearchParams
  readonly headers: Readonly<Record<string, string>>
  readonly body: Buffer
}

export interface S3Object {
  readonly body: Buffer
  readonly etag: string
  readonly headers: Readonly<Record<string, string>>
  readonly modifiedMs: number
}

export interface S3Double {
  readonly url: string
  readonly bucket: string
  readonly requests: S3Seen[]
  readonly objects: Map<string, S3Object>
  /** Multipart uploads that were begun and neither completed nor aborted: id -> key. */
  readonly uploads: Map<
    string,
    { readonly key: string; readonly parts: Map<number, S3Object>; readonly initiatedMs: number }
  >
  /** Keys that are accepted now: access key -> secret (and token, when one must come with it). */
  readonly keys: Map<string, { readonly secret: string; readonly token?: string }>
  /** Answers instead of the store; undefined: the store answers. */
  intercept: ((request: S3Seen) => S3Reply | undefined) | undefined
  settings(): Record<string, string>
  close(): Promise<void>
}

export interface S3Reply {
  readonly status: number
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Buffer
}

/**
 * A small S3 of our own, for what the real server of the tests does not have (conditional puts, encryption headers,
 * object lock, uploads without a smallest part) and for watching requests. Signatures are checked by the AWS SDK's code.
 */
export async function startS3Double(
  options: { readonly bucket?: string; readonly tls?: { readonly cert: string; readonly key: string } } = {},
): Promise<S3Double> {
  const bucket = options.bucket ?? 'backups'
  const { tls } = options
  const listener = (request: IncomingMessage, response: ServerResponse): void =>
    void serve(double, request, response)
  const server = tls === undefined ? createServer(listener) : createTlsServer(tls, listener)
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  const double: S3Double = {
    url: `${tls === undefined ? 'http' : 'https'}://127.0.0.1:${port}`,
    bucket,
    requests: [],
    objects: new Map(),
    uploads: new Map(),
    keys: new Map([['AKIDTEST', { secret: 'secret-of-the-tests' }]]),
    intercept: undefined,
    settings: () => ({
      WALG_S3_PREFIX: `s3://${bucket}/main`,
      AWS_ENDPOINT: double.url,
      AWS_REGION: 'us-east-1',
      AWS_ACCESS_KEY_ID: 'AKIDTEST',
      AWS_SECRET_ACCESS_KEY: 'secret-of-the-tests',
    }),
    async close() {
      server.closeAllConnections()
      await new Promise(resolve => server.close(resolve))
    },
  }
  return double
}

async function serve(double: S3Double, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const url = new URL(request.url ?? '/', double.url)
  const path = url.pathname.split('/').slice(2).join('/')
  const seen: S3Seen = {
    method: request.method ?? 'GET',
    key: decodeURIComponent(path),
    query: url.searchParams,
    headers: request.headers as Record<string, string>,
    body: Buffer.concat(chunks),
  }
  double.requests.push(seen)
  let reply: S3Reply
  try {
    reply = double.intercept?.(seen) ?? (await refusal(double, seen, url)) ?? answer(double, seen, url)
  } catch (failure) {
    reply = error(500, 'InternalError', String(failure))
  }
  const body = Buffer.from(reply.body ?? '')
  response.writeHead(reply.status, {
    'content-length': String(body.length),
    'x-amz-request-id': 'r-1',
    ...reply.headers,
  })
  response.end(seen.method === 'HEAD' ? undefined : body)
}

/** Why a request is not let in. */
async function refusal(double: S3Double, seen: S3Seen, url: URL): Promise<S3Reply | undefined> {
  const authorization = seen.headers['authorization'] ?? ''
  const [, id = '', day = '', region = ''] =
    /Credential=([^/]+)\/(\d+)\/([^/]+)\/s3/.exec(authorization) ?? []
  const known = double.keys.get(id)
  if (known === undefined) return error(403, 'InvalidAccessKeyId', `no key ${id} ${day}`)
  if (known.token !== seen.headers['x-amz-security-token'])
    return error(400, 'ExpiredToken', 'The token has expired')
  const names = /SignedHeaders=([^,]+)/.exec(authorization)?.[1]?.split(';') ?? []
  const payloadHash = seen.headers['x-amz-content-sha256'] ?? ''
  if (payloadHash !== 'UNSIGNED-PAYLOAD' && payloadHash !== sha256(seen.body)) {
    return error(400, 'XAmzContentSHA256Mismatch', 'the hash is not that of the body')
  }
  const signer = new SignatureV4({
    credentials: { accessKeyId: id, secretAccessKey: known.secret },
    region,
    service: 's3',
    uriEscapePath: false,
    applyChecksum: false,
    sha256: Sha256,
  })
  const time = seen.headers['x-amz-date'] ?? ''
  const date = new Date(time.replace(/^(....)(..)(..T..)(..)(..Z)$/, '$1-$2-$3:$4:$5'))
  const signed = await signer.sign(
    {
      method: seen.method,
      protocol: 'http:',
      hostname: url.hostname,
      path: url.pathname,
      query: Object.fromEntries(seen.query),
      headers: Object.fromEntries(names.map(name => [name, seen.headers[name] ?? ''])),
    },
    { signingDate: date },
  )
  if (signed.headers['authorization'] !== authorization)
    return error(403, 'SignatureDoesNotMatch', 'wrong signature')
  const md5 = seen.headers['content-md5']
  if (md5 !== undefined && md5 !== createHash('md5').update(seen.body).digest('base64')) {
    return error(400, 'BadDigest', 'the MD5 is not that of the body')
  }
  return url.pathname.split('/')[1] === double.bucket
    ? undefined
    : error(404, 'NoSuchBucket', 'no such bucket')
}

function answer(double: S3Double, seen: S3Seen, url: URL): S3Reply {
  const { method, key, query } = seen
  if (key === '') return answerForBucket(double, seen, url)
  const uploadId = query.get('uploadId')
  if (query.has('uploads')) return begin(double, seen)
  if (uploadId !== null) return answerForUpload(double, seen, uploadId)
  if (method === 'PUT') return put(double, seen)
  if (method === 'DELETE') {
    double.objects.delete(key)
    return { status: 204 }
  }
  return get(double, seen)
}

function put(double: S3Double, seen: S3Seen): S3Reply {
  const source = seen.headers['x-amz-copy-source']
  if (seen.headers['if-none-match'] === '*' && double.objects.has(seen.key)) {
    return error(412, 'PreconditionFailed', 'it is there')
  }
  const copied = source === undefined ? undefined : sourceOf(double, source)
  if (source !== undefined && copied === undefined) return error(404, 'NoSuchKey', 'no source')
  const object = objectOf(copied?.body ?? seen.body, seen)
  double.objects.set(seen.key, object)
  return source === undefined
    ? { status: 200, headers: { etag: object.etag } }
    : xml(`<CopyObjectResult><ETag>${object.etag}</ETag></CopyObjectResult>`)
}

function get(double: S3Double, { method, key, headers }: S3Seen): S3Reply {
  const object = double.objects.get(key)
  if (object === undefined) return error(404, 'NoSuchKey', 'The specified key does not exist.')
  const wanted = headers['if-match']
  if (wanted !== undefined && wanted !== object.etag)
    return error(412, 'PreconditionFailed', 'another object')
  const common = {
    etag: object.etag,
    'last-modified': new Date(object.modifiedMs).toUTCString(),
    ...Object.fromEntries(Object.entries(object.headers).filter(([name]) => name.startsWith('x-amz-meta-'))),
  }
  if (object.headers['x-amz-storage-class'] === 'GLACIER' && method === 'GET') {
    return error(403, 'InvalidObjectState', "The operation is not valid for the object's storage class")
  }
  const [, first, last] = /^bytes=(\d+)-(\d*)$/.exec(headers['range'] ?? '') ?? []
  if (method === 'HEAD')
    return { status: 200, headers: { ...common, 'content-length': String(object.body.length) } }
  if (first === undefined) return { status: 200, headers: common, body: object.body }
  if (Number(first) >= object.body.length) return error(416, 'InvalidRange', 'beyond the end')
  const end = last === '' ? object.body.length : Math.min(object.body.length, Number(last) + 1)
  const range = `bytes ${first}-${end - 1}/${object.body.length}`
  return {
    status: 206,
    headers: { ...common, 'content-range': range },
    body: object.body.subarray(Number(first), end),
  }
}

function begin(double: S3Double, seen: S3Seen): S3Reply {
  const id = randomUUID()
  const upload = {
    key: seen.key,
    parts: new Map<number, S3Object>(),
    initiatedMs: Date.now(),
    headers: seen.headers,
  }
  double.uploads.set(id, upload)
  return xml(`<InitiateMultipartUploadResult><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`)
}

function answerForUpload(double: S3Double, seen: S3Seen, id: string): S3Reply {
  const upload = double.uploads.get(id)
  if (upload === undefined) return error(404, 'NoSuchUpload', 'no such upload')
  if (seen.method === 'DELETE') {
    double.uploads.delete(id)
    return { status: 204 }
  }
  if (seen.method === 'PUT') {
    const source = seen.headers['x-amz-copy-source']
    const [, first, last] = /^bytes=(\d+)-(\d+)$/.exec(seen.headers['x-amz-copy-source-range'] ?? '') ?? []
    const body =
      source === undefined
        ? seen.body
        : sourceOf(double, source)!.body.subarray(Number(first), Number(last) + 1)
    const part = objectOf(body, seen)
    upload.parts.set(Number(seen.query.get('partNumber')), part)
    return source === undefined
      ? { status: 200, headers: { etag: part.etag } }
      : xml(`<CopyPartResult><ETag>${part.etag}</ETag></CopyPartResult>`)
  }
  if (seen.headers['if-none-match'] === '*' && double.objects.has(upload.key)) {
    return error(412, 'PreconditionFailed', 'it is there')
  }
  const named = [...seen.body.toString().matchAll(/<PartNumber>(\d+)<\/PartNumber>\s*<ETag>(.*?)<\/ETag>/g)]
  const parts = named.map(([, number, etag]) => {
    const part = upload.parts.get(Number(number))
    return part?.etag === etag!.replaceAll('&#34;', '"') ? part.body : undefined
  })
  if (parts.length === 0 || parts.includes(undefined)) return error(400, 'InvalidPart', 'a part is wrong')
  double.uploads.delete(id)
  const { headers } = upload as unknown as { headers: Record<string, string> }
  double.objects.set(upload.key, objectOf(Buffer.concat(parts as Buffer[]), { ...seen, headers }))
  return xml('<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>')
}

function answerForBucket(double: S3Double, seen: S3Seen, url: URL): S3Reply {
  if (seen.query.has('delete')) {
    if (seen.headers['content-md5'] === undefined) return error(400, 'InvalidRequest', 'Missing Content-MD5')
    for (const [, key] of seen.body.toString().matchAll(/<Key>(.*?)<\/Key>/gs))
      double.objects.delete(decodeXml(key!))
    return xml('<DeleteResult></DeleteResult>')
  }
  if (seen.query.has('uploads')) {
    const entries = [...double.uploads].map(
      ([id, { key, initiatedMs }]) =>
        `<Upload><Key>${encodeURIComponent(key)}</Key><UploadId>${id}</UploadId><Initiated>${new Date(initiatedMs).toISOString()}</Initiated></Upload>`,
    )
    return xml(
      `<ListMultipartUploadsResult><EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>${entries.join('')}</ListMultipartUploadsResult>`,
    )
  }
  return list(double, url)
}

function list(double: S3Double, { searchParams: query }: URL): S3Reply {
  const prefix = query.get('prefix') ?? ''
  const delimiter = query.get('delimiter') ?? ''
  const after = query.get('continuation-token') ?? query.get('marker') ?? ''
  const limit = Number(query.get('max-keys') ?? 1000)
  const keys = [...double.objects.keys()].filter(key => key.startsWith(prefix)).sort()
  const names = new Set(
    keys.map(key => {
      const slash = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length)
      return slash === -1 ? key : key.slice(0, slash + 1)
    }),
  )
  const page = [...names].filter(name => name > after)
  const shown = page.slice(0, limit)
  const entries = shown.map(name => {
    const object = double.objects.get(name)
    if (object === undefined)
      return `<CommonPrefixes><Prefix>${encodeURIComponent(name)}</Prefix></CommonPrefixes>`
    return `<Contents><Key>${encodeURIComponent(name)}</Key><LastModified>${new Date(object.modifiedMs).toISOString()}</LastModified><Size>${object.body.length}</Size></Contents>`
  })
  const next = page.length > limit ? `<NextContinuationToken>${shown.at(-1)}</NextContinuationToken>` : ''
  return xml(
    `<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>${page.length > limit}</IsTruncated>${next}${entries.join('')}</ListBucketResult>`,
  )
}

function sourceOf(double: S3Double, source: string): S3Object | undefined {
  return double.objects.get(decodeURIComponent(source.split('/').slice(2).join('/')))
}

function objectOf(body: Buffer, { headers }: Pick<S3Seen, 'headers'>): S3Object {
  const etag = `"${createHash('md5').update(body).digest('hex')}"`
  return { body: Buffer.from(body), etag, headers, modifiedMs: Math.floor(Date.now() / 1000) * 1000 }
}

export function error(status: number, code: string, message: string): S3Reply {
  return xml(
    `<Error><Code>${code}</Code><Message>${message}</Message><RequestId>r-1</RequestId></Error>`,
    status,
  )
}

function xml(text: string, status = 200): S3Reply {
  return { status, headers: { 'content-type': 'application/xml' }, body: `<?xml version="1.0"?>\n${text}` }
}

function decodeXml(text: string): string {
  return text.replace(/&#(\d+);/g, (_, code) => String.fromCharCode(Number(code)))
}

function sha256(body: Buffer): string {
  return createHash('sha256').update(body).digest('hex')
}

class Sha256 {
  readonly #hash: ReturnType<typeof createHash>
  constructor(key?: string | ArrayBuffer | ArrayBufferView) {
    this.#hash =
      key === undefined
        ? createHash('sha256')
        : (createHmac('sha256', key as string | NodeJS.ArrayBufferView) as never)
  }
  update(data: string | ArrayBufferView): void {
    this.#hash.update(data as string)
  }
  async digest(): Promise<Uint8Array> {
    return this.#hash.digest()
  }
}
