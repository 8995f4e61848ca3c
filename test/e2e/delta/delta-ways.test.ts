import { expect } from 'bun:test'
import { cpSync, mkdirSync, readdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { MIB } from '../../../src/kit/sizes.ts'
import { backupPush } from '../../../src/operations/backup-push/backup-push.ts'
import type { ChangesOptions } from '../../../src/operations/backup-push/changes/find-changed-pages.ts'
import { compareTrees, readTree, type Tree } from '../../interop/restored-tree.ts'
import { type Cluster, startCluster, startRestored } from '../../support/cluster.ts'
import { giveToClusterUser } from '../../support/cluster-user.ts'
import { operationContext } from '../../support/operation-context.ts'
import { type Major, missingPostgres } from '../../support/postgres-binaries.ts'
import { runProcess } from '../../support/process.ts'
import { testUnless } from '../../support/skip.ts'
import { type TempDirectory, tempDirectory } from '../../support/temp-directory.ts'
import { walgBinary, walgCommand } from '../../support/walg.ts'
import { archiveEverything, walg } from '../archiving-cluster.ts'
import { listedBackups, NO_DELTA, pushOptions } from '../push/backup-push-support.ts'

const OWN = /^(backup_label|backup_manifest|tablespace_map|global\/pg_control)$|pg_internal\.init$/

function filesOf(tree: Tree): Tree {
  return Object.fromEntries(
    Object.entries(tree).filter(([name, entry]) => 'size' in entry && !OWN.test(name)),
  )
}

interface Taken {
  readonly name: string
  readonly messages: readonly string[]
}

async function take(
  place: TempDirectory,
  cluster: Cluster,
  method: ChangesOptions['method'],
  parent?: string,
  isForced: boolean = method !== 'scan',
): Promise<Taken> {
  const context = await operationContext(place.at('repository'))
  const changes = {
    method,
    usesWal: method === 'wal',
    isForced,
    walSegmentBytes: MIB,
    walPageBytes: 8192,
    pageBytes: 8192,
  }
  const isFull = parent === undefined
  const delta = { ...NO_DELTA, stepsMax: isFull ? 0 : 9, fromName: parent, isFull, changes }
  const options = pushOptions(cluster.dataDirectory, { cluster, delta, walSegmentBytes: MIB })
  const { name } = await backupPush(context, options)
  return { name, messages: context.messages }
}

async function restored(place: TempDirectory, settings: Record<string, string>, name: string): Promise<Tree> {
  const target = place.at('restored')
  await walg(['backup-fetch', target, name], settings)
  const tree = filesOf(readTree(target))
  rmSync(target, { recursive: true })
  return tree
}

const CHANGES = [
  `update t set v = 'changed' where id % 700 = 0`,
  'delete from s where id > 500',
  'vacuum s',
  'insert into s select g, md5(g::text) from generate_series(501, 900) g',
  'create table fresh as select g from generate_series(1, 2000) g',
]

for (const major of [13, 17] as const satisfies readonly Major[]) {
  testUnless(
    missingPostgres(major),
    `PostgreSQL ${major}: a promotion between a backup and its delta: every way follows the WAL over it`,
    async () => {
      using place = tempDirectory('timeline')
      mkdirSync(place.at('repository'))
      giveToClusterUser(place.at('repository'), 0o777)
      const settings = {
        WALG_FILE_PREFIX: place.at('repository'),
        WALG_COMPRESSION_METHOD: 'lz4',
        WALG_PG_WAL_SIZE: '1',
        WALG_USE_WAL_DELTA: 'true',
      }
      const archiving = { archive_mode: 'on', archive_command: walgCommand(settings, 'wal-push %p') }
      const summaries = major >= 17 ? { summarize_wal: 'on' } : {}
      await using first = await startCluster({
        major,
        segmentSizeMiB: 1,
        settings: { ...archiving, ...summaries, autovacuum: 'off' },
      })
      await first.query(`create table t as select g id, md5(g::text) v from generate_series(1, 30000) g`)
      await first.query(`create table s as select g id, md5(g::text) v from generate_series(1, 3000) g`)
      const full = await take(place, first, 'scan')
      for (const sql of CHANGES.slice(0, 3)) await first.query(sql)
      await archiveEverything(first)
      await first.query(`insert into t select g, 'last' from generate_series(1, 300) g`)
      await first.stop()
      cpSync(first.dataDirectory, place.at('second'), { recursive: true, verbatimSymlinks: true })
      await using second = await startRestored(place.at('second'), {
        major,
        settings: { ...archiving, ...summaries, restore_command: walgCommand(settings, 'wal-fetch %f %p') },
      })
      for (const sql of CHANGES.slice(3)) await second.query(sql)
      // whatever a backup itself does to the catalogs is done
      await take(place, second, 'scan')
      const deltas: Taken[] = []
      for (const way of major >= 17 ? (['wal', 'summaries', 'scan'] as const) : (['wal', 'scan'] as const)) {
        deltas.push(await take(place, second, way, full.name))
      }
      const twin = await take(place, second, 'scan')
      expect(twin.name).toStartWith('base_00000002')
      const expected = await restored(place, settings, twin.name)
      for (const { name, messages } of deltas) {
        expect(name).toContain('_D_')
        expect([
          messages.find(line => line.includes('Changed blocks')),
          compareTrees(expected, await restored(place, settings, name)),
        ]).toEqual([expect.stringMatching(/known from|found by reading/), []])
      }
    },
    180_000,
  )
}

interface Archiving {
  readonly cluster: Cluster
  readonly settings: Record<string, string>
}

async function startArchiving(place: TempDirectory, major: Major): Promise<Archiving> {
  mkdirSync(place.at('repository'))
  giveToClusterUser(place.at('repository'), 0o777)
  const settings = {
    WALG_FILE_PREFIX: place.at('repository'),
    WALG_COMPRESSION_METHOD: 'lz4',
    WALG_PG_WAL_SIZE: '1',
    WALG_USE_WAL_DELTA: 'true',
  }
  const cluster = await startCluster({
    major,
    segmentSizeMiB: 1,
    archiveCommand: walgCommand(settings, 'wal-push %p'),
    settings: { ...(major >= 17 ? { summarize_wal: 'on' } : {}), autovacuum: 'off', max_wal_size: '300MB' },
  })
  return { cluster, settings }
}

/** Bytes that a delta backup and its helpers read by system calls, and what it said. */
async function measureReading(
  { cluster, settings }: Archiving,
  way: string,
): Promise<{ readBytes: number; stderr: string }> {
  const io = 'sed -n "s/rchar: //p" /proc/$$/io'
  const script = `${io}; "$0" backup-push "$PGDATA" --delta-from-name "$PARENT" || exit 1; ${io}`
  const env = {
    PATH: process.env['PATH'],
    TZ: 'UTC',
    ...settings,
    ...cluster.environment,
    WALG_DELTA_MAX_STEPS: '9',
    WALG_CHANGED_BLOCKS: way,
    PARENT: 'LATEST',
  }
  const run = await runProcess('sh', ['-c', script, walgBinary()], { env })
  expect([run.exit, run.exit === 0 ? '' : run.stderr]).toEqual([0, ''])
  const [before, after] = run.stdout.trim().split('\n').map(Number)
  return { readBytes: after! - before!, stderr: run.stderr }
}

const TOLD = {
  auto: /are known from [1-9]\d* WAL summaries/,
  wal: /are known from \d+ _delta objects/,
  scan: /found by reading changed files/,
}

testUnless(
  missingPostgres(17),
  'an unchanged block is not read when summaries or the WAL name the changed ones, and every changed file is otherwise',
  async () => {
    using place = tempDirectory('reading')
    const archiving = await startArchiving(place, 17)
    await using cluster = archiving.cluster
    await cluster.query(
      `create table t as select g id, repeat(md5(g::text), 8) v from generate_series(1, 250000) g`,
    )
    await cluster.query('vacuum freeze t')
    await take(place, cluster, 'scan')
    const tableBytes = 70 * MIB
    for (const way of ['auto', 'wal', 'scan']) {
      await cluster.query(`update t set v = v where id % 50000 = 0`)
      const { readBytes, stderr } = await measureReading(archiving, way)
      expect(stderr).toMatch(TOLD[way as keyof typeof TOLD])
      if (way === 'scan') expect(readBytes).toBeGreaterThan(tableBytes)
      else expect([way, Math.min(readBytes, tableBytes / 3)]).toEqual([way, readBytes])
    }
  },
  120_000,
)

testUnless(
  missingPostgres(17),
  'an SP-GiST index gets its metapage back, which the server changes without WAL',
  async () => {
    using place = tempDirectory('spgist')
    const { cluster, settings } = await startArchiving(place, 17)
    await using _ = cluster
    await cluster.query('create table p as select point(g, g % 90) as place from generate_series(1, 9000) g')
    await cluster.query('create index on p using spgist (place)')
    const full = await take(place, cluster, 'scan')
    await cluster.query('insert into p select point(g % 77, g) from generate_series(1, 4000) g')
    await take(place, cluster, 'scan')
    const names: string[] = []
    for (const way of ['summaries', 'wal', 'scan'] as const) {
      names.push((await take(place, cluster, way, full.name)).name)
    }
    const twin = await restored(place, settings, (await take(place, cluster, 'scan')).name)
    for (const name of names) expect(compareTrees(twin, await restored(place, settings, name))).toEqual([])
  },
  120_000,
)

testUnless(
  missingPostgres(15),
  'without a map a delta reads changed files and says why; where that is forbidden it fails and leaves nothing',
  async () => {
    using place = tempDirectory('forced')
    const { cluster } = await startArchiving(place, 15)
    await using _ = cluster
    const full = await take(place, cluster, 'scan')
    await cluster.query('create table t as select generate_series(1, 30000) g')
    await archiveEverything(cluster)
    // the archive loses a segment that pg_wal has no more
    const lost = readdirSync(place.at('repository/wal_005'))
      .filter(name => /^[0-9A-F]{24}\.lz4$/.test(name))
      .at(-2)!
    const segment = lost.slice(0, 24)
    rmSync(place.at('repository/wal_005', lost))
    rmSync(path.join(cluster.dataDirectory, 'pg_wal', segment), { force: true })
    const before = listedBackups(place.at('repository'))
    await expect(take(place, cluster, 'wal', full.name)).rejects.toThrow(
      `Failed to load delta map from previous backup: WAL segment ${segment} is neither in pg_wal nor in the archive`,
    )
    expect(listedBackups(place.at('repository'))).toEqual(before)
    const { name, messages } = await take(place, cluster, 'wal', full.name, false)
    expect(name).toContain('_D_')
    expect(messages.join('\n')).toContain(
      `WARNING: Changed blocks are not known: WAL segment ${segment} is neither in pg_wal nor in the archive. Fallback to full scan delta backup`,
    )
  },
  120_000,
)
