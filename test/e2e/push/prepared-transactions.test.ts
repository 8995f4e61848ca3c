import { expect, test } from 'bun:test'
import { mkdirSync } from 'node:fs'
import { backupPush } from '../../../src/operations/backup-push/backup-push.ts'
import { remoteBackupPush } from '../../../src/operations/backup-push/remote/remote-backup-push.ts'
import { type Cluster, startRestored } from '../../support/cluster.ts'
import { giveToClusterUser } from '../../support/cluster-user.ts'
import { operationContext, type TestContext } from '../../support/operation-context.ts'
import type { Major } from '../../support/postgres-binaries.ts'
import { atMessage, beforeWalk, queryNow } from '../../support/query-now.ts'
import { walgCommand } from '../../support/walg.ts'
import {
  type ArchivingCluster,
  archiveEverything,
  startArchivingCluster,
  walg,
} from '../archiving-cluster.ts'
import { pushOptions } from './backup-push-support.ts'

const MAJORS: readonly Major[] = [13, 16, 17, 18]
/** More than the server and the network hold back while nobody reads: what comes behind has not been looked at. */
const AHEAD_ROWS = 400_000

/** A transaction prepared, and its state written by a checkpoint. */
function prepare(id: string): string[] {
  return [`begin; create table ${id} (); prepare transaction '${id}'`, 'checkpoint']
}

async function preparedOf(cluster: Cluster): Promise<string[]> {
  const rows = await cluster.query<{ gid: string }>('select gid from pg_prepared_xacts order by 1')
  return rows.map(({ gid }) => gid)
}

type Interrupt = typeof beforeWalk

const whenStarted: Interrupt = (context, action) => atMessage(context, /^Started backup/, action)

/** Takes a backup between the begin and the files of which transactions are prepared; restored, it has those as well. */
async function provePrepared(
  archiving: ArchivingCluster,
  interrupt: Interrupt,
  take: (context: TestContext) => Promise<{ readonly name: string }>,
  mapping: readonly string[] = [],
): Promise<void> {
  const { cluster, place, repository, settings } = archiving
  for (const statement of prepare('early')) await cluster.query(statement)
  let happened = 0
  const own = await operationContext(repository)
  const context = interrupt(own, () => {
    happened += 1
    queryNow(cluster, [...prepare('late'), ...prepare('later')])
  })
  const { name } = await take(context)
  await own.storage.close()
  expect(happened).toBe(1)
  expect(own.messages.filter(said => said.includes('is of a later checkpoint')).length).toBe(2)
  await cluster.query("select pg_create_restore_point('prepared')")
  await archiveEverything(cluster)
  const target = place.at('restored')
  await walg(['backup-fetch', target, name, ...mapping], settings)
  await using restored = await startRestored(target, {
    major: cluster.major,
    settings: {
      restore_command: walgCommand(settings, 'wal-fetch %f %p'),
      recovery_target_name: 'prepared',
      recovery_target_action: 'promote',
    },
  })
  expect(await preparedOf(restored)).toEqual(['early', 'late', 'later'])
  await restored.query("commit prepared 'later'")
  expect(await restored.query('select * from later')).toEqual([])
}

const start = (major: Major): Promise<ArchivingCluster> =>
  startArchivingCluster({ major, settings: { max_prepared_transactions: 5 } })

for (const major of MAJORS) {
  test(`PostgreSQL ${major}: transactions prepared, and checkpointed, while a backup begins come back prepared`, async () => {
    await using archiving = await start(major)
    const { cluster } = archiving
    await provePrepared(archiving, beforeWalk, context =>
      backupPush(context, pushOptions(cluster.dataDirectory, { cluster })),
    )
  }, 120_000)

  test(`PostgreSQL ${major}: so they do while a backup comes over the wire`, async () => {
    await using archiving = await start(major)
    const { cluster, place } = archiving
    const [tablespace, moved] = [place.at('tablespace'), place.at('moved')]
    mkdirSync(tablespace)
    giveToClusterUser(tablespace, 0o700)
    await cluster.query(`create tablespace ahead location '${tablespace}'`)
    await cluster.query(
      `create table sent_first tablespace ahead as select md5(g::text) from generate_series(1, ${AHEAD_ROWS}) g`,
    )
    await provePrepared(
      archiving,
      whenStarted,
      context => remoteBackupPush(context, pushOptions('', { cluster })),
      ['--tablespace-mapping', `${tablespace}=${moved}`],
    )
  }, 120_000)
}
