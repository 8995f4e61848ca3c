import { expect, test } from 'bun:test'
import { readdirSync } from 'node:fs'
import path from 'node:path'
import { readControlFile } from '../../../src/postgres/control-file.ts'
import { digest, LEDGER_SQL, startArchivingCluster, startStandby } from '../../e2e/archiving-cluster.ts'
import { listedBackups } from '../../e2e/push/backup-push-support.ts'
import type { Cluster } from '../../support/cluster.ts'
import { type Major, missingPostgres } from '../../support/postgres-binaries.ts'
import { describeUnless, missingReference } from '../../support/skip.ts'
import { untilTrue } from '../../support/until-true.ts'
import { compareTrees, readTree, withoutServerManifest } from '../restored-tree.ts'
import { succeed, type Tool } from './pair.ts'

const MAJORS: readonly Major[] = [15, 18]
const TIMEOUT_MS = 240_000
const WAYS: readonly (readonly [Tool, Tool])[] = [
  ['ours', 'original'],
  ['original', 'ours'],
]
const reason = missingReference() ?? missingPostgres(...MAJORS)

async function untilCaughtUp(primary: Cluster, standby: Cluster): Promise<void> {
  const [now] = await primary.query<{ lsn: string }>('select pg_current_wal_flush_lsn() as lsn')
  const sql = `select pg_last_wal_replay_lsn() >= '${now!.lsn}' as done`
  const isDone = async (): Promise<boolean> => (await standby.query<{ done: boolean }>(sql))[0]?.done === true
  await untilTrue(isDone, 60_000, 'the standby catching up')
}

describeUnless(reason, 'catchup and composers, one program beside the other', () => {
  for (const major of MAJORS) {
    for (const [pusher, fetcher] of WAYS) {
      test(
        `PostgreSQL ${major}: a standby is brought up by ${fetcher} with what ${pusher} stored`,
        async () => {
          await using source = await startArchivingCluster({ major, settings: { autovacuum: 'off' } })
          const { cluster: primary } = source
          const env = { ...source.settings, ...primary.environment }
          await primary.query(LEDGER_SQL)
          await using standby = await startStandby(source, 'standby')
          await untilCaughtUp(primary, standby)
          await standby.stop()
          const { redoLsn } = await readControlFile(standby.dataDirectory)
          await primary.query('update ledger set changes = 1 where id % 100 = 0')
          await primary.query('create table made as select g from generate_series(1, 1000) g')
          await succeed(pusher, ['catchup-push', primary.dataDirectory, '--from-lsn', String(redoLsn)], env)
          const lists = await Promise.all(
            (['ours', 'original'] as const).map(tool =>
              succeed(tool, ['catchup-list', '--detail', '--json'], env),
            ),
          )
          expect(lists[0]!.stdout).toBe(lists[1]!.stdout)
          await succeed(fetcher, ['catchup-fetch', standby.dataDirectory, 'LATEST'], env)
          await standby.start()
          await untilCaughtUp(primary, standby)
          for (const table of ['ledger', 'made']) {
            expect(await digest(standby, table)).toBe(await digest(primary, table))
          }
        },
        TIMEOUT_MS,
      )
    }

    test(
      `PostgreSQL ${major}: the original restores what our composers have packed`,
      async () => {
        await using source = await startArchivingCluster({ major })
        const { cluster, place, repository } = source
        const env = { ...source.settings, ...cluster.environment, WALG_TAR_SIZE_THRESHOLD: '4194304' }
        await cluster.query(LEDGER_SQL)
        await cluster.query('checkpoint')
        for (const flag of ['--database-composer', '--rating-composer', '--copy-composer']) {
          await cluster.query('select pg_switch_wal()')
          await succeed('ours', ['backup-push', cluster.dataDirectory, flag], env)
          const name = listedBackups(repository).at(-1)!
          const parts = readdirSync(path.join(repository, 'basebackups_005', name, 'tar_partitions'))
          expect(parts.some(part => part.startsWith('copy_'))).toBe(flag === '--copy-composer')
          const trees = []
          for (const tool of ['ours', 'original'] as const) {
            const data = place.at(`${tool}${flag}`)
            await succeed(tool, ['backup-fetch', data, name], env)
            trees.push(withoutServerManifest(readTree(data)))
          }
          expect(compareTrees(trees[1]!, trees[0]!)).toEqual([])
        }
        await cluster.query('select pg_switch_wal()')
        await succeed('original', ['backup-push', cluster.dataDirectory], env)
        await cluster.query('select pg_switch_wal()')
        const { stderr } = await succeed(
          'ours',
          ['backup-push', cluster.dataDirectory, '--copy-composer'],
          env,
        )
        expect(stderr).toContain('it has no content manifest')
      },
      TIMEOUT_MS,
    )
  }
})
