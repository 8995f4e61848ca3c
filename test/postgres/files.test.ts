import { describe, expect, test } from 'bun:test'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { silentLogger } from '../../src/kit/log.ts'
import { type ControlFile, parseControlFile, readControlFile } from '../../src/postgres/control-file.ts'
import { crc32c } from '../../src/postgres/crc32c.ts'
import { walkDataDirectory } from '../../src/postgres/data-directory.ts'
import { parseLsn } from '../../src/postgres/lsn.ts'
import { openPageVerifier } from '../../src/postgres/page.ts'
import { firstBlockOf, parseRelationFile } from '../../src/postgres/relation-file.ts'
import { checkSegment } from '../../src/postgres/wal/page-reader.ts'
import { findEndOfValidWal } from '../../src/postgres/wal/record.ts'
import { isSegmentName } from '../../src/postgres/wal-segment.ts'
import { type Cluster, startCluster } from '../support/cluster.ts'
import { MAJORS, type Major } from '../support/postgres-binaries.ts'

const never = new AbortController().signal

async function work(cluster: Cluster): Promise<void> {
  await cluster.query('create table t as select g id, md5(g::text) v from generate_series(1, 20000) g')
  await cluster.query('create index on t (v)')
  await cluster.query('create unlogged table u as select * from t')
  await cluster.query('update t set v = v || v where id % 7 = 0')
  await cluster.query('vacuum t')
  // one record over several segments of 1 MiB, and one segment switch
  await cluster.query("select pg_logical_emit_message(false, 'x', repeat('y', 3500000))")
  await cluster.query('select pg_switch_wal()')
  await cluster.query('insert into t select g, md5(g::text) from generate_series(1, 5000) g')
}

/** Page numbers found damaged, over every relation file of a data directory. */
async function findDamage(
  cluster: Cluster,
  control: ControlFile,
): Promise<{ files: number; damaged: string[] }> {
  const { entries } = await walkDataDirectory(cluster.dataDirectory, { log: silentLogger, signal: never })
  const verifier = openPageVerifier({ pageBytes: control.blockBytes })
  const damaged: string[] = []
  let files = 0
  for (let index = 0; index < entries.count; index++) {
    const relation = parseRelationFile(entries.memberName(index))
    if (relation === undefined || entries.isDirectory(index)) continue
    files++
    const found = verifier.verify(
      readFileSync(entries.path(index)),
      firstBlockOf(relation, control.blocksPerSegment),
    )
    if (found.length > 0) damaged.push(`${entries.memberName(index)}: ${found}`)
  }
  return { files, damaged }
}

async function findWal(cluster: Cluster, segmentBytes: number) {
  const directory = join(cluster.dataDirectory, 'pg_wal')
  const names = readdirSync(directory).filter(isSegmentName).sort()
  const reports = names.map(name => checkSegment(readFileSync(join(directory, name)), name))
  for (const report of reports) {
    if (report.fault === undefined)
      expect(report).toMatchObject({ majorVersion: cluster.major, segmentBytes })
    else expect(['stale', 'header']).toContain(report.fault.kind)
  }
  // the segment in use may be a recycled file: new pages first, then old ones
  const written = reports.filter(report => report.fault === undefined || report.fault.offsetBytes > 0)
  const used = written.map(report => report.name)
  return { reports, written: used, valid: await findEndOfValidWal(directory, used, never) }
}

describe.each(MAJORS.map(major => [major] as [Major]))('files of PostgreSQL %d', major => {
  test('are understood: pg_control, pages and WAL, running, shut down and killed', async () => {
    await using cluster = await startCluster({
      major,
      segmentSizeMiB: 1,
      settings: { max_wal_size: '8MB', wal_log_hints: major !== 14 },
    })
    await work(cluster)
    await cluster.query('checkpoint')
    const [told] = await cluster.query<Record<string, string>>(`
      select system_identifier::text, checkpoint_lsn::text, redo_lsn::text, timeline_id::text, wal_segment_size
      from pg_control_system(), pg_control_checkpoint(), (select setting wal_segment_size from pg_settings where name = 'wal_segment_size') s`)
    const control = await readControlFile(cluster.dataDirectory)
    expect(control).toMatchObject({
      systemIdentifier: BigInt(told!['system_identifier']!),
      checkpointLsn: parseLsn(told!['checkpoint_lsn']!),
      redoLsn: parseLsn(told!['redo_lsn']!),
      timeline: 1,
      state: 'in production',
      walSegmentBytes: 1 << 20,
      walBlockBytes: 8192,
      blockBytes: 8192,
      blocksPerSegment: 131_072,
      minRecoveryLsn: 0n,
      isBackupEndRequired: false,
      hasLoggedHints: major !== 14,
    })
    expect(control.checksumVersion).toBe(1)

    await cluster.stop('fast')
    const stopped = await readControlFile(cluster.dataDirectory)
    expect(stopped.state).toBe('shut down')
    expect(await findDamage(cluster, stopped)).toMatchObject({ damaged: [] })
    expect((await findDamage(cluster, stopped)).files).toBeGreaterThan(200)
    const clean = await findWal(cluster, 1 << 20)
    if (clean.valid.endLsn === undefined) console.log(clean)
    const shutdownBytes = clean.valid.endLsn! - stopped.checkpointLsn
    expect(shutdownBytes > 0n && shutdownBytes < 300n).toBe(true)
    expect(clean.valid.complete).toEqual(clean.written.slice(0, -1))

    await cluster.start()
    await work2(cluster)
    const [flushed] = await cluster.query<{ lsn: string }>('select pg_current_wal_flush_lsn()::text lsn')
    await cluster.kill()
    expect((await readControlFile(cluster.dataDirectory)).state).toBe('in production')
    const killed = await findWal(cluster, 1 << 20)
    expect(killed.valid.endLsn! >= parseLsn(flushed!.lsn)).toBe(true)
  }, 120_000)
})

async function work2(cluster: Cluster): Promise<void> {
  await cluster.query('insert into t select g, md5(g::text) from generate_series(1, 30000) g')
}

test('a pg_control that is cut, flipped or of another format is refused', async () => {
  await using cluster = await startCluster({ major: 18, isStarted: false })
  const path = join(cluster.dataDirectory, 'global/pg_control')
  const bytes = readFileSync(path)
  const flipped = Buffer.from(bytes)
  flipped[100]! ^= 1
  const newer = Buffer.from(bytes)
  newer.writeUInt32LE(1900, 8)
  expect(() => parseControlFile(bytes.subarray(0, 100), path)).toThrow('too few')
  expect(() => parseControlFile(flipped, path)).toThrow('checksum')
  expect(() => parseControlFile(newer, path)).toThrow('unknown format 1900')
  const older = Buffer.from(bytes)
  older.writeUInt32LE(1201, 8)
  expect(() => parseControlFile(older, path)).toThrow('unknown format 1201')
  // a newer format that adds fields at the end is understood
  newer.writeUInt32LE(7, 296)
  newer.writeUInt32LE(crc32c(newer.subarray(0, 300)), 300)
  expect(parseControlFile(newer, path)).toEqual({ ...parseControlFile(bytes, path), controlVersion: 1900 })
  expect(parseControlFile(bytes, path).state).toBe('shut down')
  // a moment later it is whole again, as after a write that was under way
  writeFileSync(path, flipped)
  setTimeout(() => writeFileSync(path, bytes), 25)
  expect((await readControlFile(cluster.dataDirectory)).state).toBe('shut down')
  writeFileSync(path, flipped)
  await expect(readControlFile(cluster.dataDirectory)).rejects.toMatchObject({ code: 'CHECKSUM_MISMATCH' })
})
