import { afterAll, beforeAll } from 'bun:test'
import {
  AZURITE_ACCOUNT,
  AZURITE_KEY,
  type Azurite,
  createContainer,
  missingAzurite,
  startAzurite,
} from '../support/azurite.ts'
import { missingPostgres } from '../support/postgres-binaries.ts'
import { describeUnless, testUnless } from '../support/skip.ts'
import { proveStorageRecovery } from './storage-recovery.ts'

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
