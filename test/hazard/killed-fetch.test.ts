import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import {
  compareTrees,
  readTree,
  type Tree,
  withoutFetchState,
  withoutServerManifest,
} from '../interop/restored-tree.ts'
import { startRestored } from '../support/cluster.ts'
import type { Started } from '../support/process.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { untilTrue } from '../support/until-true.ts'
import { startWalg, walgCommand } from '../support/walg.ts'
import {
  copyRepository,
  copyTree,
  errorsOf,
  looksComplete,
  openScene,
  PARTS,
  pushBackup,
  type Scene,
} from './sample.ts'

const KILLS = Number(process.env['WALG_KILLS'] ?? 4)

let scene: Scene
let backup: string
let expected: Tree

beforeAll(async () => {
  scene = await openScene()
  backup = await pushBackup(scene)
  const whole = scene.place.at('whole')
  expect((await scene.repository.run(['backup-fetch', whole, backup])).exit).toBe(0)
  expected = withoutServerManifest(readTree(whole))
}, 60_000)
afterAll(() => scene[Symbol.asyncDispose]())

function startFetch(target: string, bytesPerSecond: number): Started {
  const env = { ...scene.repository.env, WALG_NETWORK_RATE_LIMIT: String(bytesPerSecond) }
  return startWalg(['backup-fetch', target, backup], { env })
}

describe('backup-fetch killed', () => {
  test(
    `at ${KILLS} points by kill -9: never looks complete; --resume makes the same directory`,
    async () => {
      const random = seededRandom('killed-fetch')
      let continued = 0
      for (let kill = 0; kill < KILLS; kill++) {
        const target = scene.place.at(`killed-${kill}`)
        const run = startFetch(target, 1_000_000)
        const extractions = 1 + random.int(3)
        await untilTrue(() => run.stderr().split('Finished extraction').length > extractions)
        await new Promise(resolve => setTimeout(resolve, random.int(150)))
        run.kill('SIGKILL')
        if ((await run.finished).exit === 0) continue // a quick machine was done before
        if (looksComplete(target)) {
          // between pg_control and the end of the process: then everything else is there
          expect(compareTrees(expected, withoutFetchState(withoutServerManifest(readTree(target))))).toEqual(
            [],
          )
          rmSync(target, { recursive: true })
          continue
        }
        const again = await scene.repository.run(['backup-fetch', target, backup])
        expect(again.exit).toBe(1)
        expect(errorsOf(again)).toContain('--resume')
        const resumed = await scene.repository.run(['backup-fetch', '--resume', target, backup])
        expect([resumed.exit, errorsOf(resumed)]).toEqual([0, expect.any(String)])
        if (/\d+ parts of \S+ are complete/.test(resumed.stderr)) continued++
        expect(compareTrees(expected, withoutServerManifest(readTree(target)))).toEqual([])
        rmSync(target, { recursive: true })
      }
      expect(continued).toBeGreaterThan(0)
    },
    60_000 + KILLS * 15_000,
  )

  test('PostgreSQL does not start on what a killed one left, and does after --resume', async () => {
    const target = scene.place.at('started')
    const run = startFetch(target, 1_000_000)
    await untilTrue(() => run.stderr().includes('Finished extraction'))
    run.kill('SIGKILL')
    await run.finished
    const copy = scene.place.at('started-copy')
    copyTree(target, copy)
    await expect(startRestored(copy, { major: 17, signal: 'none' })).rejects.toThrow(/ended while starting/)
    expect((await scene.repository.run(['backup-fetch', '--resume', target, backup])).exit).toBe(0)
    const restore = walgCommand(scene.repository.env, 'wal-fetch %f %p')
    await using restored = await startRestored(target, {
      major: 17,
      settings: { restore_command: restore, recovery_target: 'immediate', recovery_target_action: 'promote' },
    })
    expect(await restored.query('select count(*)::int as n from t')).toEqual([{ n: 2000 }])
  }, 60_000)

  test('a file that changed since is not trusted by --resume', async () => {
    const target = scene.place.at('changed')
    const run = startFetch(target, 1_000_000)
    await untilTrue(() => run.stderr().split('Finished extraction').length > 2)
    run.kill('SIGKILL')
    await run.finished
    const restored = Object.entries(expected)
      .filter(([name, entry]) => 'size' in entry && entry.size > 0 && existsSync(`${target}/${name}`))
      .map(([name]) => `${target}/${name}`)
    expect(restored.length).toBeGreaterThan(10)
    for (const name of restored) {
      const bytes = readFileSync(name)
      bytes[bytes.length - 1]! ^= 1
      writeFileSync(name, bytes)
    }
    expect((await scene.repository.run(['backup-fetch', '--resume', target, backup])).exit).toBe(0)
    expect(compareTrees(expected, withoutServerManifest(readTree(target)))).toEqual([])
  }, 60_000)

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    test(`by ${signal}: it ends, incomplete and resumable`, async () => {
      const target = scene.place.at(signal)
      const run = startFetch(target, 1_000_000)
      await untilTrue(() => run.stderr().includes('LATEST') || run.stderr().includes('Selecting'))
      await new Promise(resolve => setTimeout(resolve, 700))
      run.kill(signal)
      const { exit } = await run.finished
      expect(exit).toBe(130)
      expect(looksComplete(target)).toBe(false)
      expect((await scene.repository.run(['backup-fetch', '--resume', target, backup])).exit).toBe(0)
      expect(compareTrees(expected, withoutServerManifest(readTree(target)))).toEqual([])
    }, 60_000)
  }

  test('by SIGTERM while it waits to try an object again', async () => {
    const broken = copyRepository(scene.repository, scene.place.at('broken'), {
      WALG_DOWNLOAD_FILE_RETRIES: '1000',
    })
    const part = broken.backupPath(backup, PARTS, 'part_001.tar.lz4')
    const bytes = readFileSync(part)
    bytes[bytes.length >> 1]! ^= 1
    writeFileSync(part, bytes)
    const run = startWalg(['backup-fetch', scene.place.at('waiting'), backup], {
      env: { ...broken.env, WALG_DOWNLOAD_FILE_RETRIES: '1000' },
    })
    await untilTrue(() => /tried again in/.test(run.stderr()))
    run.kill('SIGTERM')
    const { exit, stderr } = await run.finished
    expect(exit).not.toBe(0)
    expect(exit).not.toBeNull()
    expect(stderr).toContain('part_001.tar.lz4')
    expect(looksComplete(scene.place.at('waiting'))).toBe(false)
  }, 60_000)
})
