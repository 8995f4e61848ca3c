import { afterAll, beforeAll, expect, test } from 'bun:test'
import { readFileSync, writeFileSync } from 'node:fs'
import {
  AccountSASPermissions,
  generateAccountSASQueryParameters,
  StorageSharedKeyCredential,
} from '@azure/storage-blob'
import { startHttpService } from '../../doubles/kms/http-service.ts'
import { Certificates } from '../../postgres/certificates.ts'
import { missingPostgres } from '../../support/postgres-binaries.ts'
import {
  AZURITE_ACCOUNT,
  AZURITE_KEY,
  type Azurite,
  createContainer,
  missingAzurite,
  startAzurite,
} from '../../support/servers/azurite.ts'
import { describeUnless, missingTool, testUnless } from '../../support/skip.ts'
import { type TempDirectory, tempDirectory } from '../../support/temp-directory.ts'
import { segmentName, walBytes } from '../../support/wal-bytes.ts'
import { runWalg } from '../../support/walg.ts'
import { proveStorageRecovery } from './storage-recovery.ts'

const SEGMENT = segmentName(7)

describeUnless(missingAzurite(), 'Azure Blob Storage', () => {
  let azurite: Azurite
  beforeAll(async () => {
    azurite = await startAzurite()
  })
  afterAll(() => azurite.stop())

  const storage = async (): Promise<Record<string, string>> => ({
    WALG_AZ_PREFIX: `azure://${await createContainer(azurite)}/a/path`,
    AZURE_STORAGE_ACCOUNT: AZURITE_ACCOUNT,
    AZURE_STORAGE_ACCESS_KEY: AZURITE_KEY,
    AZURE_ENDPOINT_SUFFIX: azurite.serviceUrl,
  })

  testUnless(
    missingPostgres(17),
    'holds WAL and backups under load, and gives a point in time back',
    async () => proveStorageRecovery({ major: 17, compression: 'lz4', storage: await storage() }),
    180_000,
  )

  testUnless(
    missingPostgres(15),
    'does so in blocks that are smaller than a WAL segment',
    async () => {
      const small = { AZURE_BUFFER_SIZE: '262144', WALG_AZURE_MAX_BUFFERS: '2' }
      await proveStorageRecovery({
        major: 15,
        compression: 'zstd',
        storage: { ...(await storage()), ...small },
      })
    },
    180_000,
  )
})

describeUnless(missingAzurite() ?? missingTool('openssl'), 'Azure Blob Storage over TLS', () => {
  let azurite: Azurite
  let place: TempDirectory
  beforeAll(async () => {
    place = tempDirectory('azure-tls')
    const certificates = new Certificates(place.path)
    certificates.authority('authority')
    certificates.issue('server', 'authority', '/CN=127.0.0.1', 'IP:127.0.0.1')
    const files = ['--cert', certificates.path('server.crt'), '--key', certificates.path('server.key')]
    azurite = await startAzurite([...files, '--oauth', 'basic'])
    writeFileSync(place.at(SEGMENT), walBytes(SEGMENT))
  })
  afterAll(async () => {
    await azurite.stop()
    place.remove()
  })

  async function pushAndFetch(credentials: Record<string, string>): Promise<void> {
    const ca = place.at('authority.crt')
    const env = {
      WALG_AZ_PREFIX: `azure://${await createContainer(azurite, ca)}`,
      AZURE_STORAGE_ACCOUNT: AZURITE_ACCOUNT,
      AZURE_ENDPOINT_SUFFIX: azurite.serviceUrl,
      NODE_EXTRA_CA_CERTS: ca,
      WALG_PG_WAL_SIZE: '1',
      ...credentials,
    }
    const push = await runWalg(['wal-push', place.at(SEGMENT)], { env })
    expect(push.stderr).not.toContain('ERROR')
    expect(push.exit).toBe(0)
    const fetched = place.at(`fetched-${crypto.randomUUID()}`)
    expect((await runWalg(['wal-fetch', SEGMENT, fetched], { env })).exit).toBe(0)
    expect(readFileSync(fetched).equals(walBytes(SEGMENT))).toBe(true)
  }

  test('takes a shared access signature, with and without its question mark', async () => {
    const credential = new StorageSharedKeyCredential(AZURITE_ACCOUNT, AZURITE_KEY)
    const token = generateAccountSASQueryParameters(
      {
        expiresOn: new Date(Date.now() + 3_600_000),
        permissions: AccountSASPermissions.parse('rwdlac'),
        resourceTypes: 'co',
        services: 'b',
      },
      credential,
    ).toString()
    await pushAndFetch({ AZURE_STORAGE_SAS_TOKEN: token })
    await pushAndFetch({ WALG_AZURE_STORAGE_SAS_TOKEN: `?${token}` })
  })

  test('takes the identity of the machine without a key and a signature', async () => {
    const seconds = Math.floor(Date.now() / 1000)
    const claims = {
      aud: 'https://storage.azure.com',
      iss: 'https://sts.windows.net/ab1f708d-50f6-404c-a006-d71b2ac7a606/',
      iat: seconds - 60,
      nbf: seconds - 60,
      exp: seconds + 3600,
    }
    const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url')
    const token = `${part({ alg: 'none', typ: 'JWT' })}.${part(claims)}.x`
    const identity = await startHttpService(() => ({
      status: 200,
      body: {
        access_token: token,
        expires_on: String(claims.exp),
        resource: claims.aud,
        token_type: 'Bearer',
      },
    }))
    await pushAndFetch({ IDENTITY_ENDPOINT: `${identity.url}/msi/token`, IDENTITY_HEADER: 'secret' })
    expect(identity.requests.length).toBeGreaterThan(0)
    await identity.close()
  })

  test('speaks the version of the protocol that is asked for', async () => {
    await pushAndFetch({ AZURE_STORAGE_ACCESS_KEY: AZURITE_KEY, AZURE_BLOB_STORE_API_VERSION: '2021-12-02' })
  })
})
