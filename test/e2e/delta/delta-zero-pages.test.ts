import { expect } from 'bun:test'
import { appendFileSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Cluster } from '../../support/cluster.ts'
import { type Major, missingPostgres } from '../../support/postgres-binaries.ts'
import { testUnless } from '../../support/skip.ts'
import { type ArchivingCluster, startArchivingCluster, walg } from '../archiving-cluster.ts'

const PAGE = 8192
const HOLE_PAGES = 5

async function pathOf(cluster: Cluster, table: string): Promise<string> {
  const [row] = await cluster.query<{ path: string }>(`select pg_relation_filepath('${table}') as path`)
  return row!.path
}

/** Pages that were added and never filled, as PostgreSQL 16 and later leave them when many sessions extend a table. */
async function addHole(cluster: Cluster, relation: string): Promise<void> {
  await cluster.stop()
  const file = path.join(cluster.dataDirectory, relation)
  appendFileSync(file, new Uint8Array(HOLE_PAGES * PAGE))
  await cluster.start()
}

function zeroPages(file: string): number[] {
  const bytes = readFileSync(file)
  const blocks = Array.from({ length: bytes.length / PAGE }, (_, block) => block)
  return blocks.filter(block => bytes.subarray(block * PAGE, (block + 1) * PAGE).every(byte => byte === 0))
}

function startScene(major: Major): Promise<ArchivingCluster> {
  return startArchivingCluster({
    major,
    settings: { autovacuum: 'off', ...(major >= 17 ? { summarize_wal: 'on' } : {}) },
  })
}

/** What a push says that makes a delta of whatever was pushed last. */
async function pushDelta(
  { cluster, settings }: ArchivingCluster,
  env: Readonly<Record<string, string>>,
): Promise<string> {
  await cluster.query('checkpoint')
  const all = { ...settings, ...cluster.environment, WALG_DELTA_MAX_STEPS: '9', ...env }
  return (await walg(['backup-push', cluster.dataDirectory], all)).stderr
}

for (const [ways, major] of [
  [['scan', 'scan'], 15],
  [['scan', 'scan'], 18],
  [['auto', 'scan'], 17],
] as const) {
  testUnless(
    missingPostgres(major),
    `PostgreSQL ${major}, by ${ways.join(' then ')}: zero pages between changed ones do not make a file whole, and stay zero`,
    async () => {
      await using scene = await startScene(major)
      const { cluster, settings, place } = scene
      await cluster.query(
        'create table t with (fillfactor = 50) as select g as id, 0 as v from generate_series(1, 3000) g',
      )
      const relation = await pathOf(cluster, 't')
      await cluster.query('checkpoint')
      await addHole(cluster, relation)
      await cluster.query('insert into t select g, 0 from generate_series(3001, 4000) g')
      const push = (env: Record<string, string> = {}): Promise<string> => pushDelta(scene, env)
      await push()
      const source = path.join(cluster.dataDirectory, relation)
      const holes = zeroPages(source)
      expect(holes.length).toBeGreaterThan(0)
      for (const way of ways) {
        // every page changes, the last one too
        await cluster.query('update t set v = v + 1')
        const said = await push({ WALG_CHANGED_BLOCKS: way })
        expect(said).not.toContain('is stored whole')
      }
      // a page that was something else and is zero now is another matter
      const bytes = statSync(source).size
      await walg(['backup-fetch', place.at('restored'), 'LATEST'], settings)
      const restored = path.join(place.at('restored'), relation)
      expect(statSync(restored).size).toBe(bytes)
      expect(Buffer.compare(readFileSync(restored), readFileSync(source))).toBe(0)
      expect(zeroPages(restored)).toEqual(holes)

      await cluster.stop()
      truncateSync(source, 2 * PAGE)
      truncateSync(source, bytes)
      appendFileSync(source, new Uint8Array(PAGE))
      await cluster.start()
      await cluster.query('update t set v = v + 1')
      expect(await push({ WALG_CHANGED_BLOCKS: 'scan' })).toContain(
        `'/${relation}' is stored whole: block 2 is zero`,
      )
    },
    180_000,
  )
}

for (const way of ['scan', 'auto'] as const) {
  testUnless(
    missingPostgres(17),
    `by ${way}: zero pages where an older backup than the parent has rows make a file whole: the original would bring those back`,
    async () => {
      await using scene = await startScene(17)
      const { cluster } = scene
      const push = (): Promise<string> => pushDelta(scene, { WALG_CHANGED_BLOCKS: way })
      await cluster.query(
        'create table t as select g as id, md5(g::text) as v from generate_series(1, 10000) g',
      )
      const relation = await pathOf(cluster, 't')
      await push()
      await cluster.query('delete from t where id > 3000')
      await cluster.query('vacuum t')
      const bytes = statSync(path.join(cluster.dataDirectory, relation)).size
      await push()
      // the table is not touched: its file is the parent's
      await cluster.query('create table other as select 1 as a')
      await push()
      await cluster.query('checkpoint')
      await addHole(cluster, relation)
      expect(await push()).toContain(`'/${relation}' is stored whole: block ${bytes / PAGE} is zero`)
      await addHole(cluster, relation)
      expect(await push()).not.toContain('is stored whole')
    },
    120_000,
  )
}

testUnless(
  missingPostgres(15),
  'a page that was made zero by hand stays zero: the parent has the damaged one that was mended so',
  async () => {
    await using scene = await startScene(15)
    const { cluster, settings, place } = scene
    await cluster.query('create table t as select g as id, md5(g::text) as v from generate_series(1, 5000) g')
    await cluster.query('vacuum t')
    const relation = await pathOf(cluster, 't')
    await pushDelta(scene, {})
    await cluster.stop()
    const source = path.join(cluster.dataDirectory, relation)
    const bytes = readFileSync(source)
    writeFileSync(source, bytes.fill(0, 3 * PAGE, 4 * PAGE))
    await cluster.start()
    expect(await pushDelta(scene, {})).toContain(`'/${relation}' is stored whole: block 3 is zero`)
    await walg(['backup-fetch', place.at('restored'), 'LATEST'], settings)
    expect(zeroPages(path.join(place.at('restored'), relation))).toEqual([3])
  },
  120_000,
)
