import { createHash, createHmac } from 'node:crypto'
import type { OssKey } from './description.ts'

export interface OssRequestToSign {
  readonly method: string
  readonly bucket: string
  /** Absent: a request on the bucket. */
  readonly name?: string
  readonly query: Readonly<Record<string, string>>
  /** Lower-case names; all of `content-md5`, `content-type` and `x-oss-…` are signed. */
  readonly headers: Readonly<Record<string, string>>
}

/**
 * The headers that sign a request, version 4 (Alibaba Cloud, "Include a V4 signature in the Authorization header"). The
 * body is not signed: Content-MD5 is, where there is a body.
 */
export function signedHeaders(
  request: OssRequestToSign,
  key: OssKey,
  region: string,
  nowMs: number = Date.now(),
): Record<string, string> {
  const time = `${new Date(nowMs).toISOString().replace(/[-:]|\.\d+/g, '')}`
  const headers: Record<string, string> = {
    ...request.headers,
    'x-oss-date': time,
    'x-oss-content-sha256': 'UNSIGNED-PAYLOAD',
    ...(key.sessionToken === undefined ? {} : { 'x-oss-security-token': key.sessionToken }),
  }
  const scope = `${time.slice(0, 8)}/${region}/oss/aliyun_v4_request`
  const hash = createHash('sha256')
    .update(canonicalRequest({ ...request, headers }))
    .digest('hex')
  const text = `OSS4-HMAC-SHA256\n${time}\n${scope}\n${hash}`
  const signature = hmac(signingKey(key.accessKeySecret, scope), text).toString('hex')
  headers['authorization'] = `OSS4-HMAC-SHA256 Credential=${key.accessKeyId}/${scope},Signature=${signature}`
  return headers
}

/** The text whose hash is signed. */
export function canonicalRequest({ method, bucket, name, query, headers }: OssRequestToSign): string {
  const signed = Object.entries(headers)
    .filter(
      ([header]) => header === 'content-type' || header === 'content-md5' || header.startsWith('x-oss-'),
    )
    .sort(([a], [b]) => (a < b ? -1 : 1))
  return [
    method,
    encodePath(`/${bucket}/${name ?? ''}`),
    canonicalQuery(query),
    signed.map(([header, value]) => `${header}:${value.trim()}\n`).join(''),
    '',
    'UNSIGNED-PAYLOAD',
  ].join('\n')
}

/** Sorted, encoded; a parameter without a value has no `=`. It is sent as it is signed. */
export function canonicalQuery(query: Readonly<Record<string, string>>): string {
  return Object.entries(query)
    .map(([name, value]) =>
      value === '' ? encodeStrictly(name) : `${encodeStrictly(name)}=${encodeStrictly(value)}`,
    )
    .sort()
    .join('&')
}

/** The key of a day, a region and this service. */
export function signingKey(secret: string, scope: string): Buffer {
  return scope.split('/').reduce<Buffer>((key, part) => hmac(key, part), Buffer.from(`aliyun_v4${secret}`))
}

export function encodePath(path: string): string {
  return path.split('/').map(encodeStrictly).join('/')
}

/** Everything but letters, digits and `-_.~` (RFC 3986). */
export function encodeStrictly(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    letter => `%${letter.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}
