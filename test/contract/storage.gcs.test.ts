import { afterAll, beforeAll } from 'bun:test'
import type { GcsDescription } from '../../src/storage/drivers/gcs/description.ts'
import { type GcsServer, startGcsServer } from '../doubles/gcs-server/gcs-server.ts'
import { gcsDescription, openGcs } from '../support/servers/gcs.ts'
import { storageContract } from './storage.ts'

// the service takes no line breaks in names
const LINE_BREAK = { keysRefused: ['new\nline'] }

let server: GcsServer
beforeAll(async () => {
  server = await startGcsServer()
})
afterAll(() => server.close())

function contract(name: string, given: Partial<GcsDescription>): void {
  storageContract(
    name,
    async () => ({ storage: openGcs({ ...gcsDescription(server), ...given }) }),
    LINE_BREAK,
  )
}

contract('gcs', {})
contract('gcs, below a path, in chunks of 256 KiB', { root: 'some/path', chunkSizeBytes: 256 * 1024 })
contract("gcs, with a customer's key", { encryptionKey: Buffer.alloc(32, 7).toString('base64') })
