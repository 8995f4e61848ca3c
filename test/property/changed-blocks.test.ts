import { expect } from 'bun:test'
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { openMappedPages } from '../../src/delta/mapped-pages.ts'
import { WalChangeReader } from '../../src/delta/wal-changes.ts'
import { isPagedFile, parseRelationFile } from '../../src/postgres/relation-file.ts'
import { changesWithoutWal } from '../../src/postgres/unlogged-page.ts'
import { decodeSegmentHeader } from '../../src/postgres/wal/wal-page.ts'
import { parseSegmentName, segmentStartLsn } from '../../src/postgres/wal-segment.ts'
import { type Cluster, startCluster } from '../support/cluster.ts'
import { MAJORS, missingPostgres } from '../support/postgres-binaries.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { testUnless } from '../support/skip.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { openWorkload } from '../support/workload/workload.ts'

interface Snapshot {
  /** Segment that holds the redo position of the checkpoint that the snapshot follows. */
  readonly segment: string
  readonly files: ReadonlyMap<string, Uint8Array>
}

/** Every file of a permanent relation's main fork, as it lies on disk after a checkpoint. */
async function takeSnapshot(cluster: Cluster): Promise<Snapshot> {
  await cluster.query('checkpoint')
  const [row] = await cluster.query<{ name: string }>(
    'select pg_walfile_name(redo_lsn) as name from pg_control_checkpoint()',
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
  return { segment: row!.name, files }
}

function readChanges(directory: string, first: string, last: string): WalChangeReader {
  const names = readdirSync(directory).filter(
    name => /^[0-9A-F]{24}$/.test(name) && name >= first && name <= last,
  )
  let reader: WalChangeReader | undefined
  for (const name of names.sort()) {
    const bytes = readFileSync(path.join(directory, name))
    const segment = decodeSegmentHeader(new DataView(bytes.buffer, bytes.byteOffset), 0)!
    const { timeline, number } = parseSegmentName(name, segment.segmentBytes)
    const firstLsn = segmentStartLsn({ timeline, number }, segment.segmentBytes)
    reader ??= new WalChangeReader({ segment, firstLsn, timeline })
    for (let at = 0; at < bytes.length; at += 8192) reader.readPage(bytes.subarray(at, at + 8192))
  }
  return reader!
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

for (const major of MAJORS) {
  testUnless(
    missingPostgres(major),
    `PostgreSQL ${major}: an old state with the blocks that WAL names is the new state, byte for byte`,
    async () => {
      using place = tempDirectory('changed')
      const random = seededRandom(`changed ${major}`)
      await using cluster = await startCluster({
        major,
        segmentSizeMiB: 1,
        settings: { wal_keep_size: '2GB', max_prepared_transactions: 10, autovacuum: 'off' },
      })
      const workload = await openWorkload(cluster, random, place)
      await workload.run(50)
      const seen = { files: 0, absent: 0, replaced: 0, listed: 0, blocks: 0 }
      let old = await takeSnapshot(cluster)
      for (let round = 0; round < 3; round++) {
        await workload.run(25)
        if (round === 1) {
          await cluster.kill()
          await cluster.start()
          await workload.reconnect()
        }
        const current = await takeSnapshot(cluster)
        const reader = readChanges(path.join(cluster.dataDirectory, 'pg_wal'), old.segment, current.segment)
        expect([reader.map.doubtReason, reader.records.isAtUnwritten]).toEqual([undefined, true])
        const pages = openMappedPages(reader.map, 'WAL', 8192)
        for (const [name, bytes] of current.files) {
          seen.files++
          const parent = old.files.get(name)
          const changes = pages.changesOf(parseRelationFile(name)!, {
            blocks: bytes.length / 8192,
            parentBlocks: parent === undefined ? undefined : parent.length / 8192,
          })
          if (changes === 'replaced') seen.replaced++
          if (parent === undefined) seen.absent++
          if (parent === undefined || typeof changes === 'string') continue
          seen.listed += changes.length
          seen.blocks += bytes.length / 8192
          const isSame = Buffer.compare(patch(parent, bytes, changes), bytes) === 0
          expect([name, isSame]).toEqual([name, true])
        }
        old = current
      }
      await workload.close()
      expect(seen.listed).toBeGreaterThan(100)
      expect(seen.listed).toBeLessThan(seen.blocks * 0.7)
      expect(seen.replaced).toBeGreaterThan(0)
    },
    120_000,
  )
}
