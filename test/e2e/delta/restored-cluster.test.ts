import { expect } from 'bun:test'
import { readdirSync, renameSync, rmSync, statSync } from 'node:fs'
import path from 'node:path'
import { backupPush } from '../../../src/operations/backup-push/backup-push.ts'
import { compareTrees, readTree, type Tree } from '../../interop/restored-tree.ts'
import { type Cluster, startRestored } from '../../support/cluster.ts'
import { operationContext } from '../../support/operation-context.ts'
import { type Major, missingPostgres } from '../../support/postgres-binaries.ts'
import { atMessage, queryNow } from '../../support/query-now.ts'
import { testUnless } from '../../support/skip.ts'
import { untilTrue } from '../../support/until-true.ts'
import { walgCommand } from '../../support/walg.ts'
import {
  type ArchivingCluster,
  archiveEverything,
  complaints,
  startArchivingCluster,
  startStandby,
  walg,
} from '../archiving-cluster.ts'
import { NO_DELTA, pushOptions } from '../push/backup-push-support.ts'

const OID = 70_000
const OF_DATABASES = /^base\/.*(?<!\/pg_internal\.init)$/
const SCAN = { WALG_DELTA_MAX_STEPS: '6', WALG_CHANGED_BLOCKS: 'scan' }

interface Pushed {
  readonly name: string
  readonly said: string
}

async function startSource(major: Major): Promise<ArchivingCluster> {
  const source = await startArchivingCluster({ major, segmentSizeMiB: 1, settings: { autovacuum: 'off' } })
  for (const name of ['one', 'two', 'three']) {
    await source.cluster.query(`create database ${name}`)
    const client = await source.cluster.client({ database: name })
    await client.query(`create table t as select '${name}'::text as v from generate_series(1, 1000)`)
    await client.query(`create table ${name} (id int primary key)`)
    await client.end()
  }
  return source
}

/** SQL that makes the database x of another one by copying its files: its pages keep their LSNs. */
const makeSql = (template: string): string =>
  `create database x oid ${OID} template ${template} strategy file_copy`

/** Until PostgreSQL 14 nobody chooses an oid: a counter that has gone round comes upon one that is free again. */
async function makeOfOld(cluster: Cluster, template: string, oid: number): Promise<void> {
  await cluster.query(`create database x template ${template}`)
  const [row] = await cluster.query<{ oid: number }>(`select oid from pg_database where datname = 'x'`)
  await cluster.query('set allow_system_table_mods = on')
  await cluster.query(`update pg_database set oid = ${oid} where datname = 'x'`)
  await cluster.query('checkpoint')
  await cluster.stop()
  const folder = path.join(cluster.dataDirectory, 'base')
  renameSync(path.join(folder, String(row!.oid)), path.join(folder, String(oid)))
  await cluster.start()
}

async function makeAgain(cluster: Cluster, template: string): Promise<void> {
  await cluster.query('drop database x')
  if (cluster.major >= 15) await cluster.query(makeSql(template))
  else await makeOfOld(cluster, template, OID)
}

async function push(source: ArchivingCluster, cluster: Cluster, ...flags: string[]): Promise<Pushed> {
  const env = { ...source.connection(cluster), ...SCAN }
  const { stderr } = await walg(['backup-push', cluster.dataDirectory, ...flags], env)
  return { name: /Wrote backup with name (\S+)/.exec(stderr)![1]!, said: stderr }
}

/** The queries of a backup set hint bits: those that come after it find nothing more to set. */
async function settle(source: ArchivingCluster, cluster: Cluster): Promise<void> {
  await push(source, cluster, '--full')
  await cluster.query('checkpoint')
}

async function fetched({ place, settings }: ArchivingCluster, name: string): Promise<Tree> {
  const target = place.at('fetched')
  await walg(['backup-fetch', target, name], settings)
  const entries = Object.entries(readTree(target))
  rmSync(target, { recursive: true })
  return Object.fromEntries(entries.filter(([name, entry]) => 'size' in entry && OF_DATABASES.test(name)))
}

function storedBytes({ repository }: ArchivingCluster, name: string): number {
  const folder = path.join(repository, 'basebackups_005', name)
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).reduce(
    (sum, file) => sum + statSync(path.join(folder, file)).size,
    0,
  )
}

/** Stops the source, and brings up what it has archived. */
async function restore(source: ArchivingCluster, name: string): Promise<Cluster> {
  const { cluster, place, settings } = source
  await archiveEverything(cluster)
  await cluster.stop()
  const target = place.at('restored')
  await walg(['backup-fetch', target, name], settings)
  return startRestored(target, {
    major: cluster.major,
    settings: {
      restore_command: walgCommand(settings, 'wal-fetch %f %p'),
      recovery_target_action: 'promote',
      archive_mode: 'on',
    },
  })
}

const WAYS = [
  [13, 'after'],
  [15, 'after'],
  [15, 'before'],
  [18, 'after'],
] as const satisfies readonly (readonly [Major, string])[]

for (const [major, when] of WAYS) {
  testUnless(
    missingPostgres(major),
    `PostgreSQL ${major}: a database that was made again under its old oid ${when} a restore is whole in the delta, and nothing else is`,
    async () => {
      await using source = await startSource(major)
      if (major >= 15) await source.cluster.query(makeSql('one'))
      else await makeOfOld(source.cluster, 'one', OID)
      const full = await push(source, source.cluster)
      if (when === 'before') await makeAgain(source.cluster, 'two')
      await using restored = await restore(source, full.name)
      if (when === 'after') {
        const healthy = await push(source, restored, '--delta-from-name', full.name)
        expect(complaints(healthy.said)).toEqual([])
        expect(healthy.said).not.toContain('Stored whole')
        expect(storedBytes(source, healthy.name)).toBeLessThan(storedBytes(source, full.name) / 3)
        await makeAgain(restored, 'two')
      }
      await settle(source, restored)
      const delta = await push(source, restored, '--delta-from-name', full.name)
      expect(delta.said).toMatch(
        new RegExp(`Stored whole: \\S+ MiB, in the databases with oid ${OID}\\. .* since ${full.name}`),
      )
      const twin = await push(source, restored, '--full')
      expect(compareTrees(await fetched(source, twin.name), await fetched(source, delta.name))).toEqual([])
    },
    180_000,
  )
}

testUnless(
  missingPostgres(15),
  'a database that is made again in a restored cluster when the delta has looked at the server and not begun yet is whole in it',
  async () => {
    await using source = await startSource(15)
    await source.cluster.query(makeSql('one'))
    const full = await push(source, source.cluster)
    await using restored = await restore(source, full.name)
    await settle(source, restored)
    const context = atMessage(await operationContext(source.repository), /^Calling pg_start_backup/, () =>
      queryNow(restored, ['drop database x', makeSql('two')]),
    )
    const delta = { ...NO_DELTA, stepsMax: 9, fromName: full.name }
    const walSegmentBytes = 1 << 20
    const options = pushOptions(restored.dataDirectory, { cluster: restored, delta, walSegmentBytes })
    const { name } = await backupPush(context, options)
    const twin = await push(source, restored, '--full')
    expect(compareTrees(await fetched(source, twin.name), await fetched(source, name))).toEqual([])
  },
  120_000,
)

testUnless(
  missingPostgres(15),
  'a delta of a new standby on a backup of its primary is small, and has a database whole that was made again under its old oid',
  async () => {
    await using source = await startSource(15)
    const { cluster: primary, place, settings } = source
    await primary.query(makeSql('one'))
    const full = await push(source, primary)
    await using standby = await startStandby(source, 'standby')
    const env = {
      ...source.connection(standby),
      ...SCAN,
      WALG_PRIMARY_CONNINFO: `host=${primary.host} port=${primary.port} user=postgres dbname=postgres`,
    }
    const pushStandby = async (): Promise<Pushed> => {
      const args = ['backup-push', standby.dataDirectory, '--delta-from-name', full.name]
      const { stderr } = await walg(args, env)
      return { name: /Wrote backup with name (\S+)/.exec(stderr)![1]!, said: stderr }
    }
    const healthy = await pushStandby()
    expect(healthy.name).toContain('_D_')
    expect(healthy.said).not.toContain('Stored whole')
    expect(storedBytes(source, healthy.name)).toBeLessThan(storedBytes(source, full.name) / 3)
    await makeAgain(primary, 'two')
    await primary.query('checkpoint')
    const [now] = await primary.query<{ lsn: string }>('select pg_current_wal_flush_lsn() as lsn')
    const isReplayed = `select pg_last_wal_replay_lsn() >= '${now!.lsn}' as done`
    const check = async (): Promise<boolean> => (await standby.query<{ done: boolean }>(isReplayed))[0]!.done
    await untilTrue(check, 30_000, 'the standby catching up')
    await standby.query('checkpoint')
    const delta = await pushStandby()
    expect(delta.said).toMatch(new RegExp(`Stored whole: .* with oid ${OID}\\.`))
    const data = place.at('restored')
    await walg(['backup-fetch', data, delta.name], settings)
    await using restored = await startRestored(data, {
      major: 15,
      settings: {
        restore_command: walgCommand(settings, 'wal-fetch %f %p'),
        primary_conninfo: '',
        recovery_target: 'immediate',
        recovery_target_action: 'promote',
      },
    })
    const client = await restored.client({ database: 'x' })
    expect((await client.query('select v, count(*)::int as n from t group by v')).rows).toEqual([
      { v: 'two', n: 1000 },
    ])
    expect((await client.query('select count(*)::int as n from two')).rows).toEqual([{ n: 0 }])
    await client.end()
  },
  180_000,
)
