import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describeUnless } from '../support/skip.ts'
import { missingSmallDisk, runOnSmallDisk, type SmallDiskResult } from '../support/small-disk.ts'
import { segmentName, walBytes } from '../support/wal-bytes.ts'
import { walgBinary } from '../support/walg.ts'
import { openScene, pushBackup, repositoryAt, type Scene } from './sample.ts'

const MIB = 1024 * 1024

let scene: Scene
let backup: string
let data: string

beforeAll(async () => {
  scene = await openScene()
  backup = await pushBackup(scene)
  await scene.cluster.stop()
  // of our own user: in a user namespace nobody else's files can be read
  data = scene.place.at('data')
  expect(spawnSync('cp', ['-r', scene.cluster.dataDirectory, data]).status).toBe(0)
  expect(spawnSync('chmod', ['-R', 'u+rwX,go+rX', data, scene.repository.root]).status).toBe(0)
}, 60_000)
afterAll(() => scene[Symbol.asyncDispose]())

/** Runs wal-g and then lists what lies on the disk, which is gone afterwards. */
function onDisk(sizeBytes: number, env: Readonly<Record<string, string>>, args: readonly string[]) {
  const disk = scene.place.at('disk')
  const script =
    'disk=$1; shift; "$@"; echo "exit $?"; find "$disk" -mindepth 1 ! -type d -printf "left %P\\n"'
  const settings = Object.entries(env).map(([name, value]) => `${name}=${value}`)
  const home = ['HOME=/nonexistent', `PATH=${process.env['PATH']}`]
  const command = ['sh', '-c', script, 'sh', disk, 'env', '-i', ...home, ...settings, walgBinary(), ...args]
  const result: SmallDiskResult = runOnSmallDisk(disk, sizeBytes, command)
  const left = result.stdout.split('\n').flatMap(line => (line.startsWith('left ') ? [line.slice(5)] : []))
  return { ...result, exit: Number(/^exit (\d+)$/m.exec(result.stdout)?.[1]), left }
}

describeUnless(missingSmallDisk(), 'a disk that fills up', () => {
  describe('while the storage is written', () => {
    test('wal-push fails, and leaves neither object nor temporary', () => {
      const wal = scene.place.at('wal')
      mkdirSync(path.join(wal, 'archive_status'), { recursive: true })
      writeFileSync(path.join(wal, segmentName(5)), walBytes(segmentName(5)))
      const env = { ...scene.repository.env, WALG_FILE_PREFIX: scene.place.at('disk') }
      const run = onDisk(64 * 1024, env, ['wal-push', path.join(wal, segmentName(5))])
      expect([run.exit, run.left]).toEqual([1, []])
      expect(run.stderr).toMatch(/no space|full/i)
    })

    test('backup-push fails without a sentinel, and gives the space back', () => {
      const env = { ...scene.repository.env, WALG_FILE_PREFIX: scene.place.at('disk') }
      const run = onDisk(2 * MIB, env, ['backup-push', data])
      expect([run.exit, run.left]).toEqual([1, []])
      expect(run.stderr).toMatch(/no space|full/i)
    })

    for (const method of ['lz4', 'zstd']) {
      test(`backup-push fails while all threads compress the last large file with ${method}`, () => {
        const large = path.join(data, 'base/1/99999')
        writeFileSync(large, randomBytes(80 * MIB))
        const env = {
          ...scene.repository.env,
          WALG_FILE_PREFIX: scene.place.at('disk'),
          WALG_COMPRESSION_METHOD: method,
          WALG_UPLOAD_DISK_CONCURRENCY: '2',
        }
        // everything else fits, and half of it
        const run = onDisk(48 * MIB, env, ['backup-push', data])
        rmSync(large)
        expect([run.exit, run.left]).toEqual([1, []])
        expect(run.stderr).toMatch(/no space|full/i)
      }, 60_000)
    }

    test('backup-push fails when only the documents at the end find no room', () => {
      // everything but the last kilobytes fits
      const stored = spawnSync('du', ['-sb', scene.repository.backupPath(backup)], { encoding: 'utf8' })
      const sizeBytes = Number(stored.stdout.split('\t')[0])
      const env = { ...scene.repository.env, WALG_FILE_PREFIX: scene.place.at('disk') }
      const run = onDisk(sizeBytes - 100 * 1024, env, ['backup-push', data])
      expect([run.exit, run.left]).toEqual([1, []])
    })
  })

  describe('while files are fetched', () => {
    test('wal-fetch fails and leaves nothing that PostgreSQL could take for a segment', async () => {
      const own = repositoryAt(scene.place.at('archive'))
      const wal = scene.place.at('pg_wal')
      mkdirSync(path.join(wal, 'archive_status'), { recursive: true })
      writeFileSync(path.join(wal, segmentName(6)), walBytes(segmentName(6)))
      expect((await own.run(['wal-push', path.join(wal, segmentName(6))])).exit).toBe(0)
      const destination = scene.place.at('disk/RECOVERYXLOG')
      const run = onDisk(512 * 1024, own.env, ['wal-fetch', segmentName(6), destination])
      expect([run.exit, run.left]).toEqual([1, []])
      expect(run.stderr).toMatch(/no space|full/i)
    })

    for (const sizeMib of [3, 12, 20]) {
      test(`backup-fetch into ${sizeMib} MiB fails and leaves a directory without pg_control`, () => {
        const env = { ...scene.repository.env, WALG_TAR_DISABLE_FSYNC: sizeMib === 12 ? 'false' : 'true' }
        const run = onDisk(sizeMib * MIB, env, ['backup-fetch', scene.place.at('disk/data'), backup])
        expect(run.exit).toBe(1)
        expect(run.stderr).toMatch(/no space|full/i)
        expect(run.left).not.toContain('data/global/pg_control')
      })
    }
  })
})
