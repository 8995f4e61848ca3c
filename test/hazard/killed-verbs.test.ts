import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { rmSync } from 'node:fs'
import {
  compareTrees,
  readTree,
  type Tree,
  withoutFetchState,
  withoutServerManifest,
} from '../interop/restored-tree.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { startWalg } from '../support/walg.ts'
import {
  copyRepository,
  errorsOf,
  looksComplete,
  openScene,
  pushBackup,
  type Repository,
  type Scene,
} from './sample.ts'

const KILLS = Number(process.env['WALG_KILLS'] ?? 5)

let scene: Scene
let backups: readonly string[]
let copies = 0

beforeAll(async () => {
  scene = await openScene()
  const first = await pushBackup(scene)
  await scene.cluster.query('create table later as select g, md5(g::text) from generate_series(1, 9000) g')
  const delta = await pushBackup(scene, ['--delta-from-name', first])
  await scene.cluster.query('update later set md5 = md5(md5)')
  backups = [first, delta, await pushBackup(scene, ['--full'])]
  await scene.cluster.stop()
}, 60_000)
afterAll(() => scene[Symbol.asyncDispose]())

const copy = (settings: Record<string, string> = {}): Repository =>
  copyRepository(scene.repository, scene.place.at(`copy-${copies++}`), settings)

/** Kills the run at a random moment of the time that a whole one takes; true when it was in time. */
async function kill(
  repository: Repository,
  args: readonly string[],
  random: { int(limit: number): number },
  wholeMs: number,
): Promise<boolean> {
  const run = startWalg([...args], { env: repository.env })
  await new Promise(resolve => setTimeout(resolve, random.int(Math.ceil(wholeMs))))
  run.kill('SIGKILL')
  return (await run.finished).exit !== 0
}

async function timed(
  repository: Repository,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<number> {
  const begunMs = performance.now()
  const run = await repository.run(args, { env })
  expect([run.exit, errorsOf(run)]).toEqual([0, expect.any(String)])
  return performance.now() - begunMs
}

describe('killed by kill -9 at random moments', () => {
  test(
    'delete: what is still listed is whole, and the next run finishes it',
    async () => {
      const random = seededRandom('killed-delete')
      const args = ['delete', 'retain', 'FULL', '1', '--confirm']
      const whole = copy()
      const wholeMs = await timed(whole, args)
      expect(whole.sentinels()).toEqual([backups[2]!])
      let killed = 0
      for (let round = 0; round < KILLS; round += 1) {
        const repository = copy()
        if (await kill(repository, args, random, wholeMs)) killed += 1
        const report = await repository.run(['verify', '--all', '--json'])
        expect([repository.sentinels(), report.exit, errorsOf(report)]).toEqual([
          expect.arrayContaining([backups[2]!]),
          0,
          expect.any(String),
        ])
        // what a killed delete left is as young as this test
        await timed(repository, args, { WALG_GARBAGE_MIN_AGE: '0s' })
        expect(repository.sentinels()).toEqual([backups[2]!])
        const left = await repository.run(['st', 'ls', '-r'])
        expect(left.stdout).not.toContain(`${backups[0]!}/tar_partitions`)
        rmSync(repository.root, { recursive: true })
      }
      expect(killed).toBeGreaterThan(0)
    },
    60_000 + KILLS * 15_000,
  )

  test(
    'verify: what it remembers is read by the next run, which comes to the same verdict',
    async () => {
      const random = seededRandom('killed-verify')
      const args = ['verify', '--all', '--to-now', '--incremental']
      const wholeMs = await timed(copy(), args)
      const repository = copy()
      let killed = 0
      for (let round = 0; round < KILLS; round += 1) {
        if (await kill(repository, args, random, wholeMs)) killed += 1
      }
      expect(killed).toBeGreaterThan(0)
      const report = await repository.run([...args, '--json'])
      expect([report.exit, errorsOf(report)]).toEqual([0, expect.any(String)])
      expect(JSON.parse(report.stdout)).toMatchObject({ status: 'OK' })
      expect(repository.sentinels()).toEqual([...backups].sort())
    },
    60_000 + KILLS * 15_000,
  )

  test(
    'restore: never looks complete, and the same command goes on, as does --into-existing',
    async () => {
      const random = seededRandom('killed-restore')
      const repository = copy({ WALG_NETWORK_RATE_LIMIT: '8000000' })
      const target = scene.place.at('restored')
      const settings = scene.place.at('restored.settings.json')
      const args = ['restore', target, '--immediate', '--promote', '--settings-file', settings]
      const wholeMs = await timed(repository, args)
      const expected: Tree = withoutServerManifest(readTree(target))
      rmSync(target, { recursive: true })
      let killed = 0
      for (let round = 0; round < KILLS; round += 1) {
        rmSync(settings, { force: true })
        if (await kill(repository, args, random, wholeMs)) killed += 1
        if (looksComplete(target)) {
          // done, or killed between pg_control and its end: then everything else is there
          expect(compareTrees(expected, withoutFetchState(withoutServerManifest(readTree(target))))).toEqual(
            [],
          )
          rmSync(target, { recursive: true })
        }
        await timed(repository, round % 2 === 0 ? args : [...args, '--into-existing'])
        expect(compareTrees(expected, withoutServerManifest(readTree(target)))).toEqual([])
        rmSync(target, { recursive: true })
      }
      expect(killed).toBeGreaterThan(0)
    },
    60_000 + KILLS * 30_000,
  )
})
