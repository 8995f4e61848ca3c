import { expect } from 'bun:test'
import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { formatLsn, parseLsn } from '../../src/postgres/lsn.ts'
import { readRecordChanges, type WalChanges } from '../../src/postgres/wal/record-content.ts'
import { RecordReader } from '../../src/postgres/wal/record-reader.ts'
import { decodeSegmentHeader } from '../../src/postgres/wal/wal-page.ts'
import { parseSegmentName, segmentStartLsn } from '../../src/postgres/wal-segment.ts'
import { type Cluster, startCluster } from '../support/cluster.ts'
import { MAJORS, missingPostgres } from '../support/postgres-binaries.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { findDebianPostgresTool, missingDebianPostgres, testUnless } from '../support/skip.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { openWorkload } from '../support/workload/workload.ts'

/** A block reference of a record, as text that every oracle can be brought to. */
type Reference = string

interface Read {
  readonly references: Reference[]
  readonly recordsCount: number
  readonly trouble: (string | undefined)[]
}

/** Every block reference in consecutive segments, by us. */
function readReferences(directory: string, names: readonly string[], major: number): Read {
  const first = readFileSync(path.join(directory, names[0]!))
  const header = decodeSegmentHeader(new DataView(first.buffer, first.byteOffset), 0)!
  const references: Reference[] = []
  const trouble: (string | undefined)[] = []
  let start = ''
  const changes: WalChanges = {
    block(tablespace, database, relation, fork, block) {
      references.push(`${start} ${tablespace}/${database}/${relation} fork ${fork} block ${block}`)
    },
    limit: () => undefined,
    database: () => undefined,
    doubt: reason => trouble.push(reason),
  }
  const segment = parseSegmentName(names[0]!, header.segmentBytes)
  const reader: RecordReader = new RecordReader(
    header,
    segmentStartLsn(segment, header.segmentBytes),
    segment.timeline,
    {
      sink(view, at, totalBytes) {
        start = formatLsn(reader.lastStartLsn!)
        const reason = readRecordChanges(view, at, totalBytes, major, changes)
        if (reason !== undefined) trouble.push(`${start}: ${reason}`)
      },
    },
  )
  for (const name of names) {
    const bytes = readFileSync(path.join(directory, name))
    for (let at = 0; at < bytes.length; at += header.walPageBytes) {
      reader.readPage(bytes.subarray(at, at + header.walPageBytes))
    }
  }
  trouble.push(reader.stopReason)
  return { references, recordsCount: reader.recordCount, trouble: trouble.filter(one => one !== undefined) }
}

const FORKS = ['main', 'fsm', 'vm', 'init']

/** The same by the pg_waldump of that major. */
function dumpReferences(tool: string, directory: string, first: string, last: string): Reference[] {
  const run = spawnSync(tool, ['-p', directory, first, last], { encoding: 'utf8', maxBuffer: 1 << 30 })
  if (run.status !== 0 && !/ error: error in WAL record|invalid record length/.test(run.stderr)) {
    throw new Error(run.stderr)
  }
  return run.stdout.split('\n').flatMap(line => {
    const start = / lsn: ([0-9A-F]+)\/([0-9A-F]+),/.exec(line)
    const found = line.matchAll(/blkref #\d+: rel (\d+\/\d+\/\d+) (?:fork (\w+) )?blk (\d+)/g)
    return [...found].map(([, relation, fork, block]) => {
      const lsn = `${start![1]}/${start![2]!.replace(/^0+/, '')}`
      return `${lsn} ${relation} fork ${FORKS.indexOf(fork ?? 'main')} block ${block}`
    })
  })
}

/** The same by the server itself (16 and later). */
async function serverReferences(cluster: Cluster, begin: string, end: string): Promise<Reference[]> {
  await cluster.query('create extension if not exists pg_walinspect')
  const rows = await cluster.query<{ text: string }>(
    `select start_lsn || ' ' || reltablespace || '/' || reldatabase || '/' || relfilenode || ' fork ' || relforknumber || ' block ' || relblocknumber as text
     from pg_get_wal_block_info($1, $2) order by start_lsn, block_id`,
    [begin, end],
  )
  return rows.map(row => row.text)
}

/** The name of the current segment, after everything before it is finished. */
async function switchSegment(cluster: Cluster): Promise<{ name: string; lsn: string }> {
  await cluster.query(`select pg_logical_emit_message(true, 'test', ''); select pg_switch_wal()`)
  await cluster.query(`select pg_logical_emit_message(true, 'test', '')`)
  const [row] = await cluster.query<{ name: string; lsn: string }>(
    'select pg_walfile_name(pg_current_wal_insert_lsn()) as name, pg_current_wal_insert_lsn()::text as lsn',
  )
  return row!
}

function namesBetween(first: string, last: string): string[] {
  const names: string[] = []
  const begin = parseSegmentName(first, 1 << 20).number
  const end = parseSegmentName(last, 1 << 20).number
  for (let number = begin; number < end; number++) {
    const hex = (value: bigint): string => value.toString(16).toUpperCase().padStart(8, '0')
    names.push(first.slice(0, 8) + hex(number / 4096n) + hex(number % 4096n))
  }
  return names
}

for (const major of MAJORS) {
  testUnless(
    missingPostgres(major),
    `PostgreSQL ${major}: the block references of a random workload are those that the server's own tools read`,
    async () => {
      using place = tempDirectory('blocks')
      const random = seededRandom(`blocks ${major}`)
      await using cluster = await startCluster({
        major,
        segmentSizeMiB: 1,
        settings: {
          wal_level: random.pick(['replica', 'logical']),
          wal_compression: random.pick(['on', 'off']),
          full_page_writes: random.pick(['on', 'on', 'off']),
          wal_keep_size: '2GB',
          max_prepared_transactions: 10,
          autovacuum: 'on',
        },
      })
      const begin = await switchSegment(cluster)
      const workload = await openWorkload(cluster, random, place)
      await workload.run(60)
      await workload.close()
      const end = await switchSegment(cluster)
      const directory = path.join(cluster.dataDirectory, 'pg_wal')
      const names = namesBetween(begin.name, end.name)
      const read = readReferences(directory, names, major)
      expect(read.trouble).toEqual([])
      expect(read.recordsCount).toBeGreaterThan(1000)
      const oracles: Reference[][] = []
      if (major >= 16) oracles.push(await serverReferences(cluster, begin.lsn, end.lsn))
      if (major === 15 && missingDebianPostgres() === undefined) {
        oracles.push(
          dumpReferences(findDebianPostgresTool('pg_waldump')!, directory, names[0]!, names.at(-1)!),
        )
      }
      const isInside = (one: Reference): boolean => {
        const lsn = parseLsn(one.slice(0, one.indexOf(' ')))
        return (
          lsn >= parseLsn(begin.lsn) && lsn < segmentStartLsn(parseSegmentName(end.name, 1 << 20), 1 << 20)
        )
      }
      for (const oracle of oracles) {
        const expected = oracle.filter(isInside).sort()
        expect(expected.length).toBeGreaterThan(1000)
        expect(read.references.filter(isInside).sort()).toEqual(expected)
      }
    },
    120_000,
  )
}
