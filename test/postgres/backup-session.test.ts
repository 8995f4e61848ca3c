import { describe, expect, test } from 'bun:test'
import { createLogger, silentLogger } from '../../src/kit/log.ts'
import { parseBackupLabel } from '../../src/postgres/backup-label.ts'
import { type BackupOptions, beginBackup } from '../../src/postgres/cluster/backup-session.ts'
import type { Cluster } from '../../src/postgres/cluster/cluster.ts'
import {
  isArchiving,
  readArchiverState,
  readClusterFacts,
  readTimeline,
} from '../../src/postgres/cluster/cluster-facts.ts'
import { connectCluster } from '../../src/postgres/cluster/connect.ts'
import { readDatabaseNames } from '../../src/postgres/cluster/database-names.ts'
import { readControlFile } from '../../src/postgres/control-file.ts'
import { type Cluster as Server, startCluster } from '../support/cluster.ts'
import { MAJORS, type Major } from '../support/postgres-binaries.ts'
import { untilTrue } from '../support/until-true.ts'
import { startPair } from './standby.ts'

const never = new AbortController().signal
const connect = (server: Server, changes: Record<string, string> = {}): Promise<Cluster> =>
  connectCluster({ ...server.environment, ...changes }, { log: silentLogger, signal: never })
const options = (changes: Partial<BackupOptions> = {}): BackupOptions => ({
  label: '2026-11-22 11:35:45.614681 +0000 UTC m=+0.090602962',
  repositoryIdentity: 'file:/backups',
  walSegmentBytes: 16 * 1024 * 1024,
  aliveCheckMs: 0,
  log: silentLogger,
  signal: never,
  ...changes,
})
const locksOf = async (server: Server): Promise<number> => {
  const [row] = await server.query<{ count: string }>(
    "select count(*) from pg_locks where locktype = 'advisory'",
  )
  return Number(row!.count)
}

const xidToCome = async (server: Server): Promise<bigint> => {
  const [row] = await server.query<{ xid: string }>(
    'select pg_snapshot_xmax(pg_current_snapshot())::text as xid',
  )
  return BigInt(row!.xid)
}

describe.each(MAJORS.map(major => [major] as [Major]))('PostgreSQL %d', major => {
  test('tells its facts, begins a backup, stops it, and lets go of the lock', async () => {
    await using server = await startCluster({ major, archiveCommand: '/bin/true' })
    await using cluster = await connect(server)
    const control = await readControlFile(server.dataDirectory)
    const facts = await readClusterFacts(cluster)
    expect(facts).toMatchObject({
      dataDirectory: server.dataDirectory,
      systemIdentifier: control.systemIdentifier,
      timeline: 1,
      isInRecovery: false,
      hasDataChecksums: true,
      hasLoggedHints: false,
      startedNs: expect.any(BigInt),
      archiveMode: 'on',
      archiveCommand: '/bin/true',
      archiveLibrary: '',
      walSegmentBytes: 16 * 1024 * 1024,
      blockBytes: 8192,
      blocksPerSegment: 131_072,
    })
    expect(isArchiving(facts)).toBe(true)
    expect(cluster.majorVersion).toBe(major)
    const xidBefore = await xidToCome(server)
    {
      await using session = await beginBackup(cluster, options({ aliveCheckMs: 20 }))
      expect(session).toMatchObject({ isStandby: false, timeline: 1 })
      expect(session.startWalFile).toMatch(/^00000001[0-9A-F]{16}$/)
      expect(session.nextXid >= xidBefore && session.nextXid <= (await xidToCome(server))).toBe(true)
      await Bun.sleep(60)
      expect(session.failed.aborted).toBe(false)
      const stop = await session.stop({ timeoutMs: 10_000 })
      expect(stop.stopLsn > session.startLsn).toBe(true)
      expect(stop.tablespaceMap).toBe('')
      expect(parseBackupLabel(stop.labelFile)).toMatchObject({
        startLsn: session.startLsn,
        startWalFile: session.startWalFile,
        backupFrom: major < 14 ? 'master' : 'primary',
        backupMethod: 'streamed',
        startTimeline: 1,
        label: '2026-11-22 11:35:45.614681 +0000 UTC m=+0.090602962',
      })
      expect(await locksOf(server)).toBe(1)
    }
    expect(await locksOf(server)).toBe(0)
    await untilTrue(async () => (await readArchiverState(cluster)).archivedCount > 0n)
    expect((await readArchiverState(cluster)).lastArchivedName).toMatch(/^[0-9A-F]{24}/)
  }, 60_000)

  test('backs up a standby, and refuses the backup when it is promoted meanwhile', async () => {
    await using pair = await startPair(major)
    await pair.primary.query('create table t as select generate_series(1, 1000)')
    await pair.primary.query('checkpoint')
    await using cluster = await connect(pair.standby)
    const facts = await readClusterFacts(cluster)
    expect(facts).toMatchObject({ isInRecovery: true, timeline: 1 })
    expect(isArchiving(facts)).toBe(false)
    {
      await using session = await beginBackup(cluster, options())
      expect(session.isStandby).toBe(true)
      const stop = await session.stop({ timeoutMs: 10_000 })
      expect(parseBackupLabel(stop.labelFile)).toMatchObject({
        startLsn: session.startLsn,
        backupFrom: 'standby',
      })
    }
    await using session = await beginBackup(cluster, options())
    await pair.standby.query('select pg_promote()')
    await untilTrue(async () => (await readTimeline(cluster)) === 2)
    await expect(session.stop({ timeoutMs: 10_000 })).rejects.toMatchObject({
      code: 'CLUSTER_STATE',
      message: expect.stringContaining('promoted'),
    })
  }, 60_000)
})

describe('a backup session', () => {
  test('is refused while another one into the same repository runs, from whatever database', async () => {
    await using server = await startCluster({ major: 16 })
    await server.query('create database other')
    await using cluster = await connect(server)
    await using other = await connect(server, { PGDATABASE: 'other' })
    {
      await using _first = await beginBackup(cluster, options())
      for (const second of [cluster, other]) {
        await expect(beginBackup(second, options())).rejects.toMatchObject({
          code: 'CLUSTER_STATE',
          message: expect.stringContaining('another backup'),
        })
      }
      await using _elsewhere = await beginBackup(other, options({ repositoryIdentity: 'file:/other' }))
    }
    await using _again = await beginBackup(other, options())
  }, 60_000)

  test('that is dropped without a stop is aborted by the server, and its lock is free at once', async () => {
    await using server = await startCluster({ major: 17 })
    await using cluster = await connect(server)
    {
      await using _session = await beginBackup(cluster, options())
    }
    {
      await using _session = await beginBackup(cluster, options())
    }
    await untilTrue(() => server.log().includes('aborting backup due to backend exiting'))
  }, 60_000)

  test('fails at once when its server process dies, and its stop says so', async () => {
    await using server = await startCluster({ major: 18 })
    await using cluster = await connect(server)
    await using session = await beginBackup(cluster, options())
    const failed = new Promise(resolve => session.failed.addEventListener('abort', resolve))
    await server.query("select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'")
    await failed
    expect(session.failed.reason).toMatchObject({ code: 'CLUSTER_UNREACHABLE' })
    await expect(session.stop({ timeoutMs: 1000 })).rejects.toMatchObject({ code: 'CLUSTER_UNREACHABLE' })
  }, 60_000)

  test('notices by its pings that the server does not answer any more', async () => {
    await using server = await startCluster({ major: 18 })
    await using cluster = await connect(server)
    await using session = await beginBackup(cluster, options({ aliveCheckMs: 50 }))
    await server.kill('SIGKILL')
    await untilTrue(() => session.failed.aborted)
    expect(session.failed.reason).toMatchObject({ code: 'CLUSTER_UNREACHABLE' })
  }, 60_000)

  test('stops waiting for the checkpoint when it is told to, and the server forgets the backup', async () => {
    await using server = await startCluster({ major: 15, settings: { max_connections: 30 } })
    await using cluster = await connect(server)
    // a lock that the beginning has to wait for: nothing else blocks it for long
    await server.query('select pg_advisory_lock(1)')
    const controller = new AbortController()
    const blocked = cluster.query('select pg_advisory_lock(1)', [], {
      timeoutMs: 0,
      signal: controller.signal,
    })
    setTimeout(() => controller.abort(), 50)
    await expect(blocked).rejects.toMatchObject({ code: 'CANCELLED' })
    const begun = beginBackup(cluster, options({ signal: controller.signal }))
    await expect(begun).rejects.toMatchObject({ code: 'CANCELLED' })
    expect(await cluster.query('select 1 as one')).toEqual([{ one: '1' }])
    await untilTrue(async () => (await locksOf(server)) === 1)
  }, 60_000)
})

describe('statements', () => {
  test('are bounded on the server, and their failures are coded', async () => {
    await using server = await startCluster({ major: 16 })
    await using cluster = await connect(server)
    await expect(cluster.query('select pg_sleep(5)', [], { timeoutMs: 50 })).rejects.toMatchObject({
      code: 'TIMEOUT',
    })
    await expect(cluster.query('select nothing')).rejects.toMatchObject({
      code: 'CLUSTER_QUERY',
      facts: { sqlState: '42703' },
    })
    await server.query('create role weak login')
    await using weak = await connect(server, { PGUSER: 'weak', PGDATABASE: 'postgres' })
    await expect(readClusterFacts(weak)).rejects.toMatchObject({
      code: 'CLUSTER_QUERY',
      facts: { sqlState: '42501' },
      hint: expect.stringContaining('pg_read_all_settings'),
    })
    const big = 18446744073709551615n
    expect(await cluster.query('select $1::text as text, $2::numeric::text as number', ['ü\n', big])).toEqual(
      [{ text: 'ü\n', number: '18446744073709551615' }],
    )
  }, 60_000)
})

test('names of databases, relations and partitions are recorded with their files', async () => {
  await using server = await startCluster({ major: 15 })
  await server.query('create table part (id int primary key) partition by range (id)')
  await server.query(
    'create table part_1 partition of part for values from (0) to (10) partition by range (id)',
  )
  await server.query('create table part_1a partition of part_1 for values from (0) to (5)')
  await server.query('create table "t x" (a int)')
  await server.query('create table heir (b int) inherits ("t x")')
  await server.query('create table other_top (c int)')
  await server.query('create table heir_of_two () inherits (heir, other_top)')
  await server.query('create table moved as select 1')
  await server.query('truncate moved')
  await server.query('create database "Zwei"')
  await server.query('create database closed allow_connections false')
  const warnings: string[] = []
  const log = createLogger((_level, message) => warnings.push(message))
  await using cluster = await connectCluster(server.environment, { log, signal: never })
  const names = await readDatabaseNames(cluster)
  expect([...names.keys()]).toEqual(['Zwei', 'postgres'])
  const tables = names.get('postgres')!.tables
  expect(tables.get('pg_catalog.pg_class')).toMatchObject({ oid: 1259, relfilenode: 1259 })
  expect(tables.has('public.t x')).toBe(true)
  const moved = tables.get('public.moved')!
  expect(moved.relfilenode).not.toBe(moved.oid)
  expect(tables.get('public.part')!.relfilenode).toBe(0)
  expect([...tables.get('public.part')!.subtables.keys()]).toEqual(['public.part_1', 'public.part_1a'])
  expect(tables.has('public.part_1a')).toBe(false)
  const oidOf = (top: string, name = top): number => {
    const relation = tables.get(`public.${top}`)!
    return (top === name ? relation : relation.subtables.get(`public.${name}`)!).oid
  }
  expect(tables.get('public.part')!.subtables.get('public.part_1')).not.toHaveProperty('parentOids')
  expect(tables.get('public.part')!.subtables.get('public.part_1a')!.parentOids).toEqual([
    oidOf('part', 'part_1'),
  ])
  expect([...tables.get('public.t x')!.subtables.keys()]).toEqual(['public.heir', 'public.heir_of_two'])
  expect([...tables.get('public.other_top')!.subtables.keys()]).toEqual(['public.heir_of_two'])
  expect(tables.get('public.other_top')!.subtables.get('public.heir_of_two')!.parentOids).toEqual([
    oidOf('t x', 'heir'),
    oidOf('other_top'),
  ])
  expect(['heir', 'heir_of_two'].filter(name => tables.has(`public.${name}`))).toEqual([])
  expect(warnings).toEqual([])
}, 60_000)
