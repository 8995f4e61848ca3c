import { expect } from 'bun:test'
import { mkdirSync } from 'node:fs'
import { backupPush } from '../../../src/operations/backup-push/backup-push.ts'
import { startCluster } from '../../support/cluster.ts'
import { giveToClusterUser } from '../../support/cluster-user.ts'
import { operationContext } from '../../support/operation-context.ts'
import { type Major, missingPostgres } from '../../support/postgres-binaries.ts'
import { beforeWalk, queryNow } from '../../support/query-now.ts'
import { testUnless } from '../../support/skip.ts'
import { tempDirectory } from '../../support/temp-directory.ts'
import { walgCommand } from '../../support/walg.ts'
import { listedBackups, pushOptions } from '../push/backup-push-support.ts'

for (const major of [13, 18] as const satisfies readonly Major[]) {
  testUnless(
    missingPostgres(major),
    `PostgreSQL ${major}: a database that is moved while a backup is taken fails it, because a restore would lose the database`,
    async () => {
      using place = tempDirectory('moved-database')
      for (const name of ['repository', 'ts']) mkdirSync(place.at(name))
      giveToClusterUser(place.at('repository'), 0o777)
      giveToClusterUser(place.at('ts'), 0o700)
      const settings = { WALG_FILE_PREFIX: place.at('repository') }
      await using cluster = await startCluster({
        major,
        archiveCommand: walgCommand(settings, 'wal-push %p'),
      })
      await cluster.query(`create tablespace ts location '${place.at('ts')}'`)
      await cluster.query('create database wanders')
      const push = async (onWalk: () => void): Promise<string> => {
        const context = beforeWalk(await operationContext(place.at('repository')), onWalk)
        const { name } = await backupPush(context, pushOptions(cluster.dataDirectory, { cluster }))
        return name
      }
      const moving = push(() => queryNow(cluster, ['alter database wanders set tablespace ts']))
      await expect(moving).rejects.toThrow(/was moved from tablespace 1663 to \d+ while the backup was taken/)
      expect(listedBackups(place.at('repository'))).toEqual([])
      const name = await push(() => queryNow(cluster, ['create database another', 'drop database another']))
      expect(listedBackups(place.at('repository'))).toEqual([name])
    },
    120_000,
  )
}
