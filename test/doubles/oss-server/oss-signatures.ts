import { createHash, createHmac, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'

export interface KnownSecret {
  readonly secret: string
  readonly token?: string
}

/** Why a request is refused, as a code of the service; undefined when its signature of version 4 is right. */
export function signatureTrouble(
  request: IncomingMessage,
  region: string,
  secretOf: (id: string) => KnownSecret | undefined,
): string | undefined {
  const match =
    /^OSS4-HMAC-SHA256 Credential=([^/]+)\/([^,]+),(?:AdditionalHeaders=([^,]*),)?Signature=([0-9a-f]{64})$/.exec(
      request.headers.authorization ?? '',
    )
  if (match === null) return 'AccessDenied'
  const [, id = '', scope = '', additional = '', signature = ''] = match
  const known = secretOf(id)
  if (known === undefined) return id.startsWith('STS.') ? 'SecurityTokenExpired' : 'InvalidAccessKeyId'
  const time = String(request.headers['x-oss-date'])
  if (scope !== `${time.slice(0, 8)}/${region}/oss/aliyun_v4_request`) return 'SignatureDoesNotMatch'
  const atMs = Date.parse(time.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, '$1-$2-$3T$4:$5:$6Z'))
  if (!(Math.abs(atMs - Date.now()) < 15 * 60_000)) return 'RequestTimeTooSkewed'
  if (known.token !== undefined && request.headers['x-oss-security-token'] !== known.token)
    return 'InvalidSecurityToken'
  const hash = createHash('sha256').update(canonical(request, additional)).digest('hex')
  const keyParts = [...scope.split('/'), `OSS4-HMAC-SHA256\n${time}\n${scope}\n${hash}`]
  let key: Buffer = Buffer.from(`aliyun_v4${known.secret}`)
  for (const part of keyParts) key = createHmac('sha256', key).update(part).digest()
  return timingSafeEqual(key, Buffer.from(signature, 'hex')) ? undefined : 'SignatureDoesNotMatch'
}

/** `/bucket/name`, decoded; the bucket may be a part of the host's name. */
export function pathOf(request: IncomingMessage): string {
  const path = decodeURIComponent((request.url ?? '').split('?')[0] ?? '')
  const bucket = /^([^.:]+)\.oss-/.exec(request.headers.host ?? '')?.[1]
  return bucket === undefined ? path : `/${bucket}${path}`
}

/** The request as the service sees it: decoded, and encoded by its own rules. */
function canonical(request: IncomingMessage, additional: string): string {
  const query = (request.url ?? '').split('?')[1] ?? ''
  const headers = Object.entries(request.headers)
    .filter(
      ([name]) => /^(content-type|content-md5|x-oss-.*)$/.test(name) || additional.split(';').includes(name),
    )
    .sort(([a], [b]) => (a < b ? -1 : 1))
  const parameters = query
    .split('&')
    .filter(part => part !== '')
    .map(part => part.split('=').map(half => encoded(decodeURIComponent(half))))
    .map(([name, value = '']) => (value === '' ? name : `${name}=${value}`))
  return [
    request.method,
    pathOf(request).split('/').map(encoded).join('/'),
    parameters.sort().join('&'),
    headers.map(([name, value]) => `${name}:${String(value).trim()}\n`).join(''),
    additional,
    request.headers['x-oss-content-sha256'] ?? 'UNSIGNED-PAYLOAD',
  ].join('\n')
}

function encoded(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, c => `%${c.charCodeAt(0).toString(16).toUpperCase()}`)
}

/** Why STS refuses to give the key of a role. */
export function stsTrouble(form: string, keys: ReadonlyMap<string, KnownSecret>): string | undefined {
  const parameters = form.split('&').filter(part => !part.startsWith('Signature='))
  const query = new URLSearchParams(form)
  const known = keys.get(query.get('AccessKeyId') ?? '')
  if (known === undefined) return 'InvalidAccessKeyId.NotFound'
  const text = `POST&%2F&${encoded(parameters.sort().join('&'))}`
  const wanted = createHmac('sha1', `${known.secret}&`).update(text).digest('base64')
  if (query.get('Signature') !== wanted) return 'SignatureDoesNotMatch'
  if (query.get('Action') !== 'AssumeRole' || query.get('Version') !== '2015-04-01')
    return 'InvalidAction.NotFound'
  return /^acs:ram::\d+:role\/.+/.test(query.get('RoleArn') ?? '') ? undefined : 'EntityNotExist.Role'
}
