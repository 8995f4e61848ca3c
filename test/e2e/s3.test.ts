import { afterAll, beforeAll, expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { missingPostgres } from '../support/postgres-binaries.ts'
import { describeUnless, testUnless } from '../support/skip.ts'
import { missingSwift, type SwiftServer, startSwiftServer } from '../support/swift-server.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { runWalg } from '../support/walg.ts'
import { proveStorageRecovery } from './storage-recovery.ts'

describeUnless(missingSwift(), 'S3', () => {
  const place = tempDirectory('s3-e2e')
  const history = place.at('00000002.history')
  let server: SwiftServer
  beforeAll(async () => {
    server = await startSwiftServer()
    writeFileSync(history, '1\t0/3000000\tno recovery target specified\n')
  })
  afterAll(async () => {
    await server.stop()
    place.remove()
  })

  const settings = async (given: Record<string, string> = {}): Promise<Record<string, string>> => ({
    ...server.s3,
    WALG_S3_PREFIX: `s3://${await server.createContainer()}/main`,
    ...given,
  })

  testUnless(
    missingPostgres(16),
    'holds WAL and backups under load, and gives a point in time back',
    async () =>
      proveStorageRecovery({
        major: 16,
        compression: 'zstd',
        storage: await settings({ S3_MAX_PART_SIZE: '5m' }),
      }),
    240_000,
  )

  test('WAL is not overwritten, also by a store that knows no conditional put', async () => {
    const env = await settings()
    expect((await runWalg(['wal-push', history], { env })).exit).toBe(0)
    const again = await runWalg(['wal-push', history], { env })
    expect([again.exit, again.stderr.includes('already archived with equal content')]).toEqual([0, true])
    const other = place.at('other')
    writeFileSync(other, '')
    const changed = place.at('changed/00000002.history')
    await Bun.write(changed, 'something else\n')
    const refused = await runWalg(['wal-push', changed], { env })
    expect([refused.exit, refused.stderr.includes('contents differ')]).toEqual([1, true])
  })

  test('a bucket that is missing is named, by every command, and wal-fetch does not call it "not there"', async () => {
    const env = { ...server.s3, WALG_S3_PREFIX: 's3://no-such-bucket/main' }
    for (const args of [
      ['wal-push', history],
      ['backup-list'],
      ['wal-fetch', '00000002.history', place.at('fetched')],
    ]) {
      const { exit, stderr } = await runWalg(args, { env })
      expect([args[0], exit]).toEqual([args[0], 1])
      expect(stderr).toContain('"no-such-bucket"')
      expect(stderr).toContain('NoSuchBucket')
    }
    const absent = await runWalg(['wal-fetch', '00000003.history', place.at('fetched')], {
      env: await settings(),
    })
    expect(absent.exit).toBe(74)
  })

  test('wrong keys are named as such, without the secret', async () => {
    const env = await settings({ AWS_SECRET_ACCESS_KEY: 'not-the-right-secret' })
    const { exit, stderr } = await runWalg(['wal-push', history], { env })
    expect(exit).toBe(1)
    expect(stderr).toContain('AWS_SECRET_ACCESS_KEY')
    expect(stderr).not.toContain('not-the-right-secret')
  })
})
