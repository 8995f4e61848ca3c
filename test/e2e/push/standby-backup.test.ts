import { expect } from 'bun:test'
import { startRestored } from '../../support/cluster.ts'
import { newestPageLsn } from '../../support/newest-page.ts'
import { type Major, missingPostgres } from '../../support/postgres-binaries.ts'
import { testUnless } from '../../support/skip.ts'
import { walgCommand } from '../../support/walg.ts'
import {
  archiveEverything,
  complaints,
  digest,
  LEDGER_SQL,
  startArchivingCluster,
  startStandby,
  startWriteLoad,
  walg,
} from '../archiving-cluster.ts'
import { checkIntegrity } from '../integrity.ts'
import { listedBackups, readJson } from './backup-push-support.ts'

for (const major of [13, 18] as const satisfies readonly Major[]) {
  testUnless(
    missingPostgres(major),
    `PostgreSQL ${major}: a backup taken from a standby under load comes back to a named point of the primary`,
    async () => {
      await using source = await startArchivingCluster({ major, segmentSizeMiB: 1, compression: 'zstd' })
      const { cluster: primary, place } = source
      await primary.query(LEDGER_SQL)
      await using standby = await startStandby(source, 'standby')
      const load = await startWriteLoad(primary)
      const push = await walg(['backup-push', '--verify', standby.dataDirectory], source.connection(standby))
      // none at all when the load has filled the segment, and the primary has archived it, by then
      for (const line of complaints(push.stderr)) expect(line).toContain('the backup is of a standby')
      await load.stop()
      const noted = await digest(primary, 'ledger')
      await primary.query(`select pg_create_restore_point('noted')`)
      await primary.query(`insert into ledger (note) values ('after the target')`)
      await archiveEverything(primary)
      await standby.kill()
      await primary.kill()

      const data = place.at('restored')
      await walg(['backup-fetch', data, 'LATEST'], source.settings)
      const [name] = listedBackups(source.repository)
      const { FinishLSN } = readJson(source.repository, name!, 'sentinel')
      expect(Number(newestPageLsn(data))).toBeLessThanOrEqual(Number(FinishLSN))
      await using restored = await startRestored(data, {
        major,
        settings: {
          restore_command: walgCommand(source.settings, 'wal-fetch %f %p'),
          primary_conninfo: '',
          recovery_target_name: 'noted',
          recovery_target_action: 'promote',
        },
      })
      expect(await digest(restored, 'ledger')).toBe(noted)
      expect((await checkIntegrity(restored)).databases).toBe(3)
    },
    90_000,
  )
}
