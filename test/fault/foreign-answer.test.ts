import { expect, test } from 'bun:test'
import { openGcsDriver } from '../../src/storage/drivers/gcs/driver.ts'
import { openOssDriver } from '../../src/storage/drivers/oss/driver.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { expectCode } from '../contract/storage-support.ts'
import { startHttpService } from '../doubles/kms/http-service.ts'
import { openS3 } from '../support/servers/s3.ts'

const STALL_TIMEOUT_MS = 5000

/** Storages whose requests end at `url`, tried once. */
const DRIVERS: Readonly<Record<string, (url: string) => Awaited<Storage> | Promise<Storage>>> = {
  s3: url =>
    openS3(
      {
        WALG_S3_PREFIX: 's3://bucket/path',
        AWS_ENDPOINT: url,
        AWS_ACCESS_KEY_ID: 'id',
        AWS_SECRET_ACCESS_KEY: 'key',
      },
      { deadlines: { firstMs: 50, laterMs: 50 } },
    ),
  oss: url =>
    openOssDriver({
      name: 'oss',
      kind: 'oss',
      bucket: 'bucket',
      root: 'path',
      region: 'cn-test',
      endpoint: url,
      credentials: { accessKeyId: 'id', accessKeySecret: 'key' },
      isChecked: true,
      attemptsMax: 1,
      connectTimeoutMs: STALL_TIMEOUT_MS,
      partSizeBytes: 6 << 20,
      copyPartSizeBytes: 64 << 20,
    }),
  gcs: url =>
    openGcsDriver({
      name: 'gcs',
      stallTimeoutMs: STALL_TIMEOUT_MS,
      description: {
        kind: 'gcs',
        bucket: 'bucket',
        root: 'path',
        endpoint: url,
        credentials: { kind: 'none' },
        encryptionKey: undefined,
        chunkSizeBytes: 16 << 20,
        attemptsMax: 1,
        timeoutMs: STALL_TIMEOUT_MS,
        tryTimeoutMs: STALL_TIMEOUT_MS,
      },
    }),
}

/** What stands between may answer so, whatever it is asked. */
const ANSWERS: readonly (readonly [contentType: string, body: string])[] = [
  ['text/html', '<html><body>log in first</body></html>'],
  ['application/xml', '<?xml version="1.0"?><ListAllMyBucketsResult><Buckets/></ListAllMyBucketsResult>'],
  ['application/json', '{"status":"ok"}'],
  ['application/json', '{}'],
  ['application/json', '[]'],
  ['text/plain', ''],
]

for (const [name, open] of Object.entries(DRIVERS)) {
  test(`${name}: a 200 from something that is no storage is neither an empty listing nor a root that is there`, async () => {
    for (const [contentType, body] of ANSWERS) {
      const service = await startHttpService(() => ({ status: 200, body, contentType }))
      const storage = await open(service.url)
      const list = async (isRecursive: boolean): Promise<void> => {
        for await (const entry of storage.list('wal_005', { recursive: isRecursive }))
          expect(entry).toBeUndefined()
      }
      for (const isRecursive of [true, false])
        await expectCode(() => list(isRecursive), 'STORAGE_UNAVAILABLE')
      const failure = await expectCode(() => storage.checkRoot(), 'STORAGE_UNAVAILABLE')
      expect(failure.hint).toBeDefined()
      await storage.close()
      await service.close()
    }
  })
}
