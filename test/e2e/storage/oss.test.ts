import { afterAll, beforeAll, expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { type OssServer, startOssServer } from '../../doubles/oss-server/oss-server.ts'
import { missingPostgres } from '../../support/postgres-binaries.ts'
import { ossEnvironment } from '../../support/servers/oss.ts'
import { testUnless } from '../../support/skip.ts'
import { tempDirectory } from '../../support/temp-directory.ts'
import { runWalg } from '../../support/walg.ts'
import { proveStorageRecovery } from './storage-recovery.ts'

const place = tempDirectory('oss-e2e')
let server: OssServer
beforeAll(async () => {
  server = await startOssServer()
})
afterAll(async () => {
  await server[Symbol.asyncDispose]()
  place.remove()
})

const settings = (): Record<string, string> => ossEnvironment(server, server.createBucket())

testUnless(
  missingPostgres(17),
  'OSS holds WAL and backups under load in small parts, and gives a point in time back',
  async () => {
    const storage = { ...settings(), OSS_UPLOAD_PART_SIZE: '102400' }
    await proveStorageRecovery({ major: 17, compression: 'lz4', storage })
  },
  180_000,
)

test('what is wrong with OSS is said with the setting to look at', async () => {
  const history = place.at('00000002.history')
  writeFileSync(history, '1\t0/3000000\tno recovery target specified\n')
  const good = settings()
  const role = { OSS_ROLE_ARN: 'acs:ram::1:role/backup', OSS_STS_ENDPOINT: server.url }
  expect((await runWalg(['wal-push', history], { env: { ...good, ...role } })).exit).toBe(0)
  const cases: readonly [Record<string, string | undefined>, string][] = [
    [{ OSS_ACCESS_KEY_ID: undefined }, 'needs OSS_ACCESS_KEY_ID'],
    [{ OSS_REGION: undefined }, 'needs OSS_REGION'],
    [{ OSS_ACCESS_KEY_SECRET: 'wrong' }, 'OSS_ACCESS_KEY_SECRET'],
    [{ WALG_OSS_PREFIX: 'oss://no-such-bucket/x' }, 'create the bucket'],
    [{ ...role, OSS_ROLE_ARN: 'nonsense' }, 'OSS_ROLE_ARN'],
    [{ OSS_UPLOAD_PART_SIZE: '1' }, 'from 100KiB to 5GiB'],
    [{ OSS_ENDPOINT: 'http://127.0.0.1:1', OSS_MAX_RETRIES: '1' }, 'OSS_ENDPOINT'],
  ]
  for (const [wrong, message] of cases) {
    const { exit, stderr } = await runWalg(['wal-push', history], { env: { ...good, ...wrong } })
    expect([exit, stderr.includes(message) ? message : stderr]).toEqual([1, message])
  }
}, 60_000)
