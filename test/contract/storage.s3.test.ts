import { afterAll, beforeAll, describe, setDefaultTimeout } from 'bun:test'
import { createMemoryBudget } from '../../src/kit/limits.ts'
import { type S3Double, startS3Double } from '../doubles/s3-server.ts'
import { openS3 } from '../support/servers/s3.ts'
import { missingSwift, type SwiftServer, startSwiftServer } from '../support/servers/swift-server.ts'
import { describeUnless } from '../support/skip.ts'
import { storageContract } from './storage.ts'

setDefaultTimeout(120_000)

/** The smallest part that a real store takes, a page and a batch that every test overflows, little memory. */
const SMALL = {
  description: { partSizeBytes: 5 << 20, deleteBatchMax: 50 },
  memoryBudget: createMemoryBudget(32 << 20),
  pageSize: 7,
}

describeUnless(missingSwift(), 'S3 of OpenStack Swift', () => {
  let server: SwiftServer
  beforeAll(async () => {
    server = await startSwiftServer()
  })
  storageContract('s3', async () => {
    const bucket = await server.createContainer()
    const settings = { ...server.s3, S3_CONDITIONAL_PUT: 'no', WALG_S3_PREFIX: `s3://${bucket}/some/root` }
    return { storage: await openS3(settings, SMALL) }
  })
})

describe('an S3 that knows conditional puts', () => {
  let double: S3Double
  beforeAll(async () => {
    double = await startS3Double()
  })
  afterAll(() => double.close())
  storageContract('s3, list v2', async () => {
    double.objects.clear()
    return { storage: await openS3(double.settings(), SMALL) }
  })
  storageContract('s3, list v1', async () => {
    double.objects.clear()
    return { storage: await openS3({ ...double.settings(), S3_USE_LIST_OBJECTS_V1: 'true' }, SMALL) }
  })
})
