import { afterAll, beforeAll, expect, test } from 'bun:test'
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
import { errorsOf, looksComplete, openScene, pushBackup, type Scene } from './sample.ts'

const KILLS = Number(process.env['WALG_KILLS'] ?? 6)
const DELTAS = 4

let scene: Scene
let target: string
let expected: Tree
/** Of a whole restore, as slowly as those that are killed. */
let durationMs: number

/** So slow that each part takes a moment, and several kills fall into each backup of the chain. */
const SLOW = { WALG_NETWORK_RATE_LIMIT: '14000000' }

beforeAll(async () => {
  scene = await openScene({ rows: 60_000, settings: { WALG_DELTA_MAX_STEPS: '9' } })
  const { cluster, repository, place } = scene
  await cluster.query('create table still as select g, md5((-g)::text) from generate_series(1, 60000) g')
  await cluster.query('create index on t (md5)')
  target = await pushBackup(scene)
  for (let delta = 1; delta <= DELTAS; delta++) {
    await cluster.query(`update t set md5 = md5(md5) where g % 7 = ${delta}`)
    if (delta === 2) {
      await cluster.query('delete from t where g > 50000')
      await cluster.query('vacuum (full) still')
    }
    if (delta === 3) await cluster.query("truncate still; insert into still values (1, md5('1'))")
    await cluster.query('vacuum t')
    await cluster.query('checkpoint')
    target = await pushBackup(scene)
  }
  expect(target).toContain('_D_')
  const whole = place.at('whole')
  const begunMs = performance.now()
  expect((await repository.run(['backup-fetch', whole, target], { env: SLOW })).exit).toBe(0)
  durationMs = performance.now() - begunMs
  expected = withoutServerManifest(readTree(whole))
}, 120_000)
afterAll(() => scene[Symbol.asyncDispose]())

test(
  `a chain of ${DELTAS + 1} backups, its fetch killed at ${KILLS} moments within its time: never looks complete, --resume and a fresh start give the same bytes`,
  async () => {
    const { repository, place } = scene
    const random = seededRandom('killed-chain-fetch')
    let killed = 0
    for (let kill = 0; kill < KILLS; kill++) {
      const directory = place.at(`killed-${kill}`)
      // killed once, or while it goes on, too
      for (let round = 0; round <= kill % 2; round++) {
        const resume = round === 0 ? [] : ['--resume']
        const run = startWalg(['backup-fetch', ...resume, directory, target], {
          env: { ...repository.env, ...SLOW },
        })
        const delayMs = durationMs * ((kill + random.int(1000) / 1000) / KILLS)
        await Promise.race([run.finished, new Promise(resolve => setTimeout(resolve, delayMs))])
        run.kill('SIGKILL')
        if ((await run.finished).exit === 0 || looksComplete(directory)) break
        killed += 1
      }
      if (looksComplete(directory)) {
        expect(compareTrees(expected, withoutFetchState(withoutServerManifest(readTree(directory))))).toEqual(
          [],
        )
      } else {
        const resumed = await repository.run(['backup-fetch', '--resume', directory, target])
        expect([resumed.exit, errorsOf(resumed)]).toEqual([0, expect.any(String)])
        expect(compareTrees(expected, withoutServerManifest(readTree(directory)))).toEqual([])
      }
      rmSync(directory, { recursive: true })
      const fresh = await repository.run(['backup-fetch', directory, target])
      expect([fresh.exit, errorsOf(fresh)]).toEqual([0, expect.any(String)])
      expect(compareTrees(expected, withoutServerManifest(readTree(directory)))).toEqual([])
      rmSync(directory, { recursive: true })
    }
    expect(killed).toBeGreaterThan(KILLS / 2)
  },
  60_000 + KILLS * 30_000,
)
