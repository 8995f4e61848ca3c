import { expect } from 'bun:test'
import { existsSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs'
import path from 'node:path'
import { readControlFile } from '../../../src/postgres/control-file.ts'
import { formatLsn, parseLsn } from '../../../src/postgres/lsn.ts'
import type { Cluster } from '../../support/cluster.ts'
import { giveToClusterUser } from '../../support/cluster-user.ts'
import { type Major, missingPostgres } from '../../support/postgres-binaries.ts'
import { testUnless } from '../../support/skip.ts'
import { untilTrue } from '../../support/until-true.ts'
import { runWalg } from '../../support/walg.ts'
import {
  type ArchivingCluster,
  digest,
  LEDGER_SQL,
  startArchivingCluster,
  startStandby,
  walg,
} from '../archiving-cluster.ts'
import { VISIBILITY_OF_T } from '../integrity.ts'

const BEFORE = [
  LEDGER_SQL,
  `create table kept as select g as id, repeat(md5(g::text), 20) as text from generate_series(1, 20000) g`,
  'create table dropped as select g as id from generate_series(1, 5000) g',
  'create database template_of_mine',
  'create database gone',
]

/** What a standby misses; the copied database has pages that are older than the moment it stopped. */
async function changeEverything(primary: Cluster): Promise<void> {
  await primary.query('update kept set text = md5(text) where id % 2000 = 0')
  await primary.query('drop table dropped')
  await primary.query(
    'create table made as select g as id, md5(g::text) as text from generate_series(1, 3000) g',
  )
  await primary.query('drop database gone')
  const strategy = primary.major >= 15 ? ' strategy file_copy' : ''
  await primary.query(`create database copied template template_of_mine${strategy}`)
  await primary.query(`insert into ledger (note) select md5(g::text) from generate_series(1, 2000) g`)
  await primary.query('vacuum full ledger')
}

/** Until the segment in which the standby would go on is gone from the primary. */
async function recycleWal(primary: Cluster, lsn: string): Promise<void> {
  const [row] = await primary.query<{ name: string }>('select pg_walfile_name($1::pg_lsn) as name', [lsn])
  const segment = path.join(primary.dataDirectory, 'pg_wal', row!.name)
  for (let round = 0; existsSync(segment); round++) {
    if (round === 200) throw new Error(`${segment} stays`)
    await primary.query(`select pg_logical_emit_message(true, 'test', repeat('x', 100000)), pg_switch_wal()`)
    await primary.query('checkpoint')
  }
}

async function untilCaughtUp(primary: Cluster, standby: Cluster): Promise<void> {
  const [now] = await primary.query<{ lsn: string }>('select pg_current_wal_flush_lsn() as lsn')
  const sql = `select pg_last_wal_replay_lsn() >= '${now!.lsn}' as done`
  const isDone = async (): Promise<boolean> => (await standby.query<{ done: boolean }>(sql))[0]?.done === true
  await untilTrue(isDone, 60_000, 'the standby catching up')
}

function catchupFolder({ repository }: ArchivingCluster): string {
  return path.join(repository, 'catchup_005')
}

for (const major of [13, 15, 18] as const satisfies readonly Major[]) {
  testUnless(
    missingPostgres(major),
    `PostgreSQL ${major}: a standby whose WAL is gone is brought up by the changed pages, and streams on`,
    async () => {
      await using source = await startArchivingCluster({
        major,
        segmentSizeMiB: 1,
        settings: { wal_keep_size: 0, max_wal_size: '4MB', min_wal_size: '2MB', autovacuum: 'off' },
      })
      const { cluster: primary, settings } = source
      for (const sql of BEFORE) await primary.query(sql)
      await using standby = await startStandby(source, 'standby')
      await untilCaughtUp(primary, standby)
      await standby.stop()
      const { redoLsn } = await readControlFile(standby.dataDirectory)
      const fromLsn = formatLsn(redoLsn)
      await changeEverything(primary)
      await recycleWal(primary, fromLsn)

      await walg(['catchup-push', primary.dataDirectory, '--from-lsn', fromLsn], source.connection())
      const [name] = readdirSync(catchupFolder(source)).filter(one => !one.endsWith('.json'))
      const sentinelFile = path.join(catchupFolder(source), `${name}_backup_stop_sentinel.json`)
      const text = readFileSync(sentinelFile, 'utf8')
      expect(text).toContain(`"DeltaLSN":${redoLsn},"DeltaFrom":"","DeltaFullName":"","DeltaCount":1,`)
      const metadata = JSON.parse(
        readFileSync(path.join(catchupFolder(source), name!, 'files_metadata.json'), 'utf8'),
      )
      const files = Object.entries<{ IsIncremented: boolean }>(metadata.Files)
      expect(files.filter(([, file]) => file.IsIncremented).length).toBeGreaterThan(100)
      expect(files.filter(([file]) => /postgresql\.(auto\.)?conf|pg_hba\.conf/.test(file))).toEqual([])

      await walg(['catchup-fetch', standby.dataDirectory, 'LATEST'], settings)
      expect(existsSync(path.join(standby.dataDirectory, 'standby.signal'))).toBe(true)
      await standby.start()
      await untilCaughtUp(primary, standby)
      for (const table of ['kept', 'made', 'ledger']) {
        expect(await digest(standby, table)).toBe(await digest(primary, table))
      }
      const databases = 'select oid, datname from pg_database order by 1'
      expect(await standby.query(databases)).toEqual(await primary.query(databases))
      await primary.query(`insert into ledger (note) values ('afterwards')`)
      await untilCaughtUp(primary, standby)
      expect(await digest(standby, 'ledger')).toBe(await digest(primary, 'ledger'))
      const running = await runWalg(['catchup-fetch', standby.dataDirectory, 'LATEST'], {
        env: settings,
        asClusterUser: true,
      })
      expect(running).toMatchObject({ exit: 1, stderr: expect.stringContaining('a server runs in') })
      await expectSameRelations(primary, standby)
    },
    180_000,
  )
}

testUnless(
  missingPostgres(15),
  'a standby gets a database whole that was made again under its old oid of one that is gone since',
  async () => {
    await using source = await startArchivingCluster({
      major: 15,
      segmentSizeMiB: 1,
      settings: { autovacuum: 'off' },
    })
    const { cluster: primary, settings } = source
    const inDatabase = async (database: string, sql: string): Promise<void> => {
      const client = await primary.client({ database })
      await client.query(sql)
      await client.end()
    }
    await primary.query('create database one')
    await inDatabase('one', 'create table t as select g as id from generate_series(1, 1000) g')
    await primary.query('create database two template one')
    await inDatabase('two', 'alter table t rename to two')
    const makeOf = (name: string): string => `create database x oid 70000 template ${name} strategy file_copy`
    await primary.query(makeOf('one'))
    await using standby = await startStandby(source, 'standby')
    await untilCaughtUp(primary, standby)
    await standby.stop()
    const { redoLsn } = await readControlFile(standby.dataDirectory)
    const changes = ['drop database x', makeOf('two'), 'drop database one', 'drop database two']
    for (const sql of changes) await primary.query(sql)
    const push = ['catchup-push', primary.dataDirectory, '--from-lsn', formatLsn(redoLsn)]
    await walg(push, source.connection())
    await walg(['catchup-fetch', standby.dataDirectory, 'LATEST'], settings)
    await standby.start()
    await untilCaughtUp(primary, standby)
    const client = await standby.client({ database: 'x' })
    expect((await client.query('select count(*)::int as n from two')).rows).toEqual([{ n: 1000 }])
    await client.end()
  },
  120_000,
)

for (const major of [15, 18] as const satisfies readonly Major[]) {
  testUnless(
    missingPostgres(major),
    `PostgreSQL ${major}: the LSN that a standby has replayed is enough when its disk has all of that, and refused when not`,
    async () => {
      await using source = await startArchivingCluster({
        major,
        segmentSizeMiB: 1,
        settings: { autovacuum: 'off' },
      })
      const { cluster: primary, settings } = source
      await primary.query(LEDGER_SQL)
      await using standby = await startStandby(source, 'standby')
      await primary.query(`update ledger set note = md5(note) where id % 50 = 0`)
      await primary.query('checkpoint')
      await primary.query(`update ledger set note = md5(note) where id % 40 = 0`)
      const replayed = await replayedBy(primary, standby)
      await standby.stop() // a restart point: everything that was replayed is written
      const redo = (await readControlFile(standby.dataDirectory)).redoLsn
      expect(formatLsn(redo)).not.toBe(replayed)
      await primary.query(`update ledger set note = md5(note) where id < 50`)
      const push = (lsn: string): Promise<unknown> =>
        walg(['catchup-push', primary.dataDirectory, '--from-lsn', lsn], source.connection())
      await push(replayed)
      await walg(['catchup-fetch', standby.dataDirectory, 'LATEST'], settings)
      await standby.start()
      await untilCaughtUp(primary, standby)
      expect(await digest(standby, 'ledger')).toBe(await digest(primary, 'ledger'))

      // no checkpoint has come since the standby started: it stops without writing what it has replayed
      await primary.query(`update ledger set note = md5(note) where id % 30 = 0`)
      const unwritten = await replayedBy(primary, standby)
      await standby.kill('SIGQUIT')
      await primary.query('select pg_switch_wal()')
      await push(unwritten)
      const before = readFileSync(path.join(standby.dataDirectory, 'global/pg_control'))
      const fetch = ['catchup-fetch', standby.dataDirectory, 'LATEST']
      const refused = await runWalg(fetch, { env: settings, asClusterUser: true })
      expect(refused).toMatchObject({
        exit: 1,
        stderr: expect.stringContaining('has not written all that it has replayed before that'),
      })
      expect(readFileSync(path.join(standby.dataDirectory, 'global/pg_control'))).toEqual(before)
    },
    180_000,
  )
}

for (const major of [17, 18] as const satisfies readonly Major[]) {
  testUnless(
    missingPostgres(major),
    `PostgreSQL ${major}: a standby that sums up its WAL can be promoted after a catchup`,
    async () => {
      await using source = await startArchivingCluster({
        major,
        segmentSizeMiB: 1,
        settings: { summarize_wal: true, autovacuum: 'off' },
      })
      const { cluster: primary, settings } = source
      await primary.query(LEDGER_SQL)
      // only a server that archives waits for its summarizer when it is promoted
      await using standby = await startStandby(source, 'standby', {
        archive_mode: 'on',
        archive_command: '/bin/true',
      })
      await primary.query(`update ledger set note = md5(note) where id % 50 = 0`)
      await untilCaughtUp(primary, standby)
      await standby.stop()
      const fromLsn = formatLsn((await readControlFile(standby.dataDirectory)).redoLsn)
      for (let round = 0; round < 5; round++) {
        await primary.query(`insert into ledger (note) select md5(g::text) from generate_series(1, 500) g`)
        await primary.query('select pg_switch_wal()')
      }
      await walg(['catchup-push', primary.dataDirectory, '--from-lsn', fromLsn], source.connection())
      await walg(['catchup-fetch', standby.dataDirectory, 'LATEST'], settings)
      await standby.start()
      await primary.query(`insert into ledger (note) values ('afterwards')`)
      await untilCaughtUp(primary, standby)
      expect(await digest(standby, 'ledger')).toBe(await digest(primary, 'ledger'))
      const summarized = 'select summarized_lsn::text as lsn from pg_get_wal_summarizer_state()'
      const beforeLsn = parseLsn((await standby.query<{ lsn: string }>(summarized))[0]!.lsn)
      // a summarizer that is stuck holds it up for a minute, and then ends the server
      expect(await standby.query('select pg_promote(true, 20) as done')).toEqual([{ done: true }])
      await standby.query(`insert into ledger (note) values ('of its own')`)
      await standby.query('checkpoint')
      const isAhead = async (): Promise<boolean> =>
        parseLsn((await standby.query<{ lsn: string }>(summarized))[0]!.lsn) > beforeLsn
      await untilTrue(isAhead, 30_000, 'the summarizer going on')
    },
    120_000,
  )
}

testUnless(
  missingPostgres(15),
  'without data checksums a standby gets the pages that VACUUM has marked all-visible since',
  async () => {
    await using source = await startArchivingCluster({
      major: 15,
      segmentSizeMiB: 1,
      settings: { wal_keep_size: 0, max_wal_size: '4MB', min_wal_size: '2MB', autovacuum: 'off' },
      cluster: { checksums: false },
    })
    const { cluster: primary, settings } = source
    await primary.query('create extension pg_visibility')
    await primary.query('create table t as select g as id from generate_series(1, 30000) g')
    await primary.query('select count(*) from t')
    await using standby = await startStandby(source, 'standby')
    await untilCaughtUp(primary, standby)
    await standby.stop()
    const fromLsn = formatLsn((await readControlFile(standby.dataDirectory)).redoLsn)
    await primary.query('vacuum t')
    await recycleWal(primary, fromLsn)
    await walg(['catchup-push', primary.dataDirectory, '--from-lsn', fromLsn], source.connection())
    await walg(['catchup-fetch', standby.dataDirectory, 'LATEST'], settings)
    await standby.start()
    await untilCaughtUp(primary, standby)
    expect(await standby.query(VISIBILITY_OF_T)).toEqual([{ visible: 133, unmarked: 0 }])
  },
  120_000,
)

testUnless(
  missingPostgres(16),
  'a tablespace that is new goes where the standby has its link, and never into the directory of the primary',
  async () => {
    await using source = await startArchivingCluster({
      major: 16,
      segmentSizeMiB: 1,
      settings: { wal_keep_size: '64MB' },
    })
    const { cluster: primary, place, settings } = source
    await primary.query(LEDGER_SQL)
    await using standby = await startStandby(source, 'standby')
    await untilCaughtUp(primary, standby)
    await standby.stop()
    const fromLsn = formatLsn((await readControlFile(standby.dataDirectory)).redoLsn)
    const [own, other] = [place.at('of the primary'), place.at('of the standby')]
    for (const directory of [own, other]) {
      mkdirSync(directory)
      giveToClusterUser(directory, 0o700)
    }
    await primary.query(`create tablespace made location '${own}'`)
    await primary.query('create table there tablespace made as select g from generate_series(1, 5000) g')
    await walg(['catchup-push', primary.dataDirectory, '--from-lsn', fromLsn], source.connection())
    const fetch = ['catchup-fetch', standby.dataDirectory, 'LATEST']
    const refused = await runWalg(fetch, { env: settings, asClusterUser: true })
    const link = /the link "(pg_tblspc\/\d+)" to it/.exec(refused.stderr)?.[1]
    expect([refused.exit, link]).toEqual([1, expect.any(String)])
    symlinkSync(other, path.join(standby.dataDirectory, link!))
    await walg(fetch, settings)
    await standby.start()
    await untilCaughtUp(primary, standby)
    expect(await digest(standby, 'there')).toBe(await digest(primary, 'there'))
    expect(readdirSync(other)).toHaveLength(1)
  },
  180_000,
)

for (const major of [13, 17] as const satisfies readonly Major[]) {
  testUnless(
    missingPostgres(major),
    `PostgreSQL ${major}: a standby that is ahead of the backup is left alone`,
    async () => {
      await using source = await startArchivingCluster({
        major,
        segmentSizeMiB: 1,
        settings: { wal_keep_size: '64MB' },
      })
      const { cluster: primary, settings } = source
      await primary.query(LEDGER_SQL)
      await using standby = await startStandby(source, 'standby')
      await untilCaughtUp(primary, standby)
      await standby.stop()
      const fromLsn = formatLsn((await readControlFile(standby.dataDirectory)).redoLsn)
      await primary.query('create table made as select g from generate_series(1, 5000) g')
      await walg(['catchup-push', primary.dataDirectory, '--from-lsn', fromLsn], source.connection())

      await standby.start()
      for (const sql of ['drop table made', 'vacuum full ledger', 'checkpoint']) await primary.query(sql)
      await untilCaughtUp(primary, standby)
      await standby.query('checkpoint')
      await standby.stop()
      const refused = await runWalg(['catchup-fetch', standby.dataDirectory, 'LATEST'], {
        env: settings,
        asClusterUser: true,
      })
      expect(refused).toMatchObject({
        exit: 1,
        stderr: expect.stringMatching(/the standby has come to 0\/\w+, and the backup was begun at 0\//),
      })
      await standby.start()
      await primary.query(`insert into ledger (note) values ('afterwards')`)
      await untilCaughtUp(primary, standby)
      expect(await digest(standby, 'ledger')).toBe(await digest(primary, 'ledger'))
    },
    180_000,
  )
}

async function replayedBy(primary: Cluster, standby: Cluster): Promise<string> {
  await untilCaughtUp(primary, standby)
  const [row] = await standby.query<{ lsn: string }>('select pg_last_wal_replay_lsn() as lsn')
  return row!.lsn
}

/** Relations of both, by their files: what was dropped is gone, what was made is there. */
async function expectSameRelations(primary: Cluster, standby: Cluster): Promise<void> {
  await primary.query('checkpoint')
  await untilCaughtUp(primary, standby)
  const relationsOf = ({ dataDirectory }: Cluster): string[] =>
    readdirSync(path.join(dataDirectory, 'base'), { recursive: true })
      .map(String)
      .filter(name => /^\d+(?:\/\d+)?$/.test(name))
      .sort()
  expect(relationsOf(standby)).toEqual(relationsOf(primary))
}
