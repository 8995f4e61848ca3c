import type { GcsDescription } from '../../src/storage/drivers/gcs/description.ts'
import type { GcsServer } from '../doubles/gcs-server/gcs-server.ts'

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
