import { afterAll, beforeAll, test } from 'bun:test'
import { missingPostgres } from '../../support/postgres-binaries.ts'
import { openS3 } from '../../support/servers/s3.ts'
import { missingSwift, type SwiftServer, startSwiftServer } from '../../support/servers/swift-server.ts'
import { describeUnless, missingReference } from '../../support/skip.ts'
import { DIRECTIONS, proveExchange } from '../storage-exchange.ts'

describeUnless(
  missingReference() ?? missingSwift() ?? missingPostgres(16),
  'S3 of OpenStack Swift, with the original',
  () => {
    let server: SwiftServer
    beforeAll(async () => {
      server = await startSwiftServer()
    })
    afterAll(() => server.stop())

    for (const [writer, reader] of DIRECTIONS) {
      for (const [name, more] of Object.entries({
        plainly: {},
        'in small parts, with the old listing': {
          S3_MAX_PART_SIZE: String(5 << 20),
          S3_USE_LIST_OBJECTS_V1: 'true',
          WALG_COMPRESSION_METHOD: 'none',
        },
      })) {
        test(`what ${writer} stored, ${reader} restores and extends, ${name}`, async () => {
          const bucket = await server.createContainer()
          const storage = { ...server.s3, WALG_S3_PREFIX: `s3://${bucket}/some/path`, ...more }
          const objects = async (): Promise<string[]> => {
            const keys: string[] = []
            const opened = await openS3(storage)
            for await (const { key } of opened.list('', { recursive: true })) keys.push(key)
            await opened.close()
            return keys
          }
          await proveExchange(() => storage, writer, reader, objects)
        }, 240_000)
      }
    }
  },
)
