import { expect } from 'bun:test'
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { freePort } from '../../support/cluster.ts'
import { giveToClusterUser } from '../../support/cluster-user.ts'
import { type Major, missingPostgres, postgresDirectory } from '../../support/postgres-binaries.ts'
import type { Finished } from '../../support/process.ts'
import { testUnless } from '../../support/skip.ts'
import { untilTrue } from '../../support/until-true.ts'
import { runWalg, walgCommand } from '../../support/walg.ts'
import {
  type ArchivingCluster,
  archiveEverything,
  LEDGER_SQL,
  startArchivingCluster,
  startStandby,
  untilPromoted,
  walg,
} from '../archiving-cluster.ts'
import { RestoredServer } from './restored-server.ts'

function settingsOf(source: ArchivingCluster, major: Major): Record<string, string> {
  return { ...source.settings, WALG_PG_BIN_DIR: path.join(postgresDirectory(major), 'bin') }
}

/** Restores, starts, asks one question. */
async function ask(
  source: ArchivingCluster,
  major: Major,
  name: string,
  args: readonly string[],
  sql: string,
): Promise<unknown> {
  const data = source.place.at(name)
  const port = await freePort()
  const start = ['--start', '--port', `${port}`, '--no-archive']
  await walg(['restore', data, ...args, ...start], settingsOf(source, major))
  await using server = new RestoredServer(data, port)
  return (await server.query(sql))[0]
}

const NOTES = `select string_agg(note, ' ' order by id) as notes from ledger where note like 'on %'`

testUnless(
  missingPostgres(16),
  'after a failover restore follows the new timeline, and the old one when told to; a backup of a standby will do',
  async () => {
    await using source = await startArchivingCluster({ major: 16, segmentSizeMiB: 1 })
    const { cluster } = source
    await cluster.query(LEDGER_SQL)
    await using standby = await startStandby(source, 'standby', {
      archive_mode: 'on',
      archive_command: walgCommand(source.settings, 'wal-push %p'),
    })
    await cluster.query('checkpoint')
    await walg(['backup-push', standby.dataDirectory], source.connection(standby))
    await cluster.query(`insert into ledger (note) values ('on both')`)
    await archiveEverything(cluster)
    const [row] = await cluster.query<{ lsn: string }>('select pg_current_wal_lsn()::text as lsn')
    const isThere = async (): Promise<boolean> =>
      (await standby.query<{ r: boolean }>(`select pg_last_wal_replay_lsn() >= '${row!.lsn}' as r`))[0]?.r ===
      true
    while (!(await isThere())) await Bun.sleep(20)
    await standby.query('select pg_promote()')
    await untilPromoted(standby)
    await standby.query(`insert into ledger (note) values ('on two')`)
    await standby.query(`select pg_create_restore_point('of_two')`)
    await archiveEverything(standby)
    await cluster.query(`insert into ledger (note) values ('on one')`)
    await cluster.query(`select pg_create_restore_point('of_one')`)
    await archiveEverything(cluster)

    const promote = '--promote'
    expect(await ask(source, 16, 'latest', ['--latest'], NOTES)).toEqual({ notes: 'on both on two' })
    expect(await ask(source, 16, 'two', ['--to-name', 'of_two', promote], NOTES)).toEqual({
      notes: 'on both on two',
    })
    const lost = await runWalg(['restore', source.place.at('lost'), '--to-name', 'of_one'], {
      env: source.settings,
      asClusterUser: true,
    })
    expect([lost.exit, lost.stderr]).toEqual([1, expect.stringContaining('timelines: 1, 2')])
    const one = ['--timeline', '1', '--to-name', 'of_one', promote]
    expect(await ask(source, 16, 'one', one, NOTES)).toEqual({ notes: 'on both on one' })
  },
  120_000,
)

testUnless(
  missingPostgres(16),
  'a moment that the cluster lived on a timeline which it has left is refused, until one says which is meant',
  async () => {
    await using source = await startArchivingCluster({ major: 16, segmentSizeMiB: 1 })
    const { cluster, place } = source
    const at = async (server: { query(sql: string): Promise<object[]> }): Promise<string> => {
      await Bun.sleep(5)
      const [row] = (await server.query('select clock_timestamp()::text as t')) as { t: string }[]
      await Bun.sleep(5)
      return row!.t
    }
    await cluster.query(LEDGER_SQL)
    await walg(['backup-push', cluster.dataDirectory], source.connection())
    await cluster.query(`insert into ledger (note) values ('on a')`)
    const first = await at(cluster)
    await cluster.query(`insert into ledger (note) values ('on b')`)
    const second = await at(cluster)
    await cluster.query(`insert into ledger (note) values ('on c')`)
    await archiveEverything(cluster)
    await cluster.kill()

    const data = place.at('recovered')
    const port = await freePort()
    const start = ['--promote', '--start', '--port', `${port}`]
    await walg(['restore', data, '--to-time', first, ...start], settingsOf(source, 16))
    await using recovered = new RestoredServer(data, port)
    const dry = (time: string, ...more: string[]): Promise<Finished> => {
      const args = ['restore', place.at('no'), '--to-time', time, '--dry-run', ...more]
      return runWalg(args, { env: source.settings, asClusterUser: true })
    }
    // nothing has ended on timeline 2 yet, and nothing ever did between its beginning and the next transaction there
    const history = path.join(source.repository, 'wal_005', '00000002.history.lz4')
    await untilTrue(() => existsSync(history), 60_000, 'the history')
    const idle = await at(recovered)
    expect((await dry(second)).stderr).toContain('--timeline 1 restores')
    const again = await dry(first)
    expect([again.exit, again.stderr]).toEqual([1, expect.stringContaining('--timeline 1 leads to it')])
    expect((await dry(first, '--timeline', '1')).exit).toBe(0)
    await recovered.query(`insert into ledger (note) values ('on two')`)
    const third = await at(recovered)
    await recovered.query(`insert into ledger (note) values ('on three')`)
    await recovered.query(`select pg_switch_wal()`)
    const segments = (): string[] =>
      readdirSync(path.dirname(history)).filter(name => /^00000002[0-9A-F]{16}\.lz4$/.test(name))
    await untilTrue(() => segments().length > 0, 60_000, 'the first segment of timeline 2')

    expect((await dry(idle)).exit).toBe(0)
    const bytes = readFileSync(history)
    writeFileSync(history, '')
    const empty = await dry(third)
    expect([empty.exit, empty.stderr]).toEqual([
      1,
      expect.stringContaining('"00000002.history" is an empty object'),
    ])
    rmSync(history)
    const lost = await runWalg(['restore', place.at('no'), '--latest', '--dry-run'], { env: source.settings })
    expect([lost.exit, lost.stderr]).toEqual([
      0,
      expect.stringContaining('timeline 1 is taken for the newest'),
    ])
    writeFileSync(history, bytes)
    giveToClusterUser(history)
    const refused = await dry(second)
    expect([refused.exit, refused.stderr]).toEqual([
      1,
      expect.stringContaining('was on timeline 1: the last transaction by then ended there at'),
    ])
    expect(refused.stderr).toContain('--timeline 1 restores what there was at that moment, --timeline latest')
    const asked = (name: string, args: readonly string[]): Promise<unknown> =>
      ask(source, 16, name, [...args, '--promote'], NOTES)
    expect(await asked('one', ['--to-time', second, '--timeline', '1'])).toEqual({ notes: 'on a on b' })
    expect(await asked('latest', ['--to-time', second, '--timeline', 'latest'])).toEqual({ notes: 'on a' })
    expect(await asked('first', ['--to-time', first])).toEqual({ notes: 'on a' })
    expect(await asked('third', ['--to-time', third])).toEqual({ notes: 'on a on two' })
  },
  120_000,
)

testUnless(
  missingPostgres(17),
  'a backup of a server that was shut down brings its WAL along: restore and drill need no archive',
  async () => {
    await using source = await startArchivingCluster({ major: 17, segmentSizeMiB: 1 })
    const { cluster, repository } = source
    cluster.configure({ archive_mode: 'off' })
    await cluster.stop()
    await cluster.start()
    await cluster.query(LEDGER_SQL)
    await cluster.query(`insert into ledger (note) values ('on disk')`)
    await cluster.stop()
    await walg(['backup-push', cluster.dataDirectory], source.settings)
    expect(repository).not.toBe('')
    expect(await ask(source, 17, 'rested', ['--latest'], NOTES)).toEqual({ notes: 'on disk' })
    const drill = await walg(['drill', '--json'], settingsOf(source, 17))
    expect(JSON.parse(drill.stdout).result).toBe('OK')
    const refused = await runWalg(['restore', source.place.at('refused'), '--to-lsn', 'F/0'], {
      env: source.settings,
      asClusterUser: true,
    })
    expect([refused.exit, refused.stderr]).toEqual([
      1,
      expect.stringContaining('no WAL behind it is archived'),
    ])
  },
  90_000,
)

testUnless(
  missingPostgres(18),
  'a chain of deltas is restored to a moment behind its newest, and a drill proves it',
  async () => {
    await using source = await startArchivingCluster({ major: 18, segmentSizeMiB: 1 })
    const { cluster } = source
    await cluster.query(LEDGER_SQL)
    for (const note of ['on full', 'on first', 'on second']) {
      await walg(['backup-push', cluster.dataDirectory], {
        ...source.connection(),
        WALG_DELTA_MAX_STEPS: '5',
      })
      await cluster.query(`insert into ledger (note) values ('${note}')`)
      await cluster.query(`update ledger set changes = changes + 1 where id % 50 = 0`)
    }
    await cluster.query(`select pg_create_restore_point('behind_deltas')`)
    await cluster.query(`insert into ledger (note) values ('on nothing')`)
    await archiveEverything(cluster)
    const args = ['--to-name', 'behind_deltas', '--promote']
    expect(await ask(source, 18, 'chain', args, NOTES)).toEqual({ notes: 'on full on first on second' })
    const drill = await walg(['drill', '--json'], settingsOf(source, 18))
    expect(JSON.parse(drill.stdout)).toMatchObject({ result: 'OK', backup: expect.stringContaining('_D_') })
  },
  90_000,
)
