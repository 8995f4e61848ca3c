import { createHash, createHmac } from 'node:crypto'

/** What signs a request, valid now. */
export interface SigningKeys {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly sessionToken?: string
}

/** Keys as a provider gives them. */
export interface ProvidedKeys extends SigningKeys {
  readonly endsMs?: number
}

/** A request before it is signed. */
export interface Unsigned {
  readonly method: string
  /** Encoded by `encodeKey`, beginning with `/`. */
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  /** Lower-case names, `host` included: all of them are signed. */
  readonly headers: Readonly<Record<string, string>>
  /** Hex SHA-256 of the body, or UNSIGNED-PAYLOAD. */
  readonly payloadHash: string
}

export interface SigningScope {
  readonly region: string
  readonly service: string
  readonly nowMs: number
}

export const UNSIGNED_PAYLOAD = 'UNSIGNED-PAYLOAD'
export const EMPTY_PAYLOAD_HASH: string = sha256Hex('')

/**
 * Signature Version 4 in the Authorization header, as AWS describes it ("Signature Calculations for the Authorization
 * Header"); returns the headers to send. Compared in the tests with the signatures of the AWS SDK.
 */
export function signRequest(
  request: Unsigned,
  keys: SigningKeys,
  scope: SigningScope,
): Record<string, string> {
  const time = new Date(scope.nowMs).toISOString().replace(/[-:]|\.\d+/g, '')
  const day = time.slice(0, 8)
  const headers: Record<string, string> = {
    ...request.headers,
    'x-amz-content-sha256': request.payloadHash,
    'x-amz-date': time,
    ...(keys.sessionToken === undefined ? {} : { 'x-amz-security-token': keys.sessionToken }),
  }
  const names = Object.keys(headers).sort()
  const signedNames = names.join(';')
  const canonical = [
    request.method,
    request.path,
    encodeQuery(request.query),
    ...names.map(name => `${name}:${headers[name]!.trim().replace(/ +/g, ' ')}`),
    '',
    signedNames,
    request.payloadHash,
  ].join('\n')
  const credentialScope = `${day}/${scope.region}/${scope.service}/aws4_request`
  const toSign = ['AWS4-HMAC-SHA256', time, credentialScope, sha256Hex(canonical)].join('\n')
  const signature = hmac(signingKey(keys.secretAccessKey, day, scope), toSign).toString('hex')
  headers['authorization'] =
    `AWS4-HMAC-SHA256 Credential=${keys.accessKeyId}/${credentialScope}, SignedHeaders=${signedNames}, Signature=${signature}`
  return headers
}

/** The query as it is sent and signed: sorted, every name with `=`. */
export function encodeQuery(query: Readonly<Record<string, string>>): string {
  return Object.entries(query)
    .map(([name, value]) => [encodeStrictly(name), encodeStrictly(value)] as const)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}=${value}`)
    .join('&')
}

/** A key as a path: everything but letters, digits, `-_.~` and `/` in percent. */
export function encodeKey(key: string): string {
  return key.split('/').map(encodeStrictly).join('/')
}

export function sha256Hex(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function encodeStrictly(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    each => `%${each.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

function hmac(key: string | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}

function signingKey(secret: string, day: string, { region, service }: SigningScope): Buffer {
  return hmac(hmac(hmac(hmac(`AWS4${secret}`, day), region), service), 'aws4_request')
}
