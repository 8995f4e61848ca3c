import { expect, setDefaultTimeout, test } from 'bun:test'
import { runWalg } from '../../support/walg.ts'
import { admitReplication, startArchivingCluster } from '../archiving-cluster.ts'

setDefaultTimeout(120_000)

const KEY = '0123456789abcdef'.repeat(4)
const SEALED = { WALG_LIBSODIUM_KEY: KEY, WALG_LIBSODIUM_KEY_TRANSFORM: 'hex' }

test('an encrypted backup whose WAL archive_command stores without the key is warned about', async () => {
  await using source = await startArchivingCluster({ major: 16, segmentSizeMiB: 1 })
  const { cluster } = source
  await admitReplication(cluster)
  const isWarned = async (args: readonly string[], more: Record<string, string>): Promise<boolean> => {
    await cluster.query(`select pg_logical_emit_message(true, '', ''), pg_switch_wal()`)
    const { exit, stderr } = await runWalg(['backup-push', ...args], {
      env: { ...source.connection(), ...more },
    })
    expect([exit, stderr]).toEqual([0, expect.stringContaining('Wrote backup')])
    return stderr
      .split('\n')
      .some(line => line.startsWith('WARNING') && line.includes('runs without the key'))
  }
  for (const args of [[cluster.dataDirectory], []]) {
    expect(await isWarned(args, SEALED)).toBe(true)
    expect(await isWarned(args, { ...SEALED, WALG_READ_UNENCRYPTED: 'true' })).toBe(false)
    expect(await isWarned(args, {})).toBe(false)
  }
})

test('of WAL that is encrypted, too, nothing is said', async () => {
  await using source = await startArchivingCluster({ major: 16, segmentSizeMiB: 1, encryptionKey: KEY })
  const { exit, stderr } = await runWalg(['backup-push', source.cluster.dataDirectory], {
    env: source.connection(),
  })
  expect([exit, stderr]).toEqual([0, expect.not.stringContaining('runs without the key')])
})
