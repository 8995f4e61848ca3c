import { beforeAll, setDefaultTimeout } from 'bun:test'
import { createMemoryBudget } from '../../src/kit/limits.ts'
import { textsOfRecord } from '../../src/kit/settings.ts'
import type { S3Description } from '../../src/storage/drivers/s3/description.ts'
import { openS3Driver } from '../../src/storage/drivers/s3/driver.ts'
import { readS3 } from '../../src/storage/drivers/s3/read-settings.ts'
import { describeUnless } from '../support/skip.ts'
import { missingSwift, type SwiftServer, startSwiftServer } from '../support/swift-server.ts'
import { storageContract } from './storage.ts'
import type { StorageUnderTest } from './storage-support.ts'

setDefaultTimeout(120_000)

describeUnless(missingSwift(), 'S3 of OpenStack Swift', () => {
  let server: SwiftServer
  beforeAll(async () => {
    server = await startSwiftServer()
  })

  const open = async (settings: Record<string, string>): Promise<StorageUnderTest> => {
    const bucket = await server.createContainer()
    const texts = textsOfRecord(
      { ...server.s3, ...settings, WALG_S3_PREFIX: `s3://${bucket}/some/root` },
      'test',
    )
    const { description, problems } = await readS3(texts)
    if (description === undefined) throw new Error(problems.map(each => each.message).join('\n'))
    return { storage: openDriver(description) }
  }

  storageContract('s3', () => open({ S3_CONDITIONAL_PUT: 'no' }))
})

function openDriver(description: S3Description) {
  return openS3Driver({
    name: 's3',
    // the smallest part that the store takes, a page that every test overflows
    description: { ...description, partSizeBytes: 5 << 20, deleteBatchMax: 50 },
    stallTimeoutMs: 60_000,
    memoryBudget: createMemoryBudget(32 << 20),
    pageSize: 7,
  })
}
