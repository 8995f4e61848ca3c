import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import path from 'node:path'
import { freePort } from '../../support/cluster.ts'
import { giveToClusterUser } from '../../support/cluster-user.ts'
import { missingPostgres, postgresDirectory } from '../../support/postgres-binaries.ts'
import type { Finished } from '../../support/process.ts'
import { runWalg } from '../../support/walg.ts'
import {
  type ArchivingCluster,
  archiveEverything,
  startArchivingCluster,
  walg,
} from '../archiving-cluster.ts'
import { RestoredServer } from './restored-server.ts'

const MAJOR = 17

describe('wal-g restore', () => {
  const reason = missingPostgres(MAJOR)
  if (reason !== undefined) {
    test.skip(`refusals [skipped: ${reason}]`, () => undefined)
    return
  }
  let source: ArchivingCluster
  let settings: Record<string, string>
  let times: { readonly before: string; readonly within: string; readonly last: string }
  let subtransaction: { readonly parent: string; readonly child: string }
  let prepared: string
  let endLsn: string

  const now = async (): Promise<string> => {
    await Bun.sleep(3)
    const [row] = await source.cluster.query<{ t: string }>('select clock_timestamp()::text as t')
    await Bun.sleep(3)
    return row!.t
  }

  beforeAll(async () => {
    source = await startArchivingCluster({
      major: MAJOR,
      segmentSizeMiB: 1,
      settings: { max_prepared_transactions: 5 },
    })
    settings = { ...source.settings, WALG_PG_BIN_DIR: path.join(postgresDirectory(MAJOR), 'bin') }
    const { cluster } = source
    await cluster.query('create table t (id int)')
    const before = await now()
    await walg(['backup-push', cluster.dataDirectory], source.connection())
    await cluster.query('insert into t values (1)')
    const within = await now()
    await cluster.query(
      `select pg_create_restore_point('before_lunch'), pg_create_restore_point('after_lunch')`,
    )
    const client = await cluster.client()
    await client.query('begin; insert into t values (2)')
    const parent = await client.query('select pg_current_xact_id()::text as x')
    await client.query('savepoint one; insert into t values (3)')
    const child = await client.query(`select xmin::text as x from t where id = 3`)
    await client.query('commit')
    subtransaction = { parent: parent.rows[0].x, child: child.rows[0].x }
    await client.query('create table dropped (id serial primary key)')
    await client.query('begin; drop table dropped')
    prepared = (await client.query('select pg_current_xact_id()::text as x')).rows[0].x
    await client.query(`prepare transaction 'two phases'`)
    await client.query(`commit prepared 'two phases'`)
    const last = await now()
    await archiveEverything(cluster)
    await archiveEverything(cluster)
    const [row] = await cluster.query<{ lsn: string }>('select pg_current_wal_lsn()::text as lsn')
    endLsn = row!.lsn
    times = { before, within, last }
  }, 60_000)
  afterAll(() => source[Symbol.asyncDispose](), 60_000)

  const run = (args: readonly string[], env = settings): Promise<Finished> =>
    runWalg(['restore', ...args], { env, asClusterUser: true })

  /** Names of the objects of segments, in order. */
  const segmentObjects = (): string[] =>
    readdirSync(path.join(source.repository, 'wal_005'))
      .filter(name => /^[0-9A-F]{24}\.[a-z]\w*$/.test(name))
      .sort()

  /** It says why and what instead, and nothing was made. */
  async function expectRefused(
    args: readonly string[],
    why: string | RegExp,
    hint: string | RegExp,
  ): Promise<void> {
    const target = source.place.at('refused')
    const { exit, stderr } = await run([target, ...args])
    expect({ exit, stderr }).toEqual({ exit: 1, stderr: expect.stringMatching(why) })
    expect(/hint: .*/.exec(stderr)?.[0] ?? '').toMatch(hint)
    expect(existsSync(target)).toBe(false)
    expect(existsSync(`${target}.wal-g.json`)).toBe(false)
  }

  test('a time without a zone is refused, with its two readings', async () => {
    await expectRefused(
      ['--to-time', '2026-11-22 14:28:09'],
      'has no time zone',
      '"2026-11-22 14:28:09+00" for UTC',
    )
    await expectRefused(['--to-time', 'yesterday'], 'not a time', '14:28:09')
  })

  test('a time in the future is refused', async () => {
    await expectRefused(['--to-time', '2999-01-01T00:00:00Z'], 'lies in the future', '--latest')
  })

  test('a time or an LSN before the first backup is refused, with the earliest that can be reached', async () => {
    await expectRefused(
      ['--to-time', times.before],
      'no backup had ended before',
      /--to-time "[^"]+[+]00" is the earliest/,
    )
    const list = await walg(['backup-list', '--json'], settings)
    const only = JSON.parse(list.stdout)[0].backup_name as string
    await expectRefused(
      ['--to-time', times.before, '--backup', only],
      `backup ${only} ended after`,
      /--to-time "[^"]+[+]00" is the earliest that it reaches/,
    )
    await expectRefused(
      ['--to-lsn', '0/100'],
      'no backup had ended before',
      /--to-lsn [0-9A-F/]+ is the earliest/,
    )
  })

  test('what is not archived yet is refused, with the last moment that is', async () => {
    await source.cluster.query('select pg_switch_wal()')
    await expectRefused(
      ['--to-time', await now()],
      'is not in the archive: the last transaction ended at',
      '--latest',
    )
    await expectRefused(['--to-lsn', 'F/0'], 'is not archived yet: the archive ends with LSN', '--latest')
  })

  test('a name that is not in the WAL is refused, with those that are', async () => {
    await expectRefused(
      ['--to-name', 'lunch'],
      'restore point "lunch" is not in the archived WAL',
      /"before_lunch".*"after_lunch"/,
    )
  })

  test('a transaction that did not end in the WAL is refused, with its neighbours, or its parent', async () => {
    const { parent, child } = subtransaction
    await expectRefused(
      ['--to-xid', '4000'],
      'transaction 4000 is not in the archived WAL',
      /--to-xid \d+ \(commit at/,
    )
    await expectRefused(
      ['--to-xid', child],
      'is not in the archived WAL',
      `it was a subtransaction: take --to-xid ${parent}`,
    )
  })

  test('a prepared transaction is found by its own number, whatever its commit carries', async () => {
    const { exit, stdout, stderr } = await run([
      source.place.at('dry'),
      '--to-xid',
      prepared,
      '--dry-run',
      '--json',
    ])
    expect([exit, stderr]).toEqual([0, expect.stringContaining(`transaction ${prepared}`)])
    expect(JSON.parse(stdout)).toMatchObject({ restored: false, target: 'xid' })
    expect(existsSync(source.place.at('dry'))).toBe(false)
  })

  test('two targets, an unknown timeline, an unknown backup and an unknown tablespace are refused', async () => {
    const two = await run([source.place.at('refused'), '--latest', '--immediate'])
    expect([two.exit, two.stderr]).toEqual([1, expect.stringContaining('only one of --immediate, --latest')])
    await expectRefused(['--timeline', '7'], 'nothing of timeline 7', 'timelines that are there: 1')
    await expectRefused(['--backup', 'base_x'], 'does not exist', 'the newest is base_')
    await expectRefused(['--tablespace-mapping', '/a=/b'], 'no tablespace at "/a"', 'it has no tablespaces')
    await expectRefused(
      ['--tablespace-mapping', '/a\\,b=/c'],
      'no tablespace at "/a,b"',
      'it has no tablespaces',
    )
  })

  test('the directory of a running server is refused, with a place beside it', async () => {
    const { dataDirectory } = source.cluster
    for (const args of [[], ['--into-existing']]) {
      const { exit, stderr } = await run([dataDirectory, ...args])
      expect([exit, stderr]).toEqual([1, expect.stringContaining(`a server runs in "${dataDirectory}"`)])
      expect(stderr).toContain(`${dataDirectory}.restored`)
    }
    expect(await source.cluster.query('select count(*)::int as n from t')).toEqual([{ n: 3 }])
  })

  test('a directory that is not empty is refused', async () => {
    const target = source.place.at('occupied')
    mkdirSync(target)
    writeFileSync(path.join(target, 'precious'), 'x')
    giveToClusterUser(target, 0o700)
    const { exit, stderr } = await run([target])
    expect([exit, stderr]).toEqual([1, expect.stringContaining('must be empty')])
    expect(readdirSync(target)).toEqual(['precious'])
  })

  test('a hole in the WAL is found before anything is written, with what can be reached without it', async () => {
    const wal = path.join(source.repository, 'wal_005')
    const hole = segmentObjects().at(-2)!
    renameSync(path.join(wal, hole), source.place.at('hole'))
    try {
      await expectRefused(['--latest'], `${hole.slice(0, 24)} is not in the archive`, '--to-lsn ')
      await expectRefused(['--to-lsn', endLsn], `${hole.slice(0, 24)} is not in the archive`, '--to-lsn ')
    } finally {
      renameSync(source.place.at('hole'), path.join(wal, hole))
    }
  })

  test('an empty object where the WAL goes on is found before anything is written', async () => {
    const wal = path.join(source.repository, 'wal_005')
    const last = segmentObjects().at(-1)!
    const next = `${(BigInt(`0x${last.slice(0, 24)}`) + 1n).toString(16).toUpperCase().padStart(24, '0')}`
    const empty = path.join(wal, `${next}${last.slice(24)}`)
    writeFileSync(empty, '')
    try {
      await expectRefused(['--latest'], `${next} is an empty object`, /push it again.*--to-lsn /)
    } finally {
      rmSync(empty)
    }
  })

  test('that the newest backup lacks WAL, and an older one is taken, is a WARNING', async () => {
    const { cluster } = source
    const before = await walg(['backup-list', '--json'], settings)
    const older = JSON.parse(before.stdout).at(-1).backup_name as string
    const pushed = await walg(['backup-push', cluster.dataDirectory], source.connection())
    const newest = /Wrote backup with name (\S+)/.exec(pushed.stderr)![1]!
    await archiveEverything(cluster)
    const start = newest.slice('base_'.length)
    const [object] = segmentObjects().filter(name => name.startsWith(start))
    const place = path.join(source.repository, 'wal_005', object!)
    renameSync(place, source.place.at('hole'))
    try {
      const dry = [source.place.at('dry'), '--immediate', '--dry-run', '--json']
      const { exit, stdout, stderr } = await run(dry)
      expect([exit, JSON.parse(stdout)]).toEqual([0, expect.objectContaining({ backup: older })])
      const told = stderr.split('\n').filter(line => line.startsWith('WARNING') && line.includes(newest))
      expect(told).toEqual([
        expect.stringMatching(new RegExp(`${start} is not in the archive.*${older} is taken instead`)),
      ])
    } finally {
      renameSync(source.place.at('hole'), place)
    }
  })

  test('the program of the server is looked for before anything is written', async () => {
    const env = { ...settings, WALG_PG_BIN_DIR: path.join(postgresDirectory(16), 'bin') }
    const { exit, stderr } = await run([source.place.at('refused'), '--start'], env)
    expect([exit, stderr]).toEqual([1, expect.stringContaining('"postgres" of PostgreSQL 17 was not found')])
    expect(existsSync(source.place.at('refused'))).toBe(false)
  })

  test('as root nothing is started, unless a user is named', async () => {
    if (process.getuid?.() !== 0) return
    const data = source.place.at('of-root')
    const refused = await runWalg(['restore', data, '--start'], { env: settings })
    expect([refused.exit, refused.stderr]).toEqual([1, expect.stringContaining('--user postgres')])
    expect(existsSync(data)).toBe(false)
    const port = await freePort()
    const args = ['restore', data, '--start', '--port', `${port}`, '--no-archive', '--user', 'nobody']
    const done = await runWalg(args, { env: settings })
    await using server = new RestoredServer(data, port)
    expect([done.exit, done.stderr]).toEqual([0, expect.stringContaining('the server is promoted')])
    expect(await server.query('select count(*)::int as n from t')).toEqual([{ n: 3 }])
  }, 60_000)

  test('at the target it pauses, and goes on when told to; or shuts down', async () => {
    const paused = source.place.at('paused')
    const port = await freePort()
    const args = ['--to-time', times.within, '--start', '--port', `${port}`, '--no-archive', '--json']
    const done = await walg(['restore', paused, ...args], settings)
    await using server = new RestoredServer(paused, port)
    expect(JSON.parse(done.stdout).server.state).toBe('paused')
    expect(await server.query('select pg_is_in_recovery() as r, count(*)::int as n from t')).toEqual([
      { r: true, n: 1 },
    ])
    expect(done.stderr).toContain('pg_wal_replay_resume()')

    const ended = source.place.at('ended')
    const name = ['--to-name', 'after_lunch', '--shutdown', '--start', '--port', `${await freePort()}`]
    const shut = await walg(['restore', ended, ...name, '--no-archive', '--json'], settings)
    expect(JSON.parse(shut.stdout).server).toMatchObject({ state: 'shut down', pid: null })
    expect(existsSync(path.join(ended, 'postmaster.pid'))).toBe(false)
  }, 60_000)

  test('it says that archiving stays on, and which configuration lies outside; stale targets do no harm', async () => {
    const { cluster, place } = source
    const outside = place.at('outside.conf')
    writeFileSync(outside, '')
    giveToClusterUser(outside, 0o644)
    appendFileSync(
      path.join(cluster.dataDirectory, 'postgresql.conf'),
      `\ninclude = '${outside}'\nrecovery_target_name = 'of an older recovery'\narchive_cleanup_command = 'touch ${place.at('cleaned')}'\n`,
    )
    await walg(['backup-push', cluster.dataDirectory], source.connection())
    await cluster.query(`select pg_create_restore_point('second')`)
    await archiveEverything(cluster)
    const data = place.at('warned')
    const port = await freePort()
    const done = await walg(
      ['restore', data, '--to-name', 'second', '--promote', '--start', '--port', `${port}`],
      // the archive_command of the original must not succeed for this copy
      { ...settings, WALG_PREVENT_WAL_OVERWRITE: 'true' },
    )
    await using _ = new RestoredServer(data, port)
    expect(done.stderr).toContain('archive_mode stays on')
    expect(done.stderr).toContain('--no-archive')
    expect(done.stderr).toContain(`include names "${outside}", outside of the restored directory`)
    expect(existsSync(place.at('cleaned'))).toBe(false)
    const auto = readFileSync(path.join(data, 'postgresql.auto.conf'), 'utf8')
    expect(auto.match(/^recovery_target_name/gm)).toHaveLength(1)
  }, 60_000)

  test('a config file that says everything is named, and no other is written', async () => {
    const config = source.place.at('wal-g.json')
    writeFileSync(config, JSON.stringify(source.settings))
    giveToClusterUser(config, 0o600)
    const data = source.place.at('configured')
    await walg(['--config', config, 'restore', data, '--latest', '--no-archive'], {})
    expect(existsSync(`${data}.wal-g.json`)).toBe(false)
    const auto = readFileSync(path.join(data, 'postgresql.auto.conf'), 'utf8')
    const line = `^restore_command = '/\\S+ --config ${config} wal-fetch %f %p --created-tablespaces=guarded'$`
    expect(auto).toMatch(new RegExp(line, 'm'))
    expect(existsSync(path.join(data, 'recovery.signal'))).toBe(true)
  }, 30_000)
})
