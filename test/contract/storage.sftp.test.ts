import { afterAll, beforeAll } from 'bun:test'
import { openSftpDriver } from '../../src/storage/drivers/sftp/driver.ts'
import {
  missingOtherUser,
  missingSshd,
  type SftpServer,
  startSftpServer,
} from '../support/servers/sftp-server.ts'
import { describeUnless } from '../support/skip.ts'
import { storageContract } from './storage.ts'

describeUnless(missingSshd(), 'OpenSSH', () => {
  let server: SftpServer
  beforeAll(async () => {
    server = await startSftpServer()
  })
  afterAll(() => server.stop())

  storageContract('sftp', async () => {
    const storage = await openSftpDriver('remote', server.describe(server.newRoot()))
    return { storage }
  })
})

describeUnless(missingSshd() ?? missingOtherUser(), 'OpenSSH as a normal user', () => {
  let server: SftpServer
  beforeAll(async () => {
    server = await startSftpServer({ username: 'postgres' })
  })
  afterAll(() => server.stop())

  storageContract('sftp of a normal user', async () => {
    const storage = await openSftpDriver('remote', server.describe(server.newRoot()))
    return { storage }
  })
})
