import { describe, expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { backupPush } from '../../../src/operations/backup-push/backup-push.ts'
import { type Cluster, startCluster, startRestored } from '../../support/cluster.ts'
import { giveToClusterUser } from '../../support/cluster-user.ts'
import { operationContext } from '../../support/operation-context.ts'
import type { Major } from '../../support/postgres-binaries.ts'
import { tempDirectory } from '../../support/temp-directory.ts'
import { walgCommand } from '../../support/walg.ts'
import { listedBackups, pushOptions, readJson, unpackWithTar } from './backup-push-support.ts'

const MAJORS: readonly Major[] = [13, 14, 15, 16, 17, 18]

async function startArchiving(major: Major, repository: string): Promise<Cluster> {
  giveToClusterUser(repository, 0o777)
  return startCluster({ major, archiveCommand: walgCommand({ WALG_FILE_PREFIX: repository }, 'wal-push %p') })
}

/** Rows inserted one after the other until told to stop. */
function writeInBackground(cluster: Cluster): { stop(): Promise<void> } {
  let isRunning = true
  const work = (async () => {
    while (isRunning) await cluster.query('insert into t values (0, now()::text)')
  })()
  return {
    async stop() {
      isRunning = false
      await work
    },
  }
}

describe('backup-push of a running server', () => {
  for (const major of MAJORS) {
    test(`PostgreSQL ${major}: tar and the archive alone restore it to the state of its stop`, async () => {
      using repository = tempDirectory('repository')
      await using cluster = await startArchiving(major, repository.path)
      await cluster.query('create table t as select g, md5(g::text) from generate_series(1, 10000) g')
      const context = await operationContext(repository.path)
      const writer = writeInBackground(cluster)
      const result = await backupPush(context, pushOptions(cluster.dataDirectory, { cluster }))
      await writer.stop()
      expect(listedBackups(repository.path)).toEqual([result.name])
      expect(context.messages.filter(message => !message.startsWith('INFO'))).toEqual([])

      const sentinel = readJson(repository.path, result.name, 'sentinel')
      expect(Math.floor(Number(sentinel['PgVersion']) / 10_000)).toBe(major)
      const databases = readJson(repository.path, result.name, 'files_metadata.json')[
        'DatabasesByNames'
      ] as object
      expect(databases).toMatchObject({
        postgres: { tables_new: { 'public.t': { oid: expect.any(Number) } } },
      })

      using target = tempDirectory('restored')
      unpackWithTar(repository.path, result.name, target.at('data'))
      const restore = walgCommand({ WALG_FILE_PREFIX: repository.path }, 'wal-fetch %f %p')
      await using restored = await startRestored(target.at('data'), {
        major,
        settings: {
          restore_command: restore,
          recovery_target: 'immediate',
          recovery_target_action: 'promote',
        },
      })
      const [row] = await restored.query<{ n: number }>('select count(*)::int as n from t where g > 0')
      expect(row?.n).toBe(10_000)
      expect(existsSync(target.at('data/backup_label'))).toBe(false)
    }, 120_000)
  }
})
