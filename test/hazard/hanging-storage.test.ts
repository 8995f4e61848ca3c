import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { startCluster } from '../support/cluster.ts'
import type { Finished } from '../support/process.ts'
import { runProcess } from '../support/process.ts'
import { describeUnless, findTool, missingTool, type SkipReason } from '../support/skip.ts'
import { untilTrue } from '../support/until-true.ts'
import { segmentName, walBytes } from '../support/wal-bytes.ts'
import { walgBinary } from '../support/walg.ts'
import { looksComplete, openScene, PARTS, pushBackup, type Scene } from './sample.ts'

/** Much longer than the limit, and no longer than that: strace waits for its end. */
const HANG_SECONDS = 2.5
const SEGMENT = segmentName(200)

let scene: Scene
let backup: string

beforeAll(async () => {
  scene = await openScene()
  backup = await pushBackup(scene)
  await scene.cluster.stop()
  mkdirSync(scene.place.at('pg_wal/archive_status'), { recursive: true })
  writeFileSync(scene.place.at('pg_wal', SEGMENT), walBytes(SEGMENT))
}, 60_000)
afterAll(() => scene[Symbol.asyncDispose]())

/**
 * The program with system calls that hang as those of a dead NFS server do: held by strace before they begin. (It waits
 * for the end of the delay even when the program has gone.)
 */
function runHanging(
  calls: string,
  onlyPath: string | undefined,
  args: readonly string[],
  server: Readonly<Record<string, string>> = {},
): Promise<Finished> {
  const inject = `inject=${calls}:delay_enter=${HANG_SECONDS * 1_000_000}`
  const filter = onlyPath === undefined ? [] : ['-P', onlyPath]
  const options = [
    '-f',
    '-qqq',
    '--seccomp-bpf',
    '-o',
    '/dev/null',
    ...filter,
    '-e',
    `trace=${calls}`,
    '-e',
    inject,
  ]
  const env = {
    PATH: process.env['PATH'],
    HOME: scene.place.path,
    ...scene.repository.env,
    ...server,
    WALG_STALL_TIMEOUT: '1s',
  }
  return runProcess(findTool('strace')!, [...options, walgBinary(), ...args], {
    env,
    timeoutMs: 50_000,
  })
}

function missingHang(): SkipReason {
  return missingTool('strace')
}

describeUnless(missingHang(), 'a storage that hangs', () => {
  test('wal-push: an fsync that does not come back ends it with TIMEOUT', async () => {
    const run = await runHanging('fsync,fdatasync', undefined, [
      'wal-push',
      scene.place.at('pg_wal', SEGMENT),
    ])
    expect(run.exit).toBe(1)
    expect(run.stderr).toContain('WALG_STALL_TIMEOUT')
    expect(readdirSync(path.join(scene.repository.root, 'wal_005'))).not.toContain(`${SEGMENT}.lz4`)
  }, 60_000)

  test('wal-fetch: an object that cannot be opened or read', async () => {
    const name = readdirSync(path.join(scene.repository.root, 'wal_005')).find(one =>
      /^[0-9A-F]{24}\.lz4$/.test(one),
    )!
    const object = path.join(scene.repository.root, 'wal_005', name)
    for (const calls of ['open,openat', 'read,pread64']) {
      const run = await runHanging(calls, object, [
        'wal-fetch',
        name.slice(0, 24),
        scene.place.at('RECOVERYXLOG'),
      ])
      expect([calls, run.exit]).toEqual([calls, 1])
      expect(run.stderr).toContain('WALG_STALL_TIMEOUT')
      expect(readdirSync(scene.place.path)).not.toContain('RECOVERYXLOG')
    }
  }, 60_000)

  test('backup-fetch: a part that cannot be read', async () => {
    const part = scene.repository.backupPath(backup, PARTS, 'part_001.tar.lz4')
    const target = scene.place.at('restored')
    const run = await runHanging('read,pread64', part, ['backup-fetch', target, backup])
    expect(run.exit).toBe(1)
    expect(run.stderr).toContain('WALG_STALL_TIMEOUT')
    expect(run.stderr).toContain('part_001')
    expect(looksComplete(target)).toBe(false)
    rmSync(target, { recursive: true })
  }, 60_000)

  test('backup-push: parts that cannot be written out', async () => {
    const known = scene.repository.sentinels()
    const run = await runHanging('fsync,fdatasync', undefined, ['backup-push', scene.cluster.dataDirectory])
    expect(run.exit).toBe(1)
    expect(run.stderr).toContain('WALG_STALL_TIMEOUT')
    expect(scene.repository.sentinels()).toEqual(known)
  }, 60_000)

  test('backup-push over the wire: parts that cannot be written out; the server is left as it was', async () => {
    const known = scene.repository.sentinels()
    await using cluster = await startCluster({ major: 17, archiveCommand: '/bin/true' })
    const server = { ...cluster.environment, WALG_PG_WAL_SIZE: '16' }
    const run = await runHanging('fsync,fdatasync', undefined, ['backup-push'], server)
    expect(run.stderr).toContain('Streaming remote backup')
    expect(run.exit).toBe(1)
    expect(run.stderr).toContain('WALG_STALL_TIMEOUT')
    expect(scene.repository.sentinels()).toEqual(known)
    await untilTrue(async () => (await cluster.query('select 1 from pg_stat_replication')).length === 0)
  }, 60_000)

  test('backup-list: a folder that cannot be listed', async () => {
    const run = await runHanging('getdents64', path.join(scene.repository.root, 'basebackups_005'), [
      'backup-list',
    ])
    expect(run.exit).toBe(1)
    expect(run.stderr).toContain('WALG_STALL_TIMEOUT')
  }, 60_000)
})
