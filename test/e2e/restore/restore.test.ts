import { expect } from 'bun:test'
import { existsSync, mkdirSync, statSync } from 'node:fs'
import path from 'node:path'
import { type Cluster, freePort } from '../../support/cluster.ts'
import { giveToClusterUser } from '../../support/cluster-user.ts'
import { type Major, missingPostgres, postgresDirectory } from '../../support/postgres-binaries.ts'
import { testUnless } from '../../support/skip.ts'
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
import { RestoredServer } from './restored-server.ts'

interface Case {
  readonly major: Major
  readonly segmentSizeMiB: number
  readonly hasTablespace: boolean
  readonly isEncrypted: boolean
}

const CASES: readonly Case[] = [
  { major: 13, segmentSizeMiB: 1, hasTablespace: true, isEncrypted: false },
  { major: 14, segmentSizeMiB: 16, hasTablespace: false, isEncrypted: true },
  { major: 15, segmentSizeMiB: 1, hasTablespace: false, isEncrypted: false },
  { major: 16, segmentSizeMiB: 2, hasTablespace: true, isEncrypted: true },
  { major: 17, segmentSizeMiB: 1, hasTablespace: false, isEncrypted: false },
  { major: 18, segmentSizeMiB: 1, hasTablespace: true, isEncrypted: true },
]

/** A moment that somebody may want back, and the flags that lead to it. */
interface Moment {
  readonly args: readonly string[]
  readonly digest: string
}

async function note(
  { cluster, load }: { readonly cluster: Cluster; readonly load: WriteLoad },
  sql: string,
  argsOf: (value: string) => readonly string[],
): Promise<Moment> {
  await load.pause()
  await cluster.query(`insert into ledger (note) values ('a moment')`)
  const before = await digest(cluster, 'ledger')
  await Bun.sleep(3) // a commit of the same microsecond would belong to the moment as well
  const [row] = await cluster.query<{ value: string }>(sql)
  const after = await digest(cluster, 'ledger')
  await Bun.sleep(3)
  load.resume()
  await Bun.sleep(40)
  return { args: argsOf(row!.value), digest: sql.includes('insert') ? after : before }
}

const XID_SQL = `with written as (insert into ledger (note) values ('by number') returning 1)
  select pg_current_xact_id()::text as value from written`

async function noteMoments(cluster: Cluster, load: WriteLoad): Promise<Moment[]> {
  const at = { cluster, load }
  return [
    await note(at, 'select clock_timestamp()::text as value', value => ['--to-time', value]),
    await note(at, `select pg_create_restore_point('noted')::text as value`, () => ['--to-name', 'noted']),
    await note(at, 'select pg_current_wal_insert_lsn()::text as value', value => ['--to-lsn', value]),
    await note(at, XID_SQL, value => ['--to-xid', value]),
  ]
}

/** Settings of the program for a case, with a key where it is encrypted. */
function settingsOf(source: ArchivingCluster, major: Major): Record<string, string> {
  return { ...source.settings, WALG_PG_BIN_DIR: path.join(postgresDirectory(major), 'bin') }
}

async function startSource(one: Case): Promise<ArchivingCluster> {
  return startArchivingCluster({
    major: one.major,
    segmentSizeMiB: one.segmentSizeMiB,
    encryptionKey: one.isEncrypted ? '0123456789abcdef'.repeat(4) : undefined,
  })
}

for (const one of CASES) {
  const { major, hasTablespace, isEncrypted } = one
  const title = `PostgreSQL ${major}${hasTablespace ? ', a tablespace' : ''}${isEncrypted ? ', encrypted' : ''}: one command brings back a time, a name, an LSN, a transaction, the end of the backup and everything`
  const runCase = async (): Promise<void> => {
    await using source = await startSource(one)
    const { cluster, place } = source
    const original = place.at('tablespace')
    await cluster.query(LEDGER_SQL)
    if (hasTablespace) {
      mkdirSync(original)
      giveToClusterUser(original, 0o700)
      await cluster.query(`create tablespace other location '${original}'`)
      await cluster.query('create table elsewhere tablespace other as select generate_series(1, 1000) as id')
    }
    const load = await startWriteLoad(cluster)
    const push = await walg(['backup-push', cluster.dataDirectory], source.connection())
    expect(complaints(push.stderr)).toEqual([])
    const moments = await noteMoments(cluster, load)
    await load.stop()
    // an older backup is right for all moments so far, this one only for the end
    await walg(['backup-push', cluster.dataDirectory], source.connection())
    await cluster.query(`insert into ledger (note) select 'after the targets' from generate_series(1, 100)`)
    const everything: Moment = { args: ['--latest'], digest: await digest(cluster, 'ledger') }
    await archiveEverything(cluster)

    for (const [at, moment] of [...moments, everything].entries()) {
      const data = place.at(`restored-${at}`)
      const port = await freePort()
      const mapping = hasTablespace ? ['--tablespace-mapping', `${original}=${place.at(`moved-${at}`)}`] : []
      const action = moment === everything ? [] : ['--promote']
      const restored = await walg(
        [
          'restore',
          data,
          ...moment.args,
          ...action,
          ...mapping,
          '--no-archive',
          '--start',
          '--port',
          `${port}`,
          '--json',
        ],
        settingsOf(source, major),
      )
      await using server = new RestoredServer(data, port)
      expect(complaints(restored.stderr)).toEqual([])
      expect(JSON.parse(restored.stdout).server.state).toBe('promoted')
      const [row] = await server.query(
        `select count(*) || ' rows, ' || coalesce(sum(hashtext(t::text)::bigint), 0) as digest from ledger t`,
      )
      expect([moment.args, row?.['digest']]).toEqual([moment.args, moment.digest])
      expect((await server.query('show archive_mode'))[0]).toEqual({ archive_mode: 'off' })
      if (hasTablespace) {
        expect(await server.query('select count(*)::int as n from elsewhere')).toEqual([{ n: 1000 }])
      }
      expect(statSync(`${data}.wal-g.json`).mode & 0o777).toBe(0o600)
      expect(existsSync(path.join(data, 'recovery.signal'))).toBe(false)
    }
    // the original is still what it was
    expect(await digest(cluster, 'ledger')).toBe(everything.digest)
    if (hasTablespace)
      expect(await cluster.query('select count(*)::int as n from elsewhere')).toEqual([{ n: 1000 }])
  }
  testUnless(missingPostgres(major), title, runCase, 180_000)
}
