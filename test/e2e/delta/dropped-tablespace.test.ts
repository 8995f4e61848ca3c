import { expect, test } from 'bun:test'
import { mkdirSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { startRestored } from '../../support/cluster.ts'
import { giveToClusterUser } from '../../support/cluster-user.ts'
import type { Major } from '../../support/postgres-binaries.ts'
import { walgCommand } from '../../support/walg.ts'
import { archiveEverything, startArchivingCluster, walg } from '../archiving-cluster.ts'

const MAJORS: readonly Major[] = [13, 15, 18]

for (const major of MAJORS) {
  test(`PostgreSQL ${major}: nothing of tablespaces that were dropped since the parent of a delta is restored, and the server starts`, async () => {
    await using archiving = await startArchivingCluster({ major })
    const { cluster, place, settings } = archiving
    for (const name of ['filled', 'empty']) {
      mkdirSync(place.at(name))
      giveToClusterUser(place.at(name), 0o700)
      await cluster.query(`create tablespace ${name} location '${place.at(name)}'`)
    }
    await cluster.query('create table t tablespace filled as select g from generate_series(1, 100) g')
    const env = { ...archiving.connection(), WALG_DELTA_MAX_STEPS: '3' }
    await walg(['backup-push', cluster.dataDirectory], env)
    for (const statement of ['drop table t', 'drop tablespace filled', 'drop tablespace empty']) {
      await cluster.query(statement)
    }
    await cluster.query('create table kept as select g from generate_series(1, 200) g')
    await walg(['backup-push', cluster.dataDirectory], env)
    await archiveEverything(cluster)
    for (const flags of [[], ['--reverse-unpack']]) {
      const target = place.at(`restored${flags.join('')}`)
      await walg(['backup-fetch', target, 'LATEST', ...flags], settings)
      expect(readdirSync(path.join(target, 'pg_tblspc'))).toEqual([])
      await using restored = await startRestored(target, {
        major,
        settings: {
          restore_command: walgCommand(settings, 'wal-fetch %f %p'),
          recovery_target_action: 'promote',
        },
      })
      expect(await restored.query('select count(*)::int as n from kept')).toEqual([{ n: 200 }])
    }
  }, 120_000)
}
