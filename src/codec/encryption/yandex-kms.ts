import { constants, sign } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { WalgError } from '../../kit/errors.ts'
import type { YandexAccess } from './description.ts'

const KMS_URL = 'https://kms.yandex'
const IAM_URL = 'https://iam.api.cloud.yandex.net'
const METADATA_URL = 'http://169.254.169.254'
const TOKEN_AUDIENCE = 'https://iam.api.cloud.yandex.net/iam/v1/tokens'
const TOKEN_SECONDS = 3600
/** Tokens last for hours; one is fetched anew long before. */
const TOKEN_KEPT_MS = 30 * 60_000
const REQUEST_TIMEOUT_MS = 20_000
const ATTEMPTS_MAX = 4
const SALT_BYTES = 32

/** The calls of Yandex KMS that are needed. */
export interface YandexKms {
  generateDataKey(): Promise<{ readonly key: Uint8Array; readonly wrapped: Uint8Array }>
  decrypt(wrapped: Uint8Array): Promise<Uint8Array>
}

interface Services {
  readonly kms: string
  readonly iam: string
  readonly metadata: string
}

/** Opens the REST interface of KMS for one key. */
export function openYandexKmsClient(keyId: string, access: YandexAccess): YandexKms {
  let services: Promise<Services> | undefined
  let token: { readonly text: Promise<string>; readonly untilMs: number } | undefined
  const call = async (verb: string, body: Record<string, string>): Promise<Record<string, unknown>> => {
    services ??= findServices(access.endpoint)
    const { kms, iam, metadata } = await services
    if (token === undefined || performance.now() > token.untilMs) {
      const text =
        access.serviceAccount === undefined
          ? machineToken(metadata)
          : accountToken(iam, access.serviceAccount)
      token = { text, untilMs: performance.now() + TOKEN_KEPT_MS }
    }
    const headers = { authorization: `Bearer ${await token.text}`, 'content-type': 'application/json' }
    const url = `${kms}/kms/v1/keys/${encodeURIComponent(keyId)}:${verb}`
    return request(
      url,
      { method: 'POST', headers, body: JSON.stringify(body) },
      `Yandex KMS (${verb}, key ${keyId})`,
    )
  }
  return {
    async generateDataKey() {
      const answer = await call('generateDataKey', { dataKeySpec: 'AES_256' })
      return { key: bytesOf(answer, 'dataKeyPlaintext'), wrapped: bytesOf(answer, 'dataKeyCiphertext') }
    },
    async decrypt(wrapped) {
      return bytesOf(
        await call('decrypt', { ciphertext: Buffer.from(wrapped).toString('base64') }),
        'plaintext',
      )
    },
  }
}

/** The services' own addresses, or those that an endpoint tells. */
async function findServices(endpoint: string | undefined): Promise<Services> {
  if (endpoint === undefined) return { kms: KMS_URL, iam: IAM_URL, metadata: METADATA_URL }
  const base = urlOf(endpoint)
  const { endpoints } = await request(`${base}/endpoints`, {}, `the endpoint "${endpoint}"`)
  const list = Array.isArray(endpoints) ? (endpoints as { id?: string; address?: string }[]) : []
  const addressOf = (id: string, otherwise: string): string => {
    const address = list.find(one => one.id === id)?.address
    return address === undefined ? otherwise : urlOf(address)
  }
  return {
    kms: addressOf('kms-crypto', KMS_URL),
    iam: addressOf('iam', IAM_URL),
    metadata: addressOf('metadata', METADATA_URL),
  }
}

function urlOf(address: string): string {
  const url = /^https?:\/\//.test(address) ? address : `https://${address.replace(/:443$/, '')}`
  return url.replace(/\/+$/, '')
}

async function machineToken(metadata: string): Promise<string> {
  const url = `${metadata}/computeMetadata/v1/instance/service-accounts/default/token`
  const answer = await request(
    url,
    { headers: { 'Metadata-Flavor': 'Google' } },
    'the metadata service of this machine',
  )
  return textOf(answer, 'access_token')
}

/** Exchanges a signed token of the service account for one of IAM. */
async function accountToken(iam: string, serviceAccount: string): Promise<string> {
  const account = JSON.parse(serviceAccount) as Record<string, string>
  const { id, service_account_id: issuer, private_key: text = '' } = account
  const issuedAt = Math.floor(Date.now() / 1000)
  const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
  const claims = { iss: issuer, aud: TOKEN_AUDIENCE, iat: issuedAt, exp: issuedAt + TOKEN_SECONDS }
  const signed = `${encode({ typ: 'JWT', alg: 'PS256', kid: id })}.${encode(claims)}`
  const key = text.slice(Math.max(0, text.indexOf('-----BEGIN')))
  const signature = sign('sha256', Buffer.from(signed), {
    key,
    padding: constants.RSA_PKCS1_PSS_PADDING,
    saltLength: SALT_BYTES,
  })
  const jwt = `${signed}.${signature.toString('base64url')}`
  const body = JSON.stringify({ jwt })
  const headers = { 'content-type': 'application/json' }
  return textOf(
    await request(`${iam}/iam/v1/tokens`, { method: 'POST', headers, body }, 'Yandex IAM'),
    'iamToken',
  )
}

/** One request with retries where they can help. No answer is ever quoted: it may hold a key. */
async function request(url: string, init: RequestInit, whose: string): Promise<Record<string, unknown>> {
  for (let attempt = 1; ; attempt++) {
    let failure: string
    try {
      const answer = await fetch(url, { ...init, signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) })
      if (answer.ok) return (await answer.json()) as Record<string, unknown>
      failure = `it answers ${answer.status}`
      if (answer.status < 500 && answer.status !== 429) throw refused(whose, answer.status)
    } catch (error) {
      if (error instanceof WalgError) throw error
      failure = error instanceof Error ? error.name : 'no answer'
    }
    if (attempt === ATTEMPTS_MAX) throw unavailable(whose, failure)
    await sleep(100 * 2 ** attempt)
  }
}

function refused(whose: string, status: number): WalgError {
  const isWrongKey = status === 400
  return new WalgError(
    isWrongKey ? 'DECRYPT_FAILED' : 'KEY_INVALID',
    `${whose} refuses: it answers ${status}`,
    {
      facts: { status },
      hint: 'check the id of the KEY, the service account and its role kms.keys.encrypterDecrypter',
    },
  )
}

function unavailable(whose: string, failure: string): WalgError {
  return new WalgError('STORAGE_UNAVAILABLE', `${whose} cannot be reached: ${failure}`)
}

function textOf(answer: Record<string, unknown>, name: string): string {
  const value = answer[name]
  if (typeof value === 'string' && value !== '') return value
  throw new WalgError('FORMAT_INVALID', `the answer of Yandex Cloud has no "${name}"`)
}

function bytesOf(answer: Record<string, unknown>, name: string): Uint8Array {
  return new Uint8Array(Buffer.from(textOf(answer, name), 'base64'))
}
