import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { expectCode, putText } from '../contract/storage-support.ts'
import { type FaultProxy, startFaultProxy } from '../doubles/fault-proxy.ts'
import { type GcsServer, startGcsServer } from '../doubles/gcs-server/gcs-server.ts'
import { gcsDescription, openGcs } from '../support/servers/gcs.ts'
import { networkStorageFaults } from './network-storage.ts'

describe('gcs behind a bad network', () => {
  let server: GcsServer
  let proxy: FaultProxy
  beforeAll(async () => {
    server = await startGcsServer()
    proxy = await startFaultProxy(server.url)
  })
  afterAll(async () => {
    await proxy.close()
    await server.close()
  })

  const isChunk = (method: string, path: string): boolean => method === 'PUT' && path.includes('upload_id=')
  networkStorageFaults(() => ({
    proxy,
    open: async () =>
      openGcs(
        { ...gcsDescription(server, proxy.url), chunkSizeBytes: 262_144, attemptsMax: 3, tryTimeoutMs: 1500 },
        1500,
      ),
    isPutOfWhole: (method, path) => method === 'POST' && path.includes('uploadType=multipart'),
    isPutOfBlock: isChunk,
    isFinish: isChunk,
    isGet: (method, path) => method === 'GET' && path.includes('alt=media'),
  }))

  test('a missing bucket is named, with what to do', async () => {
    const storage = openGcs({ ...gcsDescription(server), bucket: 'no-such' })
    for (const work of [storage.checkRoot(), storage.stat('object'), putText(storage, 'object', 'x')]) {
      const error = await expectCode(work, 'STORAGE_ROOT_MISSING')
      expect(error.hint).toContain('create the bucket "no-such"')
    }
  })

  test("another customer's key, and none, are access denied, with the setting to look at", async () => {
    const description = gcsDescription(server)
    const keys = [1, 2].map(byte => Buffer.alloc(32, byte).toString('base64'))
    await putText(openGcs({ ...description, encryptionKey: keys[0] }), 'object', 'x')
    for (const encryptionKey of [keys[1], undefined]) {
      const storage = openGcs({ ...description, encryptionKey })
      const error = await expectCode(storage.get('object'), 'ACCESS_DENIED')
      expect(error.hint).toContain('GCS_ENCRYPTION_KEY')
    }
  })

  test('a server that is not there is unavailable', async () => {
    const storage = openGcs(gcsDescription(server, 'http://127.0.0.1:1'))
    await expectCode(storage.checkRoot(), 'STORAGE_UNAVAILABLE')
  })
})
