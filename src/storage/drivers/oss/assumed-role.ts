import { createHmac, randomUUID } from 'node:crypto'
import { WalgError } from '../../../kit/errors.ts'
import { refusedRequest, sendRequest, textOf, verdictOfStatus } from '../../requests/http.ts'
import type { OssCredentials, OssKey } from './description.ts'
import { encodeStrictly } from './signature.ts'

const LIFETIME_S = 3600
/** A key that ends so soon is replaced: requests under way must not outlive it. */
const REPLACED_BEFORE_MS = 5 * 60 * 1000

/** The key to sign with: the one that was given, or that of a role, renewed before it ends. */
export class OssKeys {
  readonly #credentials: OssCredentials
  readonly #storage: string
  #assumed: Promise<{ readonly key: OssKey; readonly endsMs: number }> | undefined

  constructor(credentials: OssCredentials, storage: string) {
    this.#credentials = credentials
    this.#storage = storage
  }

  async current(signal: AbortSignal): Promise<OssKey> {
    if (this.#credentials.role === undefined) return this.#credentials
    const known = await this.#assumed
    if (known !== undefined && known.endsMs - Date.now() > REPLACED_BEFORE_MS) return known.key
    const asked = this.#assume(signal)
    this.#assumed = asked
    asked.catch(() => {
      if (this.#assumed === asked) this.#assumed = undefined
    })
    return (await asked).key
  }

  /** AssumeRole of STS (version 2015-04-01), signed by its own older scheme. */
  async #assume(signal: AbortSignal): Promise<{ key: OssKey; endsMs: number }> {
    const { role, accessKeySecret } = this.#credentials
    if (role === undefined) throw new Error('no role')
    const query = assumeRoleQuery(this.#credentials, new Date())
    const signature = createHmac('sha1', `${accessKeySecret}&`)
      .update(`POST&%2F&${encodeStrictly(query)}`)
      .digest('base64')
    const answer = await sendRequest({
      method: 'POST',
      url: `${role.endpoint}/`,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: `${query}&Signature=${encodeStrictly(signature)}`,
      signal,
    })
    const text = await textOf(answer, signal)
    if (!answer.ok) {
      const reason = /"Message"\s*:\s*"([^"]*)"/.exec(text)?.[1] ?? ''
      const refusal = { status: answer.status, reason, retryAfter: answer.headers.get('retry-after') }
      const isFinal = answer.status < 500 && answer.status !== 429
      const hint = 'see OSS_ROLE_ARN, and whether the access key may assume that role'
      throw refusedRequest(
        refusal,
        isFinal ? { code: 'ACCESS_DENIED', hint } : verdictOfStatus(answer.status),
        'assume the role',
        {
          storage: this.#storage,
          role: role.arn,
        },
      )
    }
    return readAnswer(text, this.#storage)
  }
}

/** The parameters of the request, sorted as they are signed. */
function assumeRoleQuery({ accessKeyId, sessionToken, role }: OssCredentials, now: Date): string {
  const parameters: Record<string, string> = {
    AccessKeyId: accessKeyId,
    Action: 'AssumeRole',
    DurationSeconds: String(LIFETIME_S),
    Format: 'JSON',
    RoleArn: role?.arn ?? '',
    RoleSessionName: role?.sessionName ?? '',
    ...(sessionToken === undefined ? {} : { SecurityToken: sessionToken }),
    SignatureMethod: 'HMAC-SHA1',
    SignatureNonce: randomUUID(),
    SignatureVersion: '1.0',
    Timestamp: now.toISOString().replace(/\.\d+/, ''),
    Version: '2015-04-01',
  }
  return Object.entries(parameters)
    .map(([name, value]) => `${encodeStrictly(name)}=${encodeStrictly(value)}`)
    .sort()
    .join('&')
}

function readAnswer(text: string, storage: string): { key: OssKey; endsMs: number } {
  const answer = JSON.parse(text) as {
    readonly Credentials?: Readonly<
      Record<'AccessKeyId' | 'AccessKeySecret' | 'SecurityToken' | 'Expiration', string>
    >
  }
  const given = answer.Credentials
  if (given === undefined) {
    throw new WalgError('ACCESS_DENIED', `STS gave no key for storage "${storage}"`, { facts: { storage } })
  }
  return {
    key: {
      accessKeyId: given.AccessKeyId,
      accessKeySecret: given.AccessKeySecret,
      sessionToken: given.SecurityToken,
    },
    endsMs: Date.parse(given.Expiration) || Date.now() + LIFETIME_S * 1000,
  }
}
