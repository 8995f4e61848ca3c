import { expect } from 'bun:test'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { type Cluster, startRestored } from '../../support/cluster.ts'
import { type Major, missingPostgres } from '../../support/postgres-binaries.ts'
import { testUnless } from '../../support/skip.ts'
import { untilTrue } from '../../support/until-true.ts'
import { runWalg, walgCommand } from '../../support/walg.ts'
import {
  type ArchivingCluster,
  archiveEverything,
  complaints,
  digest,
  LEDGER_SQL,
  startArchivingCluster,
  startStandby,
  untilReplayed,
  walg,
} from '../archiving-cluster.ts'
import { VISIBILITY_OF_T } from '../integrity.ts'

const primaryOf = ({ cluster }: ArchivingCluster): string =>
  `host=${cluster.host} port=${cluster.port} user=postgres dbname=postgres`

for (const major of [13, 18] as const satisfies readonly Major[]) {
  testUnless(
    missingPostgres(major),
    `PostgreSQL ${major}: a delta of an idle standby ends when its primary has archived the WAL, and restores by that alone`,
    async () => {
      await using source = await startArchivingCluster({ major, segmentSizeMiB: 1 })
      const { cluster: primary, place } = source
      await primary.query(LEDGER_SQL)
      await using standby = await startStandby(source, 'standby')
      const settings = { ...source.connection(standby), WALG_DELTA_MAX_STEPS: '5' }
      const withPrimary = { ...settings, WALG_PRIMARY_CONNINFO: primaryOf(source) }
      const full = await walg(['backup-push', primary.dataDirectory], {
        ...source.connection(),
        WALG_DELTA_MAX_STEPS: '5',
      })
      expect(complaints(full.stderr)).toEqual([])
      const parent = /Wrote backup with name (\S+)/.exec(full.stderr)![1]!
      await primary.query(`update ledger set note = 'changed' where id % 100 = 0`)
      await primary.query('checkpoint')
      const noted = await digest(primary, 'ledger')
      await untilTrue(
        async () => (await digest(standby, 'ledger')) === noted,
        30_000,
        'the standby catching up',
      )

      // nobody ends the segment: without a limit a WARNING, with one an error; no endless wait
      const limited = await runWalg(['backup-push', '--full', standby.dataDirectory], {
        env: { ...settings, WALG_STOP_BACKUP_TIMEOUT: '2s' },
        asClusterUser: true,
      })
      expect([limited.exit, limited.stderr]).toEqual([1, expect.stringContaining('pg_switch_wal')])
      const warned = await walg(['backup-push', '--full', standby.dataDirectory], settings)
      expect(complaints(warned.stderr)).toEqual([expect.stringContaining('WALG_PRIMARY_CONNINFO')])

      const asked = await walg(
        ['backup-push', '--delta-from-name', parent, standby.dataDirectory],
        withPrimary,
      )
      expect(complaints(asked.stderr)).toEqual([])
      expect(asked.stderr).toContain('Asking the primary to switch to a new WAL segment')
      expect(asked.stderr).toContain('Delta backup enabled')
      await standby.kill()
      await primary.kill()

      const data = place.at('restored')
      await walg(['backup-fetch', data, 'LATEST'], source.settings)
      await using restored = await startRestored(data, {
        major,
        settings: {
          restore_command: walgCommand(source.settings, 'wal-fetch %f %p'),
          primary_conninfo: '',
          recovery_target: 'immediate',
          recovery_target_action: 'promote',
        },
      })
      expect(await digest(restored, 'ledger')).toBe(noted)
    },
    180_000,
  )
}

testUnless(
  missingPostgres(16),
  'a parent that a standby has ended at the end of a switched segment is one',
  async () => {
    await using source = await startArchivingCluster({
      major: 16,
      segmentSizeMiB: 1,
      settings: { autovacuum: 'off' },
    })
    const { cluster: primary, repository } = source
    await primary.query(LEDGER_SQL)
    await using standby = await startStandby(source, 'standby')
    const settings = { ...source.connection(standby), WALG_PRIMARY_CONNINFO: primaryOf(source) }
    const push = async (args: readonly string[]): Promise<{ name: string; stderr: string }> => {
      await primary.query(`update ledger set changes = changes + 1 where id % 100 = 0`)
      await primary.query('checkpoint')
      await primary.query('select pg_switch_wal()')
      await untilReplayed(primary, standby)
      await standby.query('checkpoint')
      const { stderr } = await walg(['backup-push', ...args, standby.dataDirectory], {
        ...settings,
        WALG_DELTA_MAX_STEPS: '5',
      })
      return { name: /Wrote backup with name (\S+)/.exec(stderr)![1]!, stderr }
    }
    const endsWithSegment = (name: string): boolean => {
      const file = path.join(repository, 'basebackups_005', `${name}_backup_stop_sentinel.json`)
      return JSON.parse(readFileSync(file, 'utf8')).FinishLSN % (1 << 20) === 0
    }
    // the server may write between the switch and the backup: then once more
    let full = await push(['--full'])
    for (let attempt = 0; attempt < 10 && !endsWithSegment(full.name); attempt++)
      full = await push(['--full'])
    expect(endsWithSegment(full.name)).toBe(true)
    const delta = await push([])
    expect(complaints(delta.stderr)).toEqual([])
    expect(delta.name).toContain('_D_')
  },
  120_000,
)

testUnless(
  missingPostgres(15),
  'the wal_log_hints of a standby count for its pages, not those of its primary: what VACUUM has marked is in the delta',
  async () => {
    await using source = await startArchivingCluster({
      major: 15,
      segmentSizeMiB: 1,
      settings: { autovacuum: 'off', wal_log_hints: 'on' },
      cluster: { checksums: false },
    })
    const { cluster: primary, place } = source
    await primary.query('create extension pg_visibility')
    await primary.query('create table t as select g as id from generate_series(1, 30000) g')
    await primary.query('select count(*) from t')
    await using standby = await startStandby(source, 'standby', { wal_log_hints: 'off' })
    const scan = { WALG_DELTA_MAX_STEPS: '5', WALG_CHANGED_BLOCKS: 'scan' }
    await walg(['backup-push', primary.dataDirectory], { ...source.connection(), ...scan })
    await primary.query('vacuum t')
    await primary.query('checkpoint')
    const noted = await digest(primary, 't')
    const [now] = await primary.query<{ lsn: string }>('select pg_current_wal_flush_lsn() as lsn')
    const isReplayed = `select pg_last_wal_replay_lsn() >= '${now!.lsn}' as done`
    await untilTrue(
      async () => (await standby.query<{ done: boolean }>(isReplayed))[0]!.done,
      30_000,
      'the standby catching up',
    )
    const { stderr } = await walg(['backup-push', standby.dataDirectory], {
      ...source.connection(standby),
      ...scan,
      WALG_PRIMARY_CONNINFO: primaryOf(source),
    })
    expect(stderr).toContain('Pages that are marked all-visible are taken of')
    const data = place.at('restored')
    await walg(['backup-fetch', data, 'LATEST'], source.settings)
    await using restored = await startRestored(data, {
      major: 15,
      settings: {
        restore_command: walgCommand(source.settings, 'wal-fetch %f %p'),
        primary_conninfo: '',
        recovery_target: 'immediate',
        recovery_target_action: 'promote',
      },
    })
    expect(await digest(restored, 't')).toBe(noted)
    expect(await restored.query(VISIBILITY_OF_T)).toEqual([{ visible: 133, unmarked: 0 }])
  },
  180_000,
)

testUnless(
  missingPostgres(17),
  'a primary that cannot be asked in the end is an error before the backup begins, beside the data directory and over the wire',
  async () => {
    await using source = await startArchivingCluster({ major: 17, segmentSizeMiB: 1 })
    await using standby = await startStandby(source, 'standby')
    await using other = await startArchivingCluster({ major: 17, segmentSizeMiB: 1 })
    await archiveEverything(source.cluster)
    await source.cluster.query('create table t (a int)')
    const address = ({ host, port }: Cluster): string => `host=${host} port=${port} dbname=postgres`
    for (const [primary, what] of [
      [`${address(standby)} user=postgres`, 'is a standby'],
      [`${address(other.cluster)} user=postgres`, 'is of system'],
      ['host=127.0.0.1 port=1 user=postgres', 'the primary (WALG_PRIMARY_CONNINFO): failed to connect'],
      [address(source.cluster), 'GRANT EXECUTE ON FUNCTION pg_switch_wal()'],
    ] as const) {
      for (const directory of [[standby.dataDirectory], []]) {
        const { exit, stderr } = await runWalg(['backup-push', ...directory], {
          env: { ...source.connection(standby), WALG_PRIMARY_CONNINFO: primary },
          asClusterUser: true,
        })
        expect([exit, stderr]).toEqual([1, expect.stringContaining(what)])
        expect(stderr).not.toContain('Started backup')
      }
    }
    const { stdout } = await runWalg(['backup-list'], { env: source.settings, asClusterUser: true })
    expect(stdout).not.toContain('base_')
  },
  180_000,
)

testUnless(
  missingPostgres(16),
  'times of files are not compared with those of a parent that was taken on another host',
  async () => {
    await using source = await startArchivingCluster({
      major: 16,
      segmentSizeMiB: 1,
      cluster: { archiveCommand: 'true' },
    })
    const { cluster: primary } = source
    await primary.query(LEDGER_SQL)
    const steps = { WALG_DELTA_MAX_STEPS: '5' }
    await walg(['backup-push', primary.dataDirectory], { ...source.connection(), ...steps })
    // its files are copies, and younger
    await using standby = await startStandby(source, 'standby')
    const goOn = async (): Promise<void> => {
      for (let segment = 0; segment < 6; segment++) {
        await primary.query(`update ledger set changes = changes + 1 where id % 100 = 0`)
        await primary.query('select pg_switch_wal()')
      }
      for (let time = 0; time < 2; time++) await primary.query('checkpoint')
      await untilReplayed(primary, standby)
      await standby.query('checkpoint')
    }
    await goOn()
    const env = { ...source.connection(standby), ...steps }
    const there = await walg(['backup-push', standby.dataDirectory], env)
    const parent = /Wrote backup with name (\S+)/.exec(there.stderr)![1]!
    expect(parent).toContain('_D_')
    await goOn()
    const here = await walg(['backup-push', primary.dataDirectory], { ...source.connection(), ...steps })
    expect(here.stderr).toMatch(/Wrote backup with name \S+_D_/)
    expect(here.stderr).toContain(`whether the cluster went on from where ${parent} ended cannot be checked`)
  },
  120_000,
)
