import { expect, test } from 'bun:test'
import { createVerify, generateKeyPairSync } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { GcsCredentials } from '../../src/storage/drivers/gcs/description.ts'
import { startGcsServer } from '../doubles/gcs-server/gcs-server.ts'
import { startHttpService } from '../doubles/kms/http-service.ts'
import { gcsDescription, openGcs } from '../support/servers/gcs.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { expectCode, getText, putText } from './storage-support.ts'

const SCOPE = 'https://www.googleapis.com/auth/devstorage.read_write'

async function storeWith(
  credentials: GcsCredentials,
  admits: (authorization: string | undefined) => boolean,
): Promise<number> {
  const server = await startGcsServer({ admits })
  const storage = openGcs({ ...gcsDescription(server), credentials })
  try {
    await storage.checkRoot()
    await putText(storage, 'object', 'content')
    expect(await getText(storage, 'object')).toBe('content')
    return server.requests.length
  } finally {
    await storage.close()
    await server.close()
  }
}

test("a service account signs its own tokens: no request but the storage's is made", async () => {
  using place = tempDirectory('gcs-key')
  const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const account = {
    type: 'service_account',
    client_email: 'backup@project.iam.gserviceaccount.com',
    private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
    private_key_id: 'key-1',
  }
  writeFileSync(place.at('key.json'), JSON.stringify(account))
  const isSigned = (authorization = ''): boolean => {
    const [head, claims, signature] = authorization.replace('Bearer ', '').split('.')
    if (signature === undefined) return false
    const { iss, scope } = JSON.parse(Buffer.from(claims!, 'base64url').toString()) as Record<string, string>
    return (
      iss === account.client_email &&
      scope === SCOPE &&
      createVerify('RSA-SHA256')
        .update(`${head}.${claims}`)
        .verify(publicKey, Buffer.from(signature, 'base64url'))
    )
  }
  const requests = await storeWith({ kind: 'file', path: place.at('key.json') }, isSigned)
  expect(requests).toBe(3)
})

test('workload identity federation exchanges the token of the platform', async () => {
  using place = tempDirectory('gcs-federation')
  const exchange = await startHttpService((_request, body) => ({
    status: body.includes('token-of-the-platform') ? 200 : 400,
    body: { access_token: 'federated', token_type: 'Bearer', expires_in: 3600 },
  }))
  writeFileSync(place.at('token'), 'token-of-the-platform')
  const account = {
    type: 'external_account',
    audience:
      '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/provider',
    subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
    token_url: `${exchange.url}/v1/token`,
    credential_source: { file: place.at('token') },
  }
  writeFileSync(place.at('config.json'), JSON.stringify(account))
  await storeWith({ kind: 'file', path: place.at('config.json') }, each => each === 'Bearer federated')
  await exchange.close()
})

test('without a file the machine is asked; a token that is refused is replaced once', async () => {
  let tokens = 0
  const server = createServer((request, response) => {
    const isToken = request.url?.includes('/token') === true
    if (isToken) tokens++
    response.writeHead(200, {
      'metadata-flavor': 'Google',
      'content-type': isToken ? 'application/json' : 'text/plain',
    })
    response.end(isToken ? JSON.stringify({ access_token: `token-${tokens}`, expires_in: 3600 }) : 'project')
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  const before = { ...process.env }
  Object.assign(process.env, {
    GCE_METADATA_HOST: `127.0.0.1:${port}`,
    METADATA_SERVER_DETECTION: 'assume-present',
  })
  // the client makes the folder of its configuration where there is none
  using home = tempDirectory('gcs-home')
  Object.assign(process.env, { HOME: home.path, CLOUDSDK_CONFIG: home.path })
  try {
    await storeWith({ kind: 'default' }, each => each === 'Bearer token-2')
    expect(tokens).toBe(2)
  } finally {
    for (const name of ['GCE_METADATA_HOST', 'METADATA_SERVER_DETECTION', 'HOME', 'CLOUDSDK_CONFIG']) {
      if (before[name] === undefined) delete process.env[name]
      else process.env[name] = before[name]
    }
    server.close()
  }
})

test('credentials that nobody believes are access denied, with the setting to look at', async () => {
  using place = tempDirectory('gcs-refused')
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
  const key = {
    type: 'service_account',
    client_email: 'a@b',
    private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
  }
  writeFileSync(place.at('key.json'), JSON.stringify(key))
  const error = await expectCode(
    storeWith({ kind: 'file', path: place.at('key.json') }, () => false),
    'ACCESS_DENIED',
  )
  expect(error.message).toContain('401')
  expect(error.hint).toContain('GOOGLE_APPLICATION_CREDENTIALS')
})
