import { afterAll, beforeAll, expect, test } from 'bun:test'
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { missingPostgres } from '../../support/postgres-binaries.ts'
import type { Finished } from '../../support/process.ts'
import { missingSshd, type SftpServer, startSftpServer } from '../../support/servers/sftp-server.ts'
import { describeUnless, testUnless } from '../../support/skip.ts'
import { tempDirectory } from '../../support/temp-directory.ts'
import { runWalg } from '../../support/walg.ts'
import { proveStorageRecovery } from './storage-recovery.ts'

describeUnless(missingSshd(), 'SFTP', () => {
  const place = tempDirectory('sftp-e2e')
  const history = place.at('00000002.history')
  let server: SftpServer
  beforeAll(async () => {
    server = await startSftpServer()
    writeFileSync(history, '1\t0/3000000\tno recovery target specified\n')
  })
  afterAll(async () => {
    await server.stop()
    place.remove()
  })

  const walPush = (settings: Record<string, string | undefined>): Promise<Finished> =>
    runWalg(['wal-push', history], { env: { ...server.settings(server.newRoot()), ...settings } })

  testUnless(
    missingPostgres(16),
    'holds WAL and backups under load, and gives a point in time back',
    () =>
      proveStorageRecovery({ major: 16, compression: 'zstd', storage: server.settings(server.newRoot()) }),
    180_000,
  )

  test('a directory that is missing is made by the commands that write, and only by them', async () => {
    const root = `${server.newRoot()}/not/there/yet`
    const settings = server.settings(root)
    const listed = await runWalg(['backup-list'], { env: settings })
    expect([listed.exit, listed.stderr.includes('there is no such directory')]).toEqual([1, true])
    const fetched = await runWalg(['wal-fetch', '00000002.history', place.at('fetched')], { env: settings })
    expect(fetched.exit).not.toBe(0)
    expect(fetched.exit).not.toBe(74)
    expect(existsSync(root)).toBe(false)
    const { exit, stderr } = await runWalg(['wal-push', history], { env: settings })
    expect([exit, stderr.includes('WARNING')]).toEqual([0, false])
    expect(existsSync(`${root}/wal_005/00000002.history.lz4`)).toBe(true)
  })

  test('every usual format of a private key is read', async () => {
    const { rsa, pem, encrypted } = server.keys
    for (const SSH_PRIVATE_KEY_PATH of [rsa, pem]) {
      expect((await walPush({ SSH_PRIVATE_KEY_PATH })).exit).toBe(0)
    }
    const locked = { SSH_PRIVATE_KEY_PATH: encrypted }
    expect((await walPush({ ...locked, SSH_PRIVATE_KEY_PASSPHRASE: 'secret' })).exit).toBe(0)
    const { exit, stderr } = await walPush(locked)
    expect([exit, stderr.includes('SSH_PRIVATE_KEY_PASSPHRASE')]).toEqual([1, true])
  })

  test('the key of the server is checked, or a warning names the settings that would', async () => {
    const unchecked = await walPush({ SSH_KNOWN_HOSTS_PATH: undefined })
    expect(unchecked.exit).toBe(0)
    expect(unchecked.stderr).toContain('set SSH_KNOWN_HOSTS_PATH or SSH_HOST_KEY')
    const pinned = { SSH_KNOWN_HOSTS_PATH: undefined, SSH_HOST_KEY: server.fingerprint }
    expect(await walPush(pinned)).toMatchObject({ exit: 0, stderr: expect.not.stringContaining('WARNING') })
    const [, type, key] = readFileSync(server.knownHosts, 'utf8').trim().split(' ')
    expect((await walPush({ ...pinned, SSH_HOST_KEY: `${type} ${key}` })).exit).toBe(0)

    const other = `SHA256:${'A'.repeat(43)}`
    const wrong = await walPush({ ...pinned, SSH_HOST_KEY: other })
    expect(wrong.exit).toBe(1)
    expect(wrong.stderr).toContain(`${server.fingerprint}, is not the one in SSH_HOST_KEY`)
    const hosts = place.at('known_hosts')
    writeFileSync(hosts, `[127.0.0.1]:${server.port + 1} ${type} ${key}\n`)
    const unknown = await walPush({ SSH_KNOWN_HOSTS_PATH: hosts })
    expect([unknown.exit, unknown.stderr.includes('has no key of "127.0.0.1"')]).toEqual([1, true])
    writeFileSync(
      hosts,
      `[127.0.0.1]:${server.port} ${type} ${key}\n@revoked [127.0.0.1]:${server.port} ${type} ${key}\n`,
    )
    const revoked = await walPush({ SSH_KNOWN_HOSTS_PATH: hosts })
    expect([revoked.exit, revoked.stderr.includes('is marked as revoked')]).toEqual([1, true])
  })

  test('a user that is not let in, a server that is not there, a key that is none: said at once, with the setting', async () => {
    const cases: readonly [Record<string, string>, string][] = [
      [{ SSH_USERNAME: 'nobody-here' }, 'does not let in "nobody-here"'],
      [{ SSH_PRIVATE_KEY_PATH: '/nonexistent' }, 'SSH_PRIVATE_KEY_PATH'],
      [{ SSH_PRIVATE_KEY_PATH: history }, 'no usable private key'],
      [{ WALG_SSH_PREFIX: 'ssh://127.0.0.1' }, 'a URL such as ssh://host/path'],
      [{ SSH_PORT: '70000' }, 'SSH_PORT is "70000"'],
      [{ SSH_USERNAME: '' }, 'needs SSH_USERNAME'],
    ]
    for (const [settings, message] of cases) {
      const { exit, stderr } = await walPush(settings)
      expect([exit, stderr.includes(message) ? message : stderr]).toEqual([1, message])
    }
  })
})
