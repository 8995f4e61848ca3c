import { expect } from 'bun:test'
import { type Cluster, startRestored } from '../../support/cluster.ts'
import { type Major, missingPostgres } from '../../support/postgres-binaries.ts'
import { seededRandom } from '../../support/seeded-random.ts'
import { testUnless } from '../../support/skip.ts'
import { walgCommand } from '../../support/walg.ts'
import {
  archiveEverything,
  complaints,
  digest,
  LEDGER_SQL,
  startArchivingCluster,
  startWriteLoad,
  type WriteLoad,
  walg,
} from '../archiving-cluster.ts'
import { checkIntegrity } from '../integrity.ts'

/** What a backup may say in a storm. */
const EXPECTED =
  /vanished while (the backup was taken|the data directory was walked)|names of database "passing" are not recorded/

/** Files that appear, grow, shrink, change their number and vanish all the time. */
async function startStorm(cluster: Cluster): Promise<Pick<WriteLoad, 'stop'>> {
  const random = seededRandom('storm')
  const client = await cluster.client()
  const storm = { isOver: false }
  const moves = [
    (t: string) => `create table if not exists ${t} (a int primary key, b text)`,
    (t: string) =>
      `insert into ${t} select g, repeat(md5(g::text), 20) from generate_series(1, 3000) g on conflict do nothing`,
    (t: string) => `delete from ${t} where a > ${random.int(1500)}`,
    (t: string) => `vacuum (truncate true) ${t}`,
    (t: string) => `truncate ${t}`,
    (t: string) => `vacuum full ${t}`,
    (t: string) => `reindex table ${t}`,
    (t: string) => `drop table ${t}`,
    () => 'create database passing strategy file_copy',
    () => 'drop database if exists passing',
  ]
  const work = (async () => {
    while (!storm.isOver) {
      // a move may not fit what the others left: that is part of a storm
      await client.query(random.pick(moves)(`storm_${random.int(6)}`)).catch(() => undefined)
      await Bun.sleep(1)
    }
  })()
  return {
    async stop() {
      storm.isOver = true
      await work
      await client.end()
    },
  }
}

for (const major of [15, 18] as const satisfies readonly Major[]) {
  testUnless(
    missingPostgres(major),
    `PostgreSQL ${major}: backups in a storm of created, truncated, rewritten and dropped tables restore without a scratch`,
    async () => {
      await using source = await startArchivingCluster({ major, compression: 'lz4' })
      const { cluster, place, settings } = source
      await cluster.query(LEDGER_SQL)
      await cluster.query('create unlogged table scratch as select generate_series(1, 1000) g')
      await cluster.query('set allow_in_place_tablespaces = on')
      await cluster.query(`create tablespace inside location ''`)
      await cluster.query('create table kept tablespace inside as select g from generate_series(1, 5000) g')
      const load = await startWriteLoad(cluster)
      const storm = await startStorm(cluster)
      const connection = source.connection()
      for (let round = 0; round < 2; round++) {
        const push = await walg(['backup-push', cluster.dataDirectory, '--verify'], {
          ...connection,
          WALG_DISK_RATE_LIMIT: '20000000',
        })
        const others = complaints(push.stderr).filter(line => !EXPECTED.test(line))
        expect(others).toEqual([])
      }
      await storm.stop()
      await load.stop()
      const state = [await digest(cluster, 'ledger'), await digest(cluster, 'kept')]
      await archiveEverything(cluster)
      await cluster.kill()
      const list = await walg(['backup-list', '--json'], settings)
      for (const { backup_name } of JSON.parse(list.stdout) as { backup_name: string }[]) {
        const data = place.at(backup_name)
        await walg(['backup-fetch', data, backup_name], settings)
        const restore_command = walgCommand(settings, 'wal-fetch %f %p')
        await using restored = await startRestored(data, {
          major,
          settings: { restore_command, allow_in_place_tablespaces: 'on' }, // else PostgreSQL refuses such a tablespace
        })
        expect([await digest(restored, 'ledger'), await digest(restored, 'kept')]).toEqual(state)
        expect(await restored.query('select * from scratch')).toEqual([])
        await checkIntegrity(restored)
      }
    },
    120_000,
  )
}
