import { expect } from 'bun:test'
import { mkdirSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { backupPush } from '../../../src/operations/backup-push/backup-push.ts'
import { startCluster } from '../../support/cluster.ts'
import { giveToClusterUser } from '../../support/cluster-user.ts'
import { operationContext } from '../../support/operation-context.ts'
import { type Major, missingPostgres } from '../../support/postgres-binaries.ts'
import { beforeWalk, queryNow } from '../../support/query-now.ts'
import { testUnless } from '../../support/skip.ts'
import { tempDirectory } from '../../support/temp-directory.ts'
import { walgCommand } from '../../support/walg.ts'
import { walg } from '../archiving-cluster.ts'
import { NO_DELTA, pushOptions } from '../push/backup-push-support.ts'

type Way = 'scan' | 'wal' | 'summaries'

for (const [major, ways] of [
  [13, ['wal', 'wal']],
  [15, ['wal', 'scan']],
  [17, ['summaries', 'summaries']],
  [18, ['scan', 'summaries']],
] as const satisfies readonly (readonly [Major, readonly [Way, Way]])[]) {
  testUnless(
    missingPostgres(major),
    `PostgreSQL ${major}, by ${ways.join(' then ')}: what reaches the disk between the start of a delta and its walk is in the next one`,
    async () => {
      using place = tempDirectory('start-gap')
      mkdirSync(place.at('repository'))
      giveToClusterUser(place.at('repository'), 0o777)
      const settings = { WALG_FILE_PREFIX: place.at('repository') }
      await using cluster = await startCluster({
        major,
        checksums: true,
        settings: { autovacuum: 'off', ...(major >= 17 ? { summarize_wal: 'on' } : {}) },
        archiveCommand: walgCommand(settings, 'wal-push %p'),
      })
      await cluster.query('create table t as select g as id, 0 as v from generate_series(1, 3000) g')
      // a map may reach back to where a segment or a summary begins; nothing is left for a reader to mark
      for (const statement of ['vacuum freeze t', 'checkpoint', 'select pg_switch_wal()', 'checkpoint']) {
        await cluster.query(statement)
      }
      const [row] = await cluster.query<{ path: string }>(`select pg_relation_filepath('t') as path`)
      const push = async (parent?: string, way: Way = 'scan', onWalk = (): void => {}): Promise<string> => {
        const context = beforeWalk(await operationContext(place.at('repository')), onWalk)
        const changes = { ...NO_DELTA.changes, method: way, usesWal: way === 'wal', isForced: way !== 'scan' }
        const isFull = parent === undefined
        const delta = { ...NO_DELTA, stepsMax: isFull ? 0 : 9, fromName: parent, isFull, changes }
        const { name } = await backupPush(context, pushOptions(cluster.dataDirectory, { cluster, delta }))
        await context.storage.close()
        return name
      }
      let happened = 0
      const full = await push()
      await cluster.query('update t set v = 1 where id = 1')
      const first = await push(full, ways[0], () => {
        happened += 1
        queryNow(cluster, [
          'update t set v = 2 where id = 2000',
          'checkpoint',
          'select pg_sleep(0.1)',
          'create table later as select 1 as a',
          // from now on the file looks as if it had been left alone for long
          'checkpoint',
        ])
      })
      expect(happened).toBe(1)
      const second = await push(first, ways[1])
      const source = readFileSync(path.join(cluster.dataDirectory, row!.path))
      const target = place.at('restored')
      await walg(['backup-fetch', target, second], settings)
      expect(readFileSync(path.join(target, row!.path)).equals(source)).toBe(true)
      rmSync(target, { recursive: true })
    },
    180_000,
  )
}
