import { expect } from 'bun:test'
import { existsSync, mkdirSync } from 'node:fs'
import path from 'node:path'
import { archiveEverything, startArchivingCluster } from '../../e2e/archiving-cluster.ts'
import { startRestored } from '../../support/cluster.ts'
import { giveTreeToClusterUser } from '../../support/cluster-template.ts'
import { giveToClusterUser } from '../../support/cluster-user.ts'
import { restoreSpec } from '../../support/restore-spec.ts'
import { missingReference, testUnless } from '../../support/skip.ts'
import { walgCommand } from '../../support/walg.ts'
import { succeed, type Tool } from './pair.ts'

const TOOLS: readonly Tool[] = ['ours', 'original']

for (const pusher of TOOLS) {
  for (const fetcher of TOOLS) {
    testUnless(
      missingReference(),
      `a tablespace inside the data directory, pushed by ${pusher}, comes back in it by ${fetcher}`,
      async () => {
        await using archiving = await startArchivingCluster({ major: 16 })
        const { cluster, place, settings } = archiving
        const inside = path.join(cluster.dataDirectory, 'inside')
        mkdirSync(inside)
        giveToClusterUser(inside, 0o700)
        await cluster.query(`create tablespace inside location '${inside}'`)
        await cluster.query('create table t tablespace inside as select g from generate_series(1, 5000) g')
        const env = { ...archiving.connection(), PGUSER: 'postgres' }
        await succeed(pusher, ['backup-push', cluster.dataDirectory], env)
        await archiveEverything(cluster)
        const [{ oid } = { oid: '' }] = await cluster.query<{ oid: string }>(
          "select oid::text from pg_tablespace where spcname = 'inside'",
        )
        const target = place.at('restored')
        const spec = restoreSpec(place.at('spec.json'), target, { [oid]: path.join(target, 'inside') })
        await succeed(fetcher, ['backup-fetch', target, 'LATEST', ...spec], settings)
        giveTreeToClusterUser(target)
        giveToClusterUser(target, 0o700)
        expect(existsSync(path.join(target, 'inside'))).toBe(true)
        await using restored = await startRestored(target, {
          major: 16,
          settings: {
            restore_command: walgCommand(settings, 'wal-fetch %f %p'),
            recovery_target_action: 'promote',
          },
        })
        expect(await restored.query('select count(*)::int as n from t')).toEqual([{ n: 5000 }])
      },
      120_000,
    )
  }
}
