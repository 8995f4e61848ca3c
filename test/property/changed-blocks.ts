import { expect } from 'bun:test'
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import type { ChangeMap } from '../../src/delta/map/change-map.ts'
import { openMappedPages } from '../../src/delta/map/mapped-pages.ts'
import { readSummaryMap } from '../../src/operations/backup-push/changes/summary-map.ts'
import { readWalMap } from '../../src/operations/backup-push/changes/wal-map.ts'
import type { OperationContext } from '../../src/operations/context.ts'
import { type Lsn, parseLsn } from '../../src/postgres/lsn.ts'
import { isPagedFile, parseRelationFile } from '../../src/postgres/relation-file.ts'
import { changesWithoutWal } from '../../src/postgres/unlogged-page.ts'
import { formatSegmentName, parseSegmentName, toTimelineId } from '../../src/postgres/wal-segment.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { type Cluster, startCluster } from '../support/cluster.ts'
import { giveToClusterUser } from '../support/cluster-user.ts'
import { operationContext } from '../support/operation-context.ts'
import type { Major } from '../support/postgres-binaries.ts'
import type { SeededRandom } from '../support/seeded-random.ts'
import { type TempDirectory, tempDirectory } from '../support/temp-directory.ts'
import { untilTrue } from '../support/until-true.ts'
import { walgCommand } from '../support/walg.ts'
import { openWorkload } from '../support/workload/workload.ts'

interface Snapshot {
  /** Segment that holds the redo position of the checkpoint that the snapshot follows. */
  readonly segment: string
  readonly redoLsn: Lsn
  readonly files: ReadonlyMap<string, Uint8Array>
}

/** Every file of a permanent relation's main fork, as it lies on disk after a checkpoint. */
async function takeSnapshot(cluster: Cluster): Promise<Snapshot> {
  await cluster.query('checkpoint')
  const [row] = await cluster.query<{ name: string; lsn: string }>(
    'select pg_walfile_name(redo_lsn) as name, redo_lsn::text as lsn from pg_control_checkpoint()',
  )
  const root = cluster.dataDirectory
  const roots = [path.join(root, 'base')]
  const names = roots.flatMap(() =>
    readdirSync(path.join(root, 'base'), { recursive: true, encoding: 'utf8' }).map(name => `/base/${name}`),
  )
  for (const oid of readdirSync(path.join(root, 'pg_tblspc'))) {
    const below = readdirSync(path.join(root, 'pg_tblspc', oid), { recursive: true, encoding: 'utf8' })
    names.push(...below.map(name => `/pg_tblspc/${oid}/${name}`))
  }
  const unlogged = new Set(names.filter(name => name.endsWith('_init')))
  const files = new Map<string, Uint8Array>()
  for (const name of names) {
    if (parseRelationFile(name)?.fork !== 'main' || unlogged.has(`${name}_init`)) continue
    const bytes = readFileSync(path.join(root, name))
    if (isPagedFile(name, bytes.length, 8192)) files.set(name, bytes)
  }
  return { segment: row!.name, redoLsn: parseLsn(row!.lsn), files }
}

/** Every way to the map between two snapshots, by name. */
async function readMaps(rig: Rig, begin: Snapshot, end: Snapshot): Promise<Map<string, ChangeMap>> {
  const { cluster, context } = rig
  const walDirectory = path.join(cluster.dataDirectory, 'pg_wal')
  const range = { beginLsn: begin.redoLsn, endLsn: end.redoLsn, timeline: toTimelineId(1), history: null }
  const request = {
    range,
    systemIdentifier: rig.systemIdentifier,
    segmentBytes: 1 << 20,
    pageBytes: 8192,
    walDirectory,
    archiveBytesMax: 1 << 30,
  }
  // as if the server had recycled everything but the segment that it writes to
  const bare = rig.place.at(`pg_wal-${end.segment}`)
  mkdirSync(bare, { recursive: true })
  copyFileSync(path.join(walDirectory, end.segment), path.join(bare, end.segment))
  const results = new Map([
    ['pg_wal', await readWalMap({ ...context, storage: rig.nothing }, request)],
    ['archive', await readWalMap(context, { ...request, walDirectory: bare })],
  ])
  if (cluster.major >= 17) {
    results.set('summaries', await readSummaryMap(context, { range, walDirectory, isSummarizing: true }))
  }
  const maps = new Map<string, ChangeMap>()
  for (const [name, result] of results) {
    rig.told.push(result.map === undefined ? result.reason : result.told)
    if (result.map === undefined) throw new Error(`${name}: ${result.reason}`)
    maps.set(name, result.map)
  }
  return maps
}

interface Rig {
  readonly cluster: Cluster
  readonly place: TempDirectory
  readonly context: OperationContext
  readonly systemIdentifier: bigint
  /** A storage without any object. */
  readonly nothing: Storage
  /** Where the maps came from. */
  readonly told: string[]
}

async function openRig(major: Major, place: TempDirectory): Promise<Rig> {
  for (const name of ['archive', 'nothing']) {
    mkdirSync(place.at(name))
    giveToClusterUser(place.at(name), 0o700)
  }
  const settings = {
    WALG_FILE_PREFIX: place.at('archive'),
    WALG_COMPRESSION_METHOD: 'lz4',
    WALG_PG_WAL_SIZE: '1',
    WALG_USE_WAL_DELTA: 'true',
  }
  const cluster = await startCluster({
    major,
    segmentSizeMiB: 1,
    archiveCommand: walgCommand(settings, 'wal-push %p'),
    settings: {
      wal_keep_size: '2GB',
      max_prepared_transactions: 50,
      autovacuum: 'off',
      ...(major >= 17 ? { summarize_wal: 'on' } : {}),
    },
  })
  const [row] = await cluster.query<{ id: string }>(
    'select system_identifier::text as id from pg_control_system()',
  )
  const context = await operationContext(place.at('archive'))
  const nothing = (await operationContext(place.at('nothing'))).storage
  return { cluster, place, context, systemIdentifier: BigInt(row!.id), nothing, told: [] }
}

/** Until the archive has what comes before this segment. */
async function untilArchived({ cluster }: Rig, segment: string): Promise<void> {
  const { timeline, number } = parseSegmentName(segment, 1 << 20)
  const name = formatSegmentName({ timeline, number: number - 1n }, 1 << 20)
  const done = path.join(cluster.dataDirectory, 'pg_wal/archive_status', `${name}.done`)
  await untilTrue(() => existsSync(done), 60_000, `archiving of ${name}`)
}

/** Switches segments until the group after the one of `segment` is complete. */
async function finishGroup(cluster: Cluster, segment: string): Promise<void> {
  const { number } = parseSegmentName(segment, 1 << 20)
  for (const end = (number / 16n + 2n) * 16n; ; ) {
    const [row] = await cluster.query<{ name: string }>(
      'select pg_walfile_name(pg_current_wal_insert_lsn()) as name',
    )
    if (parseSegmentName(row!.name, 1 << 20).number >= end) return
    await cluster.query(`select pg_logical_emit_message(true, 'test', ''); select pg_switch_wal()`)
  }
}

interface Seen {
  replaced: number
  listed: number
  blocks: number
}

/** Patches the old state with what each map names; the result must be the new state. */
async function compare(rig: Rig, old: Snapshot, current: Snapshot, seen: Seen): Promise<void> {
  await untilArchived(rig, current.segment)
  for (const [way, map] of await readMaps(rig, old, current)) {
    const pages = openMappedPages(map, way, 8192)
    for (const [name, bytes] of current.files) {
      const parent = old.files.get(name)
      const blocks = bytes.length / 8192
      const parentBlocks = parent === undefined ? undefined : parent.length / 8192
      const changes = pages.changesOf(parseRelationFile(name)!, { blocks, parentBlocks })
      if (changes === 'replaced') seen.replaced++
      if (parent === undefined || typeof changes === 'string') continue
      seen.listed += changes.length
      seen.blocks += blocks
      const isSame = Buffer.compare(patch(parent, bytes, changes), bytes) === 0
      expect([way, name, isSame]).toEqual([way, name, true])
    }
  }
}

/** What a delta of the listed blocks makes of the parent's file. */
function patch(parent: Uint8Array, current: Uint8Array, blocks: Uint32Array): Uint8Array {
  const patched = new Uint8Array(current.length)
  patched.set(parent.subarray(0, current.length))
  const extra = changesWithoutWal(current) ? [0] : []
  for (const block of [...blocks, ...extra])
    patched.set(current.subarray(block * 8192, block * 8192 + 8192), block * 8192)
  return patched
}

/** Plays a random workload and compares, after each of three rounds and over all of them. */
export async function playChanges(major: Major, random: SeededRandom): Promise<void> {
  using place = tempDirectory('changed')
  const rig = await openRig(major, place)
  await using cluster = rig.cluster
  const workload = await openWorkload(cluster, random, place)
  await workload.run(50)
  const seen = { replaced: 0, listed: 0, blocks: 0 }
  const first = await takeSnapshot(cluster)
  let old = first
  for (let round = 0; round < 3; round++) {
    await workload.run(25)
    if (round === 2) await finishGroup(cluster, first.segment)
    if (round === 1) {
      await cluster.kill()
      await cluster.start()
      await workload.reconnect()
    }
    const current = await takeSnapshot(cluster)
    await compare(rig, old, current, seen)
    old = current
  }
  await compare(rig, first, old, seen)
  await workload.close()
  expect(seen.listed).toBeGreaterThan(100)
  expect(seen.listed).toBeLessThan(seen.blocks * 0.7)
  expect(seen.replaced).toBeGreaterThan(0)
  expect(rig.told.join()).toMatch(/[1-9] _delta objects/)
}
