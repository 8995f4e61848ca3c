import { expect } from 'bun:test'
import { startRestored } from '../../support/cluster.ts'
import { type Major, missingPostgres } from '../../support/postgres-binaries.ts'
import { testUnless } from '../../support/skip.ts'
import { walgCommand } from '../../support/walg.ts'
import {
  archiveEverything,
  complaints,
  digest,
  LEDGER_SQL,
  startArchivingCluster,
  startWriteLoad,
  walg,
} from '../archiving-cluster.ts'
import { checkIntegrity } from '../integrity.ts'

const STEPS = 4

for (const major of [14, 17] as const satisfies readonly Major[]) {
  testUnless(
    missingPostgres(major),
    `PostgreSQL ${major}: a chain of deltas taken while rows are written and tables come and go is sound`,
    async () => {
      await using source = await startArchivingCluster({ major, segmentSizeMiB: 1 })
      const { cluster, place } = source
      await cluster.query(LEDGER_SQL)
      const load = await startWriteLoad(cluster)
      const settings = {
        ...source.connection(),
        WALG_DELTA_MAX_STEPS: '10',
        WALG_DISK_RATE_LIMIT: '30000000',
      }
      const names: string[] = []
      for (let step = 0; step <= STEPS; step++) {
        const pushing = walg(['backup-push', '--verify', cluster.dataDirectory], settings)
        await cluster.query(
          `create table s${step} as select g as id, md5(g::text) as v from generate_series(1, 3000) g`,
        )
        await cluster.query(`delete from ledger where id % 17 = ${step}`)
        await cluster.query('vacuum ledger')
        if (step > 1) await cluster.query(`drop table s${step - 2}`)
        await cluster.query('checkpoint')
        const { stderr } = await pushing
        expect(complaints(stderr).filter(line => !line.includes('vanished'))).toEqual([])
        names.push(/Wrote backup with name (\S+)/.exec(stderr)![1]!)
      }
      expect(names.filter(name => name.includes('_D_'))).toHaveLength(STEPS)
      await load.stop()
      const noted = await digest(cluster, 'ledger')
      await archiveEverything(cluster)
      await cluster.kill()
      for (const name of [names[2]!, names.at(-1)!]) {
        const data = place.at(`restored-${name}`)
        await walg(['backup-fetch', data, name], source.settings)
        await using restored = await startRestored(data, {
          major,
          settings: {
            restore_command: walgCommand(source.settings, 'wal-fetch %f %p'),
            archive_mode: 'off',
          },
        })
        expect(await digest(restored, 'ledger')).toBe(noted)
        expect((await checkIntegrity(restored)).databases).toBe(3)
      }
    },
    240_000,
  )
}
