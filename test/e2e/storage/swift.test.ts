import { afterAll, beforeAll, expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { missingPostgres } from '../../support/postgres-binaries.ts'
import { missingSwift, type SwiftServer, startSwiftServer } from '../../support/servers/swift-server.ts'
import { describeUnless, testUnless } from '../../support/skip.ts'
import { tempDirectory } from '../../support/temp-directory.ts'
import { runWalg } from '../../support/walg.ts'
import { proveStorageRecovery } from './storage-recovery.ts'

describeUnless(missingSwift(), 'OpenStack Swift', () => {
  const place = tempDirectory('swift-e2e')
  let server: SwiftServer
  beforeAll(async () => {
    server = await startSwiftServer()
  })
  afterAll(async () => {
    await server.stop()
    place.remove()
  })

  const settings = async (): Promise<Record<string, string>> => ({
    WALG_SWIFT_PREFIX: `swift://${await server.createContainer()}/a/path`,
    ...server.swift,
  })

  testUnless(
    missingPostgres(18),
    'holds WAL and backups under load, and gives a point in time back',
    async () => proveStorageRecovery({ major: 18, compression: 'lz4', storage: await settings() }),
    180_000,
  )

  testUnless(
    missingPostgres(14),
    'does so in segments of large objects, and nothing of them is left after the deletion',
    async () => {
      const small = { SWIFT_SEGMENT_SIZE: '262144', SWIFT_UPLOAD_CONCURRENCY: '3' }
      const container = await server.createContainer()
      const storage = { ...(await settings()), ...small, WALG_SWIFT_PREFIX: `swift://${container}/a/path` }
      await proveStorageRecovery({ major: 14, compression: 'zstd', storage })
      await runWalg(['delete', 'everything', 'FORCE', '--confirm'], { env: storage })
      const left = await server.request('GET', `/${container}?format=json`)
      const names = ((await left.json()) as { name: string }[]).map(({ name }) => name)
      expect(names.filter(name => name.includes('basebackups_005'))).toEqual([])
    },
    180_000,
  )

  test('what is wrong is said with the setting to look at', async () => {
    const history = place.at('00000002.history')
    writeFileSync(history, '1\t0/3000000\tno recovery target specified\n')
    const good = await settings()
    const cases: readonly [Record<string, string | undefined>, string][] = [
      [{ OS_PASSWORD: 'wrong' }, 'OS_PASSWORD'],
      [{ OS_AUTH_URL: `${server.url}/nowhere/v1.0` }, 'OS_AUTH_URL'],
      [{ OS_AUTH_URL: undefined }, 'needs OS_AUTH_URL'],
      [{ OS_AUTH_URL: 'http://127.0.0.1:1/v2.0' }, 'ended version 2'],
      [{ OS_AUTH_URL: 'http://127.0.0.1:1/x' }, 'OS_IDENTITY_API_VERSION'],
      [{ OS_USERNAME: undefined }, 'needs OS_USERNAME'],
      [{ WALG_SWIFT_PREFIX: 'swift://no-such-container/x' }, 'openstack container create'],
      [{ SWIFT_SEGMENT_SIZE: '6g' }, 'at most 5g'],
      [{ OS_CACERT: '/nonexistent' }, 'OS_CACERT'],
    ]
    for (const [wrong, message] of cases) {
      const { exit, stderr } = await runWalg(['wal-push', history], { env: { ...good, ...wrong } })
      expect([exit, stderr.includes(message) ? message : stderr]).toEqual([1, message])
    }
  }, 60_000)
})
