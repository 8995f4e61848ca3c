import { expect, test } from 'bun:test'
import { readdirSync } from 'node:fs'
import { NO_LIMIT } from '../../src/delta/map/change-map.ts'
import { deltaGroupOf } from '../../src/delta/map/delta-group.ts'
import { decodeDeltaObject } from '../../src/delta/map/delta-object.ts'
import { collect } from '../../src/kit/bytes.ts'
import type { OperationContext } from '../../src/operations/context.ts'
import { toLsn } from '../../src/postgres/lsn.ts'
import { readRecordChanges } from '../../src/postgres/wal/record-content.ts'
import { RecordReader } from '../../src/postgres/wal/record-reader.ts'
import { decodeSegmentHeader } from '../../src/postgres/wal/wal-page.ts'
import { parseSegmentName, segmentStartLsn } from '../../src/postgres/wal-segment.ts'
import { openPayload } from '../../src/repository/sealed.ts'
import { operationContext } from '../support/operation-context.ts'
import { missingPostgres } from '../support/postgres-binaries.ts'
import { startProcess } from '../support/process.ts'
import { describeUnless, missingInterop, missingReference, testUnless } from '../support/skip.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { untilArchived } from '../support/until-archived.ts'
import { untilTrue } from '../support/until-true.ts'
import { extractFixture } from './fixture.ts'
import {
  archiveAll,
  backupNames,
  binaryOf,
  commandLine,
  fetchBackup,
  type Scene,
  startScene,
  succeed,
} from './reference/pair.ts'
import { compareTrees, readTree, type Tree } from './restored-tree.ts'

const read = async ({ storage, codec }: OperationContext, name: string): Promise<Uint8Array> =>
  collect(await openPayload(storage, codec, `wal_005/${name}`), 64 << 20)

/** Locations of all forks by the records that end in the group, and what goes on behind it, from the segments. */
async function readGroup(
  context: OperationContext,
  first: string,
  segmentBytes: number,
): Promise<{ locations: Set<string>; pending: Uint8Array }> {
  const { before, names } = deltaGroupOf(first, segmentBytes)
  const locations = new Set<string>()
  const begin = segmentStartLsn(parseSegmentName(first, segmentBytes), segmentBytes)
  let reader: RecordReader | undefined
  for (const name of [before, ...names]) {
    const bytes = await read(context, name)
    const header = decodeSegmentHeader(new DataView(bytes.buffer, bytes.byteOffset), 0)!
    reader ??= new RecordReader(header, toLsn(begin - BigInt(segmentBytes)), 1, {
      keepsWhole: true,
      sink(view, at, totalBytes) {
        if (reader!.endLsn! <= begin) return
        readRecordChanges(view, at, totalBytes, 14, {
          block: (tablespace, database, relation, _, block) =>
            locations.add([tablespace, database, relation, block].join('/')),
          limit: () => undefined,
          database: () => undefined,
          doubt: () => undefined,
        })
      },
    })
    for (let at = 0; at < bytes.length; at += header.walPageBytes) {
      reader.readPage(bytes.subarray(at, at + header.walPageBytes))
    }
    expect([name, reader.stopReason]).toEqual([name, undefined])
  }
  return { locations, pending: reader!.pendingBytes }
}

testUnless(missingInterop(), '_delta objects of the original say what we read in the same WAL', async () => {
  using place = tempDirectory('delta-objects')
  const root = extractFixture('pg14-waldelta', place.path)
  const context = await operationContext(root)
  const objects = readdirSync(`${root}/wal_005`).filter(name => name.includes('_delta'))
  expect(objects.length).toBeGreaterThan(0)
  let compared = 0
  for (const object of objects) {
    const first = object.slice(0, 24)
    const delta = decodeDeltaObject(await read(context, `${first}_delta`), object)
    expect(delta.range).toBeUndefined()
    const group = await readGroup(context, first, 1 << 20)
    const theirs = delta.map
      .relations()
      .flatMap(({ tablespace, database, relation, blocks }) =>
        Array.from(blocks.between(0, NO_LIMIT), block => [tablespace, database, relation, block].join('/')),
      )
    expect([object, new Set(theirs)]).toEqual([object, group.locations])
    expect(Buffer.compare(delta.pendingBytes, group.pending)).toBe(0)
    compared += theirs.length
  }
  expect(compared).toBeGreaterThan(50)
})

const OWN = /^(backup_label|backup_manifest|tablespace_map|global\/pg_control)$|pg_internal\.init$/

function filesOf(tree: Tree): Tree {
  return Object.fromEntries(
    Object.entries(tree).flatMap(([name, entry]) =>
      'size' in entry && !OWN.test(name) ? [[name, { ...entry, mode: '' }]] : [],
    ),
  )
}

/**
 * A delta by the original that must find its changes in our `_delta` objects. It wants the segment of its own start in the archive, so it
 * is held still after the start until that is there.
 */
async function pushByOriginal(scene: Scene, parent: string, triesLeft = 5): Promise<string> {
  const { cluster, env } = scene
  const settings = {
    ...env,
    WALG_DELTA_MAX_STEPS: '5',
    WALG_DELTA_FROM_NAME: parent,
    WALG_USE_WAL_DELTA: 'true',
    WALG_FORCE_WAL_DELTA: 'true',
  }
  const push = startProcess(binaryOf('original'), ['backup-push', cluster.dataDirectory], {
    env: { PATH: process.env['PATH'], HOME: '/nonexistent', TZ: 'UTC', ...settings },
    asClusterUser: true,
  })
  const isStarting = async (isOver: boolean): Promise<boolean> => {
    const rows = await cluster.query<{ state: string }>(
      `select state from pg_stat_activity where query ilike '%pg_start_backup%' and pid <> pg_backend_pid()`,
    )
    return rows.some(({ state }) => !isOver || state.startsWith('idle'))
  }
  for (let tries = 0; tries < 5000 && !(await isStarting(false)); tries++) await Bun.sleep(1)
  push.kill('SIGSTOP')
  try {
    await untilTrue(() => isStarting(true), 5000, 'pg_start_backup returning')
  } catch (error) {
    // held in the middle of a message, for whose end the server waits
    push.kill('SIGKILL')
    await push.finished
    if (triesLeft === 0) throw error
    return pushByOriginal(scene, parent, triesLeft - 1)
  }
  await cluster.query(`select pg_logical_emit_message(false, 'test', '')`)
  await cluster.query('select pg_switch_wal()')
  await untilArchived(cluster)
  push.kill('SIGCONT')
  const { exit, stderr } = await push.finished
  // held too late: it had asked for the segment already
  if (exit !== 0 && triesLeft > 0 && stderr.includes('does not exist'))
    return pushByOriginal(scene, parent, triesLeft - 1)
  expect([exit, exit === 0 ? '' : stderr]).toEqual([0, ''])
  return stderr
}

describeUnless(missingReference() ?? missingPostgres(13, 14), 'the original', () => {
  for (const major of [13, 14] as const) {
    test(`PostgreSQL ${major}: makes a delta from our _delta objects, and it restores to the bytes of a full backup`, async () => {
      await using scene = await startScene(major, 'lz4', 'ours')
      const { cluster, env } = scene
      const recording = { ...env, WALG_USE_WAL_DELTA: 'true' }
      cluster.configure({
        archive_command: commandLine('ours', recording, 'wal-push "%p"'),
        autovacuum: 'off',
      })
      await cluster.reload()
      await cluster.query('create table d as select g id, md5(g::text) v from generate_series(1, 50000) g')
      await cluster.query('create index on d (v)')
      // the group that the parent begins in must have an object, too
      const toNextGroup = async (): Promise<void> => {
        for (;;) {
          const [row] = await cluster.query<{ n: number }>(
            `select ('x' || right(pg_walfile_name(pg_current_wal_insert_lsn()), 1))::bit(4)::int as n`,
          )
          await cluster.query(`select pg_logical_emit_message(false, 'test', '')`)
          await cluster.query('select pg_switch_wal()')
          if (row!.n === 15) return
        }
      }
      await toNextGroup()
      await toNextGroup()
      await succeed('original', ['backup-push', cluster.dataDirectory, '--full'], env)
      const full = (await backupNames(scene)).at(-1)!
      await cluster.query(`update d set v = 'changed' where id % 1000 = 0`)
      await cluster.query('delete from d where id > 40000')
      await cluster.query('vacuum d')
      await cluster.query(`insert into t select g, 'new' from generate_series(1, 500) g`)
      await toNextGroup()
      await archiveAll(scene)
      await succeed('ours', ['backup-push', cluster.dataDirectory, '--full'], env)
      const stderr = await pushByOriginal(scene, full)
      expect(stderr).not.toMatch(/[Ff]allback/)
      const delta = (await backupNames(scene)).at(-1)!
      expect(delta).toContain('_D_')
      await succeed('ours', ['backup-push', cluster.dataDirectory, '--full'], env)
      const twin = (await backupNames(scene)).at(-1)!
      const expected = filesOf(readTree(await fetchBackup(scene, 'ours', twin)))
      for (const tool of ['original', 'ours'] as const) {
        const found = filesOf(readTree(await fetchBackup(scene, tool, delta)))
        expect([tool, compareTrees(expected, found)]).toEqual([tool, []])
      }
    }, 300_000)
  }
})
