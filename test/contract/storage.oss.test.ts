import { afterAll, beforeAll } from 'bun:test'
import { openOssDriver } from '../../src/storage/drivers/oss/driver.ts'
import { type OssServer, startOssServer } from '../doubles/oss-server/oss-server.ts'
import { ossDescription } from '../support/servers/oss.ts'
import { storageContract } from './storage.ts'

let server: OssServer
beforeAll(async () => {
  server = await startOssServer()
})
afterAll(() => server[Symbol.asyncDispose]())

storageContract('oss', async () => ({
  storage: openOssDriver({ name: 'oss', ...ossDescription(server, server.createBucket()) }),
}))
storageContract('oss, below a path, in parts of 100 KiB, with the key of a role', async () => {
  const description = ossDescription(server, server.createBucket())
  const role = { arn: 'acs:ram::1234567890:role/backup', sessionName: 'test', endpoint: server.url }
  const small = { partSizeBytes: 102_400, copyPartSizeBytes: 1 << 20, pageEntries: 100 }
  const credentials = { ...description.credentials, role }
  return {
    storage: openOssDriver({ name: 'oss', ...description, root: 'some/päth here', ...small, credentials }),
  }
})
