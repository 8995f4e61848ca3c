import type { GcsDescription } from '../../../src/storage/drivers/gcs/description.ts'
import { openGcsDriver } from '../../../src/storage/drivers/gcs/driver.ts'
import type { Storage } from '../../../src/storage/storage.ts'
import type { GcsServer } from '../../doubles/gcs-server/gcs-server.ts'

/** What the driver needs to open a new bucket of `server`, or of what stands before it at `endpoint`. */
export function gcsDescription(server: GcsServer, endpoint: string = server.url): GcsDescription {
  const bucket = `test-${crypto.randomUUID()}`
  server.buckets.create(bucket)
  return {
    kind: 'gcs',
    bucket,
    root: '',
    endpoint,
    credentials: { kind: 'none' },
    encryptionKey: undefined,
    chunkSizeBytes: 16 * 1024 * 1024,
    attemptsMax: 4,
    timeoutMs: 600_000,
    tryTimeoutMs: 30_000,
  }
}

/** Opens the driver; no wait for a byte lasts longer than `stallTimeoutMs`. */
export function openGcs(description: GcsDescription, stallTimeoutMs = 60_000): Storage {
  return openGcsDriver({ name: 'gcs', description, stallTimeoutMs })
}
