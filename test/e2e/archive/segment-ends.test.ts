import { expect, setDefaultTimeout, test } from 'bun:test'
import { readdirSync } from 'node:fs'
import path from 'node:path'
import { type Cluster, startRestored } from '../../support/cluster.ts'
import { runWalg, walgCommand } from '../../support/walg.ts'
import {
  type ArchivingCluster,
  archiveEverything,
  startArchivingCluster,
  walg,
} from '../archiving-cluster.ts'
import { archivedNames } from './archive-check.ts'

setDefaultTimeout(180_000)

const SEGMENT_BYTES = 1 << 20
/** Where a switch is asked for: so many bytes before a segment's end. Its record of 24 bytes then ends in the next one, just there, or before. */
const FREE_BYTES = [8, 16, 24, 32, 40, 4096]
/** A record with a message, but for the message: headers, `xl_logical_message`, the prefix. */
const MESSAGE_RECORD_BYTES = 24 + 5 + 24 + 2

async function freeBytes(cluster: Cluster): Promise<number> {
  const sql = `select pg_wal_lsn_diff(pg_current_wal_insert_lsn(), '0/0')::bigint::text as at`
  const [row] = await cluster.query<{ at: string }>(sql)
  return SEGMENT_BYTES - Number(BigInt(row!.at) % BigInt(SEGMENT_BYTES))
}

async function emit(cluster: Cluster, bytes: number): Promise<void> {
  await cluster.query(`select pg_logical_emit_message(false, 'x', repeat('y', ${bytes}))`)
}

/** Writes WAL until the segment has just so many bytes left. Another process of the server may write between: then once more. */
async function fillTo(cluster: Cluster, wanted: number): Promise<void> {
  for (let attempt = 0; attempt < 20; attempt++) {
    let free = await freeBytes(cluster)
    // the last record is to lie in one page
    while (free > wanted + 3000) {
      await emit(cluster, Math.max(1000, Math.min(100_000, free - wanted - 3000)))
      free = await freeBytes(cluster)
    }
    if (free >= wanted + 400) await emit(cluster, free - wanted - MESSAGE_RECORD_BYTES)
    if ((await freeBytes(cluster)) === wanted) return
    await cluster.query('select pg_switch_wal()')
  }
  throw new Error(`the segment never had ${wanted} bytes left`)
}

/** Every archived segment comes back, and without a word about its end. */
async function fetchAll(source: ArchivingCluster): Promise<number> {
  const segments = [...(await archivedNames(source.repository))].filter(([, kind]) => kind === 'segment')
  for (const [name] of segments) {
    const { stderr } = await walg(['wal-fetch', name, source.place.at(name)], source.settings)
    expect([name, stderr]).toEqual([name, expect.not.stringContaining('zeros follow')])
  }
  return segments.length
}

for (const major of [13, 18] as const) {
  test(`PostgreSQL ${major}: a segment that a switch ends is whole, wherever the switch lies, and recovery goes on behind it`, async () => {
    await using source = await startArchivingCluster({
      major,
      segmentSizeMiB: 1,
      settings: { autovacuum: 'off', checkpoint_timeout: '1h', max_wal_size: '1GB' },
    })
    const { cluster, place, settings } = source
    await cluster.query('create table ends (free int)')
    await walg(['backup-push', cluster.dataDirectory], source.connection())
    for (const free of FREE_BYTES) {
      await cluster.query(`insert into ends values (${free})`)
      await fillTo(cluster, free)
      await cluster.query('select pg_switch_wal()')
    }
    await cluster.query('insert into ends values (-1)')
    await archiveEverything(cluster)
    expect(cluster.log()).not.toContain('recovery ends there')
    expect(await fetchAll(source)).toBeGreaterThan(FREE_BYTES.length)
    await cluster.kill()

    await walg(['backup-fetch', place.at('data'), 'LATEST'], settings)
    const restore_command = walgCommand(settings, 'wal-fetch %f %p')
    await using restored = await startRestored(place.at('data'), { major, settings: { restore_command } })
    expect(await restored.query('select free from ends order by free')).toEqual(
      [-1, ...FREE_BYTES].map(free => ({ free })),
    )
  })
}

test('the whole pg_wal of a dead server is pushed file by file, recycled segments and all: recovery comes to its last record', async () => {
  await using source = await startArchivingCluster({
    major: 15,
    segmentSizeMiB: 1,
    settings: { autovacuum: 'off', min_wal_size: '16MB', wal_init_zero: 'on' },
  })
  const { cluster, place, settings } = source
  await cluster.query('create table rows (id int)')
  await walg(['backup-push', cluster.dataDirectory], source.connection())
  for (let segment = 0; segment < 6; segment++) {
    await cluster.query('insert into rows select generate_series(1, 1000)')
    await archiveEverything(cluster)
  }
  await cluster.query('checkpoint')
  await cluster.query('insert into rows select generate_series(1, 500)')
  await cluster.kill()
  const wal = path.join(cluster.dataDirectory, 'pg_wal')
  const names = readdirSync(wal).filter(name => /^[0-9A-F]{24}$/.test(name))
  const pushed = await Promise.all(
    names
      .sort()
      .map(name => runWalg(['wal-push', path.join(wal, name)], { env: settings, asClusterUser: true })),
  )
  expect(pushed.map(({ exit }) => exit)).toEqual(names.map(() => 0))
  // the test would show nothing without one
  expect(pushed.some(({ stderr }) => stderr.includes('holds the pages of another segment'))).toBe(true)

  await walg(['backup-fetch', place.at('data'), 'LATEST'], settings)
  const restore_command = walgCommand(settings, 'wal-fetch %f %p')
  await using restored = await startRestored(place.at('data'), { major: 15, settings: { restore_command } })
  expect(await restored.query('select count(*)::int as n from rows')).toEqual([{ n: 6500 }])
})
