import { afterAll, beforeAll } from 'bun:test'
import { type GcsServer, startGcsServer } from '../../doubles/gcs-server/gcs-server.ts'
import { missingPostgres } from '../../support/postgres-binaries.ts'
import { testUnless } from '../../support/skip.ts'
import { proveStorageRecovery } from './storage-recovery.ts'

let server: GcsServer
beforeAll(async () => {
  server = await startGcsServer()
})
afterAll(() => server.close())

function storage(bucket: string): Record<string, string> {
  server.buckets.create(bucket)
  return { WALG_GS_PREFIX: `gs://${bucket}/a/path`, STORAGE_EMULATOR_HOST: server.host }
}

testUnless(
  missingPostgres(18),
  'Google Cloud Storage holds WAL and backups under load, and gives a point in time back',
  () => proveStorageRecovery({ major: 18, compression: 'lz4', storage: storage('large') }),
  180_000,
)

testUnless(
  missingPostgres(16),
  "Google Cloud Storage does so in small chunks and with a customer's key",
  () => {
    const key = Buffer.alloc(32, 9).toString('base64')
    const more = { GCS_MAX_CHUNK_SIZE: '300000', WALG_GCS_ENCRYPTION_KEY: key }
    return proveStorageRecovery({ major: 16, compression: 'zstd', storage: { ...storage('small'), ...more } })
  },
  180_000,
)
