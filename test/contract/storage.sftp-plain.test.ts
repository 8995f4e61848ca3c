import { afterAll, beforeAll, expect, test } from 'bun:test'
import { openSftpDriver } from '../../src/storage/drivers/sftp/driver.ts'
import { type PlainSftpServer, startPlainSftpServer } from '../doubles/plain-sftp-server.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { storageContract } from './storage.ts'
import { expectCode, putText } from './storage-support.ts'

const USER = { kind: 'sftp', host: '127.0.0.1', username: 'dba', password: 'right' } as const

let server: PlainSftpServer
beforeAll(async () => {
  server = await startPlainSftpServer('dba', 'right')
})
afterAll(() => server[Symbol.asyncDispose]())

storageContract('sftp, a server without extensions', async () => {
  const directory = tempDirectory('sftp')
  const storage = await openSftpDriver('plain', { ...USER, port: server.port, root: directory.path })
  return { storage, close: async () => directory.remove() }
})

test('a server that may replace on a rename gets no conditional put', async () => {
  using directory = tempDirectory('sftp')
  const storage = await openSftpDriver('plain', { ...USER, port: server.port, root: directory.path })
  expect(storage.features).toMatchObject({ conditionalPut: false, serverCopy: false })
  await expectCode(async () => storage.openSink('x', { ifAbsent: true }), 'FORMAT_UNSUPPORTED')
  await storage.close()
})

test('a password is given, asked for or not, and a wrong one is refused at once', async () => {
  using directory = tempDirectory('sftp')
  await using asking = await startPlainSftpServer('dba', 'right', 'keyboard-interactive')
  for (const { port } of [server, asking]) {
    const description = { ...USER, port, root: directory.path }
    const storage = await openSftpDriver('plain', description)
    await putText(storage, 'x', 'content')
    await storage.close()
    const error = await expectCode(
      openSftpDriver('plain', { ...description, password: 'wrong' }),
      'ACCESS_DENIED',
    )
    expect(error.message + error.hint).not.toContain('wrong')
  }
})
