import { afterAll, beforeAll } from 'bun:test'
import { openSwiftDriver, type SwiftDriverOptions } from '../../src/storage/drivers/swift/driver.ts'
import { missingSwift, type SwiftServer, startSwiftServer } from '../support/servers/swift-server.ts'
import { describeUnless } from '../support/skip.ts'
import { storageContract } from './storage.ts'
import type { StorageUnderTest } from './storage-support.ts'

describeUnless(missingSwift(), 'OpenStack Swift', () => {
  let server: SwiftServer
  beforeAll(async () => {
    server = await startSwiftServer()
  })
  afterAll(() => server.stop())

  const open = async (options: Partial<SwiftDriverOptions>): Promise<StorageUnderTest> => {
    const { OS_AUTH_URL: url, OS_USERNAME: username, OS_PASSWORD: password } = server.swift
    const storage = openSwiftDriver({
      kind: 'swift',
      name: 'swift',
      container: await server.createContainer(),
      root: '',
      identity: { version: 1, url, username, password },
      segmentSizeBytes: 20 << 20,
      segmentsMax: 2,
      ...options,
    })
    return { storage }
  }

  storageContract('swift', () => open({}))
  storageContract('swift, below a path, in segments of 128 KiB and pages of 100', () =>
    open({ root: 'some/päth here', segmentSizeBytes: 131_072, segmentsMax: 3, pageEntries: 100 }),
  )
})
