import { constants, generateKeyPairSync, randomBytes, verify } from 'node:crypto'
import { type Answer, type HttpService, startHttpService } from './http-service.ts'
import { WrappingKeys } from './key-wrapping.ts'

export interface YandexKmsServer extends HttpService {
  /** The key file of a service account that may use the keys. */
  readonly serviceAccount: string
  /** Wraps with a key, as `yc kms symmetric-crypto encrypt` does. */
  wrap(keyId: string, plain: Uint8Array): Buffer
}

const TOKEN = 'token of the test'
const AUDIENCE = 'https://iam.api.cloud.yandex.net/iam/v1/tokens'

/** Endpoints, IAM, the metadata service and KMS of Yandex Cloud over REST, for the keys `ids`. */
export async function startYandexKmsServer(...ids: string[]): Promise<YandexKmsServer> {
  const keys = new WrappingKeys(...ids)
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const isOfAccount = (jwt: string): boolean => {
    const [head = '', claims = '', signature = ''] = jwt.split('.')
    const parsed = JSON.parse(Buffer.from(claims, 'base64url').toString()) as Record<string, unknown>
    if (parsed['aud'] !== AUDIENCE || parsed['iss'] !== 'account-1') return false
    const key = { key: publicKey, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: 32 }
    return verify('sha256', Buffer.from(`${head}.${claims}`), key, Buffer.from(signature, 'base64url'))
  }
  let url = ''
  const service = await startHttpService((request, body): Answer => {
    const path = request.url ?? ''
    if (path === '/endpoints') {
      return success({ endpoints: ['kms-crypto', 'iam', 'metadata'].map(id => ({ id, address: url })) })
    }
    if (path === '/iam/v1/tokens') {
      return isOfAccount(JSON.parse(body).jwt) ? success({ iamToken: TOKEN }) : refusal(401)
    }
    if (path === '/computeMetadata/v1/instance/service-accounts/default/token') {
      return request.headers['metadata-flavor'] === 'Google' ? success({ access_token: TOKEN }) : refusal(403)
    }
    if (request.headers.authorization !== `Bearer ${TOKEN}`) return refusal(401)
    const [, keyId = '', verb] = /^\/kms\/v1\/keys\/([^:]+):(\w+)$/.exec(path) ?? []
    if (!keys.has(keyId)) return refusal(404)
    if (verb === 'generateDataKey') {
      const key = randomBytes(32)
      const wrapped = keys.wrap(keyId, key).toString('base64')
      return success({ keyId, dataKeyPlaintext: key.toString('base64'), dataKeyCiphertext: wrapped })
    }
    const plain = keys.unwrap(keyId, Buffer.from(JSON.parse(body).ciphertext, 'base64'))
    return plain === undefined ? refusal(400) : success({ keyId, plaintext: plain.toString('base64') })
  })
  url = service.url
  const pem = privateKey.export({ type: 'pkcs8', format: 'pem' })
  const account = {
    id: 'key-1',
    service_account_id: 'account-1',
    key_algorithm: 'RSA_2048',
    private_key: `PLEASE DO NOT REMOVE THIS LINE! Yandex.Cloud SA Key ID <key-1>\n${pem}`,
  }
  return {
    ...service,
    serviceAccount: JSON.stringify(account),
    wrap: (keyId, plain) => keys.wrap(keyId, plain),
  }
}

function success(body: unknown): Answer {
  return { status: 200, body }
}

function refusal(status: number): Answer {
  return { status, body: { code: status, message: 'refused' } }
}
