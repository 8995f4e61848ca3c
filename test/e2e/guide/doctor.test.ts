import { expect } from 'bun:test'
import { chmodSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { giveToClusterUser } from '../../support/cluster-user.ts'
import { missingPostgres } from '../../support/postgres-binaries.ts'
import { testUnless } from '../../support/skip.ts'
import { untilTrue } from '../../support/until-true.ts'
import { runWalg } from '../../support/walg.ts'
import {
  type ArchivingCluster,
  archiveEverything,
  startArchivingCluster,
  walg,
} from '../archiving-cluster.ts'

interface Found {
  readonly area: string
  readonly verdict: string
  readonly message: string
  readonly fix: string | null
}

async function examine(
  source: ArchivingCluster,
  more: Readonly<Record<string, string>> = {},
  args: readonly string[] = [],
): Promise<{ readonly exit: number | null; readonly result: string; readonly findings: readonly Found[] }> {
  const env = { ...source.connection(), ...more }
  const { exit, stdout, stderr } = await runWalg(['doctor', '--json', ...args], { env, asClusterUser: true })
  if (stdout === '') throw new Error(stderr)
  return { exit, ...JSON.parse(stdout) }
}

/** Of the segment of 1 MiB that follows. */
const nameAfter = (object: string): string =>
  `${(BigInt(`0x${object.slice(0, 24)}`) + 1n).toString(16).toUpperCase().padStart(24, '0')}${object.slice(24)}`

const failures = (findings: readonly Found[]): string[] =>
  findings.filter(({ verdict }) => verdict === 'failure').map(({ message }) => message)

for (const major of [13, 18] as const) {
  testUnless(
    missingPostgres(major),
    `PostgreSQL ${major}: doctor finds nothing where all is well, and the name of each thing that is not`,
    async () => {
      await using source = await startArchivingCluster({
        major,
        segmentSizeMiB: 1,
        encryptionKey: '0123456789abcdef'.repeat(4),
        settings: { archive_timeout: '60s', fsync: true },
      })
      const { cluster, repository, place } = source
      const young = await examine(source)
      expect([young.exit, failures(young.findings)]).toEqual([4, ['there is no backup']])
      await walg(['backup-push', cluster.dataDirectory], source.connection())
      for (let round = 0; round < 4; round++) await archiveEverything(cluster)
      const good = await examine(source)
      expect(failures(good.findings)).toEqual([])
      expect(good.exit).toBe(0)
      const areas = new Set(good.findings.filter(({ verdict }) => verdict === 'ok').map(({ area }) => area))
      expect([...areas].sort()).toEqual(['archiving', 'backups', 'disk', 'keys', 'server', 'storage'])
      // nothing of its own is left
      expect(readdirSync(repository).sort()).toEqual(['basebackups_005', 'wal_005'])

      const old = await examine(source, {}, ['--max-backup-age', '1ms'])
      expect(old.findings).toContainEqual(expect.objectContaining({ area: 'backups', verdict: 'warning' }))
      const size = await examine(source, { WALG_PG_WAL_SIZE: '16' })
      expect(size.findings).toContainEqual(expect.objectContaining({ fix: 'set WALG_PG_WAL_SIZE to 1' }))
      const key = await examine(source, { WALG_LIBSODIUM_KEY: 'f'.repeat(64) })
      expect([key.exit, failures(key.findings).join()]).toEqual([
        4,
        expect.stringContaining('cannot be judged'),
      ])
      const away = await examine(source, { WALG_FILE_PREFIX: place.at('nowhere') })
      expect(failures(away.findings).join()).toContain('the storage does not answer')
      expect(away.findings.some(({ area }) => area === 'server')).toBe(true)
      const lost = await examine(source, { PGPORT: '1' })
      expect(failures(lost.findings).join()).toContain('the server cannot be reached')
      expect((await examine(source, { PGPORT: '1' }, ['--no-server'])).exit).toBe(0)

      const wal = path.join(repository, 'wal_005')
      const hole = readdirSync(wal).sort().at(-2)!
      renameSync(path.join(wal, hole), place.at('hole'))
      expect(failures((await examine(source)).findings)).toContainEqual(
        expect.stringContaining(`WAL segment ${hole.slice(0, 24)} is missing`),
      )
      renameSync(place.at('hole'), path.join(wal, hole))
      const last = readdirSync(wal)
        .filter(name => /^[0-9A-F]{24}\.[a-z]\w*$/.test(name))
        .sort()
        .at(-1)!
      writeFileSync(path.join(wal, nameAfter(last)), '')
      expect(failures((await examine(source)).findings)).toContainEqual(
        expect.stringContaining(`WAL segment ${nameAfter(last).slice(0, 24)} is an empty object`),
      )
      rmSync(path.join(wal, nameAfter(last)))
      const leftover = path.join(repository, 'basebackups_005', `base_${'0'.repeat(24)}`, 'tar_partitions')
      mkdirSync(leftover, { recursive: true })
      for (const folder of [path.dirname(leftover), leftover]) giveToClusterUser(folder, 0o700)
      const unfinished = expect.stringContaining('never finished')
      expect((await examine(source)).findings.map(({ message }) => message)).not.toContainEqual(unfinished)
      writeFileSync(path.join(leftover, 'part_001.tar.lz4'), 'x')
      expect((await examine(source)).findings.map(({ message }) => message)).toContainEqual(unfinished)
      rmSync(path.dirname(leftover), { recursive: true })

      const grant = major >= 15 ? 'pg_backup_start(text, boolean)' : 'pg_start_backup(text, boolean, boolean)'
      await cluster.query(`revoke execute on function ${grant} from wal_g`)
      expect((await examine(source)).findings).toContainEqual(
        expect.objectContaining({ fix: expect.stringContaining('GRANT EXECUTE ON FUNCTION') }),
      )
      await cluster.query(`grant execute on function ${grant} to wal_g`)

      await cluster.query(`alter system set archive_command = 'false'`)
      await cluster.reload()
      await untilTrue(
        async () => {
          // the archiver may send a segment or two before it hears of the new command
          await cluster.query(`select pg_logical_emit_message(true, '', ''), pg_switch_wal()`)
          return failures((await examine(source)).findings).some(text => text.startsWith('archiving fails'))
        },
        30_000,
        'the failed archiving',
      )
    },
    120_000,
  )
}

testUnless(
  missingPostgres(17),
  'a config file with a secret that others can read is a warning, one that they can change a failure',
  async () => {
    await using source = await startArchivingCluster({ major: 17, segmentSizeMiB: 1 })
    const config = source.place.at('wal-g.yaml')
    writeFileSync(
      config,
      `WALG_FILE_PREFIX: ${source.repository}\nWALG_LIBSODIUM_KEY: ${'ab'.repeat(32)}\nWALG_LIBSODIUM_KEY_TRANSFORM: hex\n`,
    )
    giveToClusterUser(config)
    const look = async (mode: number): Promise<readonly Found[]> => {
      chmodSync(config, mode)
      const args = ['--config', config, 'doctor', '--json', '--no-server']
      const { stdout } = await runWalg(args, { env: {}, asClusterUser: true })
      return JSON.parse(stdout).findings.filter(({ area }: Found) => area === 'settings')
    }
    expect(await look(0o600)).toEqual([])
    expect(await look(0o644)).toEqual([
      expect.objectContaining({ verdict: 'warning', fix: `chmod 600 ${config}` }),
    ])
    writeFileSync(config, `WALG_FILE_PREFIX: ${source.repository}\n`)
    expect(await look(0o666)).toEqual([expect.objectContaining({ verdict: 'failure' })])
    rmSync(config)
  },
)
