import { expect } from 'bun:test'
import { copyFileSync, existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import path from 'node:path'
import { type Cluster, startRestored } from '../../support/cluster.ts'
import { giveToClusterUser } from '../../support/cluster-user.ts'
import { missingPostgres } from '../../support/postgres-binaries.ts'
import { runTool } from '../../support/process.ts'
import { findDebianPostgresTool, missingDebianPostgres, testUnless } from '../../support/skip.ts'
import { runWalg, walgCommand } from '../../support/walg.ts'
import {
  type ArchivingCluster,
  archiveEverything,
  digest,
  LEDGER_SQL,
  startArchivingCluster,
  startStandby,
  untilPromoted,
} from '../archiving-cluster.ts'

const MAJOR = 15
const segments = (data: string): string[] =>
  readdirSync(path.join(data, 'pg_wal')).filter(name => /^[0-9A-F]{24}$/.test(name))

/** A primary and its promoted standby, both of which wrote and archived since they parted; both are shut down. */
async function partWays(source: ArchivingCluster, segmentsBefore = 0): Promise<Cluster> {
  const { cluster } = source
  await cluster.query(LEDGER_SQL)
  const standby = await startStandby(source, 'standby', {
    archive_mode: 'on',
    archive_command: walgCommand(source.settings, 'wal-push %p'),
  })
  await writeSegments(cluster, 'both', segmentsBefore)
  await archiveEverything(cluster)
  await standby.query('select pg_promote()')
  await untilPromoted(standby)
  for (const [server, note] of [
    [cluster, 'lost'],
    [standby, 'kept'],
  ] as const) {
    await writeSegments(server, note, 4)
    await server.query('checkpoint')
  }
  return standby
}

async function writeSegments(server: Cluster, note: string, count: number): Promise<void> {
  for (let round = 0; round < count; round++) {
    await server.query(
      `insert into ledger (note) select '${note}' || md5(g::text) from generate_series(1, 3000) g`,
    )
    await archiveEverything(server)
  }
}

/** Removes what is archived of the WAL since the parting, as checkpoints do in time. */
function forgetWal(data: string, repository: string, timeline: string): string[] {
  const archived = new Set(readdirSync(path.join(repository, 'wal_005')).map(name => name.slice(0, 24)))
  const gone = segments(data)
    .filter(name => name.startsWith(timeline) && archived.has(name))
    .sort()
    .slice(-4, -1)
  for (const name of gone) rmSync(path.join(data, 'pg_wal', name))
  return gone
}

testUnless(
  missingPostgres(MAJOR) ?? missingDebianPostgres(MAJOR),
  'after two servers have parted, wal-restore brings back what pg_rewind needs, and the old primary follows the new one',
  async () => {
    await using source = await startArchivingCluster({
      major: MAJOR,
      segmentSizeMiB: 1,
      settings: { wal_keep_size: '512MB', wal_log_hints: true },
    })
    const { cluster, repository } = source
    await using standby = await partWays(source)
    const expected = await digest(standby, 'ledger')
    await cluster.stop()
    await standby.stop()
    const gone = [
      ...forgetWal(cluster.dataDirectory, repository, '00000001'),
      ...forgetWal(standby.dataDirectory, repository, '00000002'),
    ]
    expect(gone.length).toBe(6)
    const rewindArgs = [
      `--target-pgdata=${cluster.dataDirectory}`,
      `--source-pgdata=${standby.dataDirectory}`,
      '--no-ensure-shutdown',
    ]
    const rewind = findDebianPostgresTool('pg_rewind', MAJOR)!
    await expect(runTool(rewind, rewindArgs, { asClusterUser: true })).rejects.toThrow('could not')

    const args = ['wal-restore', cluster.dataDirectory, standby.dataDirectory]
    const done = await runWalg(args, { env: source.settings, asClusterUser: true })
    expect([done.exit, done.stderr]).toEqual([0, expect.stringContaining('WAL files to restore: [')])
    for (const name of gone) expect(done.stderr).toContain(`Successfully download WAL file ${name}`)
    const again = await runWalg(args, { env: source.settings, asClusterUser: true })
    expect([again.exit, again.stderr]).toEqual([0, expect.stringContaining('No WAL files to restore')])

    await runTool(rewind, rewindArgs, { asClusterUser: true })
    await using rewound = await startRestored(cluster.dataDirectory, {
      major: MAJOR,
      settings: { restore_command: walgCommand(source.settings, 'wal-fetch %f %p') },
    })
    expect(await digest(rewound, 'ledger')).toBe(expected)
  },
  120_000,
)

/** The number of the segment in which timeline 2 begins. */
function partingOf(data: string): string {
  const [, high = '', low = ''] =
    readFileSync(path.join(data, 'pg_wal/00000002.history'), 'utf8').match(/^1\t([0-9A-F]+)\/([0-9A-F]+)/m) ??
    []
  const hex = (value: number): string => value.toString(16).toUpperCase().padStart(8, '0')
  return hex(Number.parseInt(high, 16)) + hex(Number.parseInt(low, 16) >> 20)
}

testUnless(
  missingPostgres(MAJOR) ?? missingDebianPostgres(MAJOR),
  'wal-restore brings back the WAL since the last checkpoint that both have: pg_rewind looks for it, and the server begins there',
  async () => {
    await using source = await startArchivingCluster({
      major: MAJOR,
      segmentSizeMiB: 1,
      settings: { wal_keep_size: '512MB', wal_log_hints: true },
    })
    const { cluster } = source
    await using standby = await partWays(source, 6)
    const expected = await digest(standby, 'ledger')
    await cluster.stop()
    await standby.stop()
    const parting = partingOf(standby.dataDirectory)
    const before = (data: string): string[] =>
      segments(data)
        .filter(name => name.startsWith('00000001') && name.slice(8) < parting)
        .sort()
    const gone = before(cluster.dataDirectory)
    for (const { dataDirectory } of [cluster, standby])
      for (const name of before(dataDirectory)) rmSync(path.join(dataDirectory, 'pg_wal', name))
    const rewindArgs = [
      `--target-pgdata=${cluster.dataDirectory}`,
      `--source-pgdata=${standby.dataDirectory}`,
      '--no-ensure-shutdown',
    ]
    const rewind = findDebianPostgresTool('pg_rewind', MAJOR)!
    await expect(runTool(rewind, rewindArgs, { asClusterUser: true })).rejects.toThrow('could not')

    const args = ['wal-restore', cluster.dataDirectory, standby.dataDirectory]
    const done = await runWalg(args, { env: source.settings, asClusterUser: true })
    expect([done.exit, done.stderr]).toEqual([0, expect.stringContaining('WAL files to restore: [')])
    const fetched = before(cluster.dataDirectory)
    expect(fetched.length).toBeGreaterThanOrEqual(6)
    // no more than that: the first segments of the cluster are not needed
    expect(fetched).toEqual(gone.slice(-fetched.length))
    expect(fetched.length).toBeLessThan(gone.length)
    expect(before(standby.dataDirectory).slice(-fetched.length)).toEqual(fetched)
    const again = await runWalg(args, { env: source.settings, asClusterUser: true })
    expect([again.exit, again.stderr]).toEqual([0, expect.stringContaining('No WAL files to restore')])

    await runTool(rewind, rewindArgs, { asClusterUser: true })
    await using rewound = await startRestored(cluster.dataDirectory, {
      major: MAJOR,
      settings: { restore_command: 'false' },
    })
    expect(await digest(rewound, 'ledger')).toBe(expected)
  },
  120_000,
)

testUnless(
  missingPostgres(MAJOR),
  'wal-restore refuses clusters that have not parted, and fails when a segment is not in the archive',
  async () => {
    await using source = await startArchivingCluster({
      major: MAJOR,
      segmentSizeMiB: 1,
      settings: { wal_keep_size: '512MB', wal_log_hints: true },
    })
    const { cluster, repository, place } = source
    await using standby = await partWays(source)
    await cluster.stop()
    await standby.stop()
    const run = (target: string, from: string) =>
      runWalg(['wal-restore', target, from], { env: source.settings, asClusterUser: true })
    const same = await run(cluster.dataDirectory, cluster.dataDirectory)
    expect([same.exit, same.stderr]).toEqual([
      1,
      expect.stringContaining('Latest checkpoint timelines of target and source clusters are equal'),
    ])

    const gone = forgetWal(standby.dataDirectory, repository, '00000002')
    const object = path.join(repository, 'wal_005', `${gone[1]}.lz4`)
    copyFileSync(object, place.at('away'))
    rmSync(object)
    const failed = await run(cluster.dataDirectory, standby.dataDirectory)
    expect(failed.exit).toBe(1)
    expect(failed.stderr).toContain(`Failed to download WAL file ${gone[1]}`)
    expect(failed.stderr).toContain('1 of 3 WAL files could not be restored')
    // the others are there
    expect(segments(standby.dataDirectory)).toEqual(expect.arrayContaining([gone[0]!, gone[2]!]))
    copyFileSync(place.at('away'), object)
    giveToClusterUser(object)
    expect((await run(cluster.dataDirectory, standby.dataDirectory)).exit).toBe(0)
    expect(existsSync(path.join(standby.dataDirectory, 'pg_wal', gone[1]!))).toBe(true)
  },
  120_000,
)
