import { afterAll, beforeAll, test } from 'bun:test'
import { type GcsServer, startGcsServer } from '../../doubles/gcs-server/gcs-server.ts'
import { missingPostgres } from '../../support/postgres-binaries.ts'
import { describeUnless, missingReference } from '../../support/skip.ts'
import { DIRECTIONS, proveExchange } from '../storage-exchange.ts'

describeUnless(missingReference() ?? missingPostgres(16), 'Google Cloud Storage, with the original', () => {
  let server: GcsServer
  beforeAll(async () => {
    server = await startGcsServer()
  })
  afterAll(() => server.close())

  for (const [writer, reader] of DIRECTIONS) {
    for (const [name, more] of Object.entries({
      plainly: {},
      "with a customer's key, in small chunks": {
        GCS_ENCRYPTION_KEY: Buffer.alloc(32, 5).toString('base64'),
        GCS_MAX_CHUNK_SIZE: '524288',
      },
    })) {
      test(`what ${writer} stored, ${reader} restores and extends, ${name}`, async () => {
        const bucket = `exchange-${crypto.randomUUID()}`
        server.buckets.create(bucket)
        const storage = {
          WALG_GS_PREFIX: `gs://${bucket}/some/path`,
          STORAGE_EMULATOR_HOST: server.host,
          ...more,
        }
        const objects = async (): Promise<string[]> =>
          server.buckets.sorted(bucket, false).map(each => each.name)
        await proveExchange(() => storage, writer, reader, objects)
      }, 180_000)
    }
  }
})
