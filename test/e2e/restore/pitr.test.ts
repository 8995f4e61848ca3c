import { expect } from 'bun:test'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { type Cluster, type Setting, startRestored } from '../../support/cluster.ts'
import { giveToClusterUser } from '../../support/cluster-user.ts'
import { type Major, missingPostgres } from '../../support/postgres-binaries.ts'
import { missingDebianPostgres, testUnless } from '../../support/skip.ts'
import { walgCommand } from '../../support/walg.ts'
import {
  type ArchivingCluster,
  archiveEverything,
  complaints,
  digest,
  LEDGER_SQL,
  startArchivingCluster,
  startWriteLoad,
  type WriteLoad,
  walg,
} from '../archiving-cluster.ts'
import { checkIntegrity, debianToolTrouble } from '../integrity.ts'

interface Case {
  readonly major: Major
  readonly compression: string
  readonly segmentSizeMiB: number
  readonly bySocket: boolean
  readonly hasTablespace: boolean
}

const CASES: readonly Case[] = [
  { major: 13, compression: 'lz4', segmentSizeMiB: 16, bySocket: false, hasTablespace: true },
  { major: 14, compression: 'zstd', segmentSizeMiB: 1, bySocket: true, hasTablespace: false },
  { major: 15, compression: 'brotli', segmentSizeMiB: 16, bySocket: false, hasTablespace: true },
  { major: 16, compression: 'lzma', segmentSizeMiB: 2, bySocket: true, hasTablespace: false },
  { major: 17, compression: 'none', segmentSizeMiB: 64, bySocket: false, hasTablespace: false },
  { major: 18, compression: 'zstd', segmentSizeMiB: 1, bySocket: true, hasTablespace: true },
]

/** A moment that somebody may want back. */
interface Moment {
  readonly title: string
  readonly settings: Readonly<Record<string, Setting>>
  readonly digest: string
}

const TABLES = ['ledger', 'precious']

async function digests(cluster: Cluster): Promise<string> {
  return (await Promise.all(TABLES.map(table => digest(cluster, table)))).join('; ')
}

/** Stops the load, notes what is there and how to come back to it, and lets the load go on. */
async function note(
  cluster: Cluster,
  load: WriteLoad,
  title: string,
  sql: string,
  settingsOf: (value: string) => Record<string, Setting>,
): Promise<Moment> {
  await load.pause()
  await cluster.query(`insert into ledger (note) values ('${title}')`)
  const state = await digests(cluster)
  await Bun.sleep(3) // a commit of the same microsecond would belong to the moment as well
  const [row] = await cluster.query<{ value: string }>(sql)
  await Bun.sleep(3)
  load.resume()
  await Bun.sleep(40)
  return { title, digest: state, settings: settingsOf(row!.value) }
}

async function noteMoments(cluster: Cluster, load: WriteLoad): Promise<Moment[]> {
  return [
    await note(cluster, load, 'time', 'select clock_timestamp()::text as value', time => ({
      recovery_target_time: time,
    })),
    await note(cluster, load, 'name', `select pg_create_restore_point('noted')::text as value`, () => ({
      recovery_target_name: 'noted',
    })),
    await note(cluster, load, 'LSN', 'select pg_current_wal_insert_lsn()::text as value', lsn => ({
      recovery_target_lsn: lsn,
    })),
  ]
}

async function loadData(cluster: Cluster, tablespace: string | undefined): Promise<void> {
  if (tablespace !== undefined) {
    mkdirSync(tablespace)
    giveToClusterUser(tablespace, 0o700)
    await cluster.query(`create tablespace other location '${tablespace}'`)
  }
  await cluster.query(LEDGER_SQL)
  const where = tablespace === undefined ? '' : 'tablespace other'
  await cluster.query(
    `create table precious ${where} as select g as id, repeat(md5(g::text), 90) as text from generate_series(1, 500) g`,
  )
  await cluster.query(`create unique index on precious (id) ${where}`)
  await cluster.query('create database "zweite Datenbank"')
}

/** The disaster: the table is dropped, life goes on, the host dies. */
async function loseEverything(cluster: Cluster, load: WriteLoad): Promise<void> {
  await load.stop()
  await cluster.query('drop table precious')
  await cluster.query(`insert into ledger (note) select 'after the targets' from generate_series(1, 100)`)
  await archiveEverything(cluster)
  await cluster.kill()
}

interface Target {
  readonly data: string
  /** undefined: where it was. */
  readonly tablespace: string | undefined
  readonly args: readonly string[]
}

/** The first restore goes to the very place that was lost, the others elsewhere. */
function planTarget(source: ArchivingCluster, at: number, hasTablespace: boolean, oid: string): Target {
  const { cluster, place } = source
  if (at === 0) {
    rmSync(cluster.dataDirectory, { recursive: true })
    rmSync(place.at('tablespace'), { recursive: true, force: true })
    return { data: cluster.dataDirectory, tablespace: undefined, args: [] }
  }
  const data = place.at(`restored-${at}`)
  if (!hasTablespace) return { data, tablespace: undefined, args: [] }
  const tablespace = place.at(`tablespace-${at}`)
  const spec = place.at(`spec-${at}.json`)
  const link = { loc: tablespace, link: `pg_tblspc/${oid}` }
  writeFileSync(spec, JSON.stringify({ base_prefix: data, tablespaces: [oid], [oid]: link }))
  return { data, tablespace, args: ['--restore-spec', spec] }
}

function restoreSettings(source: ArchivingCluster, moment: Moment): Record<string, Setting> {
  return {
    restore_command: walgCommand(source.settings, 'wal-fetch %f %p'),
    recovery_target_action: 'promote',
    ...moment.settings,
  }
}

async function tablespaceOid(cluster: Cluster): Promise<string> {
  const [row] = await cluster.query<{ oid: string }>(
    `select oid::text from pg_tablespace where spcname = 'other'`,
  )
  return row?.oid ?? ''
}

for (const { major, compression, segmentSizeMiB, bySocket, hasTablespace } of CASES) {
  const title = `PostgreSQL ${major}, ${compression}, ${segmentSizeMiB} MiB segments: a time, a name and an LSN come back exactly, with a dropped table, without later rows`
  const runCase = async (): Promise<void> => {
    await using source = await startArchivingCluster({ major, compression, segmentSizeMiB, bySocket })
    const { cluster, place } = source
    await loadData(cluster, hasTablespace ? place.at('tablespace') : undefined)
    const oid = await tablespaceOid(cluster)
    const load = await startWriteLoad(cluster)
    const push = await walg(['backup-push', cluster.dataDirectory, '--verify'], source.connection())
    expect(complaints(push.stderr)).toEqual([])
    const moments = await noteMoments(cluster, load)
    await loseEverything(cluster, load)

    for (const [at, moment] of moments.entries()) {
      const target = planTarget(source, at, hasTablespace, oid)
      const fetched = await walg(['backup-fetch', target.data, 'LATEST', ...target.args], source.settings)
      expect(complaints(fetched.stderr)).toEqual([])
      await using restored = await startRestored(target.data, {
        major,
        settings: restoreSettings(source, moment),
      })
      expect([moment.title, await digests(restored)]).toEqual([moment.title, moment.digest])
      expect(await restored.query(`select 1 from ledger where note = 'after the targets'`)).toEqual([])
      if (at > 0) continue
      const found = await checkIntegrity(restored)
      expect(found.databases).toBe(4)
      expect(found.indexes).toBeGreaterThan(400)
      expect(found.pages).toBeGreaterThan(2000)
    }
  }
  testUnless(missingPostgres(major), title, runCase, 120_000)
}

testUnless(
  missingPostgres(15) ?? missingDebianPostgres(15),
  `pg_verifybackup and pg_checksums accept what was backed up under load and restored`,
  async () => {
    await using source = await startArchivingCluster({ major: 15, compression: 'zstd' })
    const { cluster, place } = source
    await cluster.query(LEDGER_SQL)
    const load = await startWriteLoad(cluster)
    await walg(['backup-push', cluster.dataDirectory], source.connection())
    await load.stop()
    await archiveEverything(cluster)
    await cluster.kill()
    const target = place.at('restored')
    await walg(['backup-fetch', target, 'LATEST'], source.settings)
    expect(debianToolTrouble('pg_verifybackup', ['-n', '-q'], target)).toBe('')
    const settings = { restore_command: walgCommand(source.settings, 'wal-fetch %f %p') }
    await using restored = await startRestored(target, { major: 15, settings })
    await restored.stop()
    expect(debianToolTrouble('pg_checksums', ['--check'], target)).toBe('')
  },
  60_000,
)
