import { expect } from 'bun:test'
import { mkdirSync } from 'node:fs'
import { backupPush } from '../../../src/operations/backup-push/backup-push.ts'
import { type Cluster, startCluster, startRestored } from '../../support/cluster.ts'
import { giveToClusterUser } from '../../support/cluster-user.ts'
import { operationContext } from '../../support/operation-context.ts'
import { type Major, missingPostgres } from '../../support/postgres-binaries.ts'
import { testUnless } from '../../support/skip.ts'
import { type TempDirectory, tempDirectory } from '../../support/temp-directory.ts'
import { walgCommand } from '../../support/walg.ts'
import { walg } from '../archiving-cluster.ts'
import { NO_DELTA, pushOptions } from '../push/backup-push-support.ts'

interface Way {
  readonly checksums?: boolean
  readonly settings?: Record<string, string>
  readonly isAtRest?: boolean
  /** `wal_log_hints` is off while VACUUM runs, and on again when the delta is taken. */
  readonly offForVacuum?: boolean
}

interface Taken {
  readonly name: string
  readonly messages: string
}

async function take(place: TempDirectory, cluster: Cluster, way: Way, parent?: string): Promise<Taken> {
  const context = await operationContext(place.at('repository'))
  const isFull = parent === undefined
  const delta = { ...NO_DELTA, stepsMax: isFull ? 0 : 9, fromName: parent, isFull }
  const server = way.isAtRest === true ? {} : { cluster }
  const { name } = await backupPush(context, pushOptions(cluster.dataDirectory, { ...server, delta }))
  return { name, messages: context.messages.join('\n') }
}

/** Rows by an index-only scan, which believes the visibility map, and by reading the table. */
async function countBothWays(server: Cluster, table: string): Promise<[string, string]> {
  const count = async (isByIndex: boolean): Promise<string> => {
    const [row] = await server.query(`
      set enable_seqscan = ${isByIndex ? 'off' : 'on'}; set enable_bitmapscan = off; set enable_indexscan = off;
      set enable_indexonlyscan = ${isByIndex ? 'on' : 'off'}; set max_parallel_workers_per_gather = 0;
      select count(id) from ${table} where id > 0`)
    return String(row!['count'])
  }
  return [await count(true), await count(false)]
}

/** Blocks that the map calls all-visible and their page does not. */
async function unmarkedBlocks(server: Cluster, table: string): Promise<number> {
  const [row] = await server.query(`
    select count(*)::int as count from pg_visibility('${table}') where all_visible and not pd_all_visible`)
  return Number(row!['count'])
}

async function makeTables(server: Cluster): Promise<void> {
  await server.query('create extension pg_visibility')
  for (const table of ['t', 'settled']) {
    await server.query(
      `create table ${table} as select g as id, md5(g::text) as v from generate_series(1, 30000) g`,
    )
    await server.query(`create index on ${table} (id)`)
  }
  await server.query('vacuum settled')
  // the hint bits are set, so that VACUUM has nothing to change but the marks
  await server.query('select count(*) from t')
}

async function restartWith(cluster: Cluster, settings: Record<string, string>): Promise<void> {
  await cluster.stop()
  cluster.configure(settings)
  await cluster.start()
}

/** And whether pages have to be taken that their LSN does not tell. */
const WAYS: readonly (readonly [string, Major, Way, boolean])[] = [
  ['without data checksums', 13, { checksums: false }, true],
  ['without data checksums', 15, { checksums: false }, true],
  ['at rest, without data checksums', 15, { checksums: false, isAtRest: true }, true],
  ['with wal_log_hints', 15, { checksums: false, settings: { wal_log_hints: 'on' } }, false],
  [
    'at rest, with wal_log_hints',
    13,
    { checksums: false, isAtRest: true, settings: { wal_log_hints: 'on' } },
    true,
  ],
  [
    'with wal_log_hints that were off for a while',
    16,
    { checksums: false, settings: { wal_log_hints: 'on' }, offForVacuum: true },
    true,
  ],
  ['with data checksums', 17, {}, false],
]

for (const [title, major, way, isTold] of WAYS) {
  testUnless(
    missingPostgres(major),
    `PostgreSQL ${major} ${title}: pages that VACUUM has marked all-visible are so after a restore as well`,
    async () => {
      using place = tempDirectory('visibility')
      mkdirSync(place.at('repository'))
      giveToClusterUser(place.at('repository'), 0o777)
      const settings = { WALG_FILE_PREFIX: place.at('repository') }
      await using cluster = await startCluster({
        major,
        checksums: way.checksums ?? true,
        settings: { autovacuum: 'off', ...way.settings },
        archiveCommand: walgCommand(settings, 'wal-push %p'),
      })
      await makeTables(cluster)
      if (way.isAtRest === true) await cluster.stop()
      const full = await take(place, cluster, way)
      if (way.isAtRest === true) await cluster.start()
      if (way.offForVacuum === true) await restartWith(cluster, { wal_log_hints: 'off' })
      await cluster.query('vacuum t')
      await cluster.query('delete from settled where id = 1')
      await cluster.query('checkpoint')
      if (way.offForVacuum === true) await restartWith(cluster, { wal_log_hints: 'on' })
      await cluster.query('select pg_switch_wal()')
      if (way.isAtRest === true) await cluster.stop()
      const delta = await take(place, cluster, way, full.name)
      expect(delta.name).toContain('_D_')

      await walg(['backup-fetch', place.at('restored'), delta.name], settings)
      await using restored = await startRestored(place.at('restored'), {
        major,
        settings: { autovacuum: 'off', restore_command: walgCommand(settings, 'wal-fetch %f %p') },
      })
      const unmarked = [await unmarkedBlocks(restored, 't'), await unmarkedBlocks(restored, 'settled')]
      await restored.query('update t set id = -id where id % 100 = 0')
      await restored.query('delete from t where id % 100 = 1')
      expect(await countBothWays(restored, 't')).toEqual(['29400', '29400'])
      expect(await countBothWays(restored, 'settled')).toEqual(['29999', '29999'])
      expect(unmarked).toEqual([0, 0])
      expect(await restored.query(`select * from pg_check_visible('t')`)).toEqual([])
      expect(/marked all-visible/.test(delta.messages)).toBe(isTold)
    },
    180_000,
  )
}
