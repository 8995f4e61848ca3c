import { afterAll, beforeAll, expect, test } from 'bun:test'
import { rmSync } from 'node:fs'
import { seededRandom } from '../support/seeded-random.ts'
import { untilTrue } from '../support/until-true.ts'
import { startWalg } from '../support/walg.ts'
import { errorsOf, looksComplete, openScene, type Scene } from './sample.ts'

const KILLS = Number(process.env['WALG_KILLS'] ?? 12)
const DELTAS = { WALG_DELTA_MAX_STEPS: '1000' }

let scene: Scene
beforeAll(async () => {
  scene = await openScene({ rows: 50_000 })
}, 60_000)
afterAll(() => scene[Symbol.asyncDispose]())

async function untilServerIsFree(): Promise<void> {
  await untilTrue(async () => {
    const rows = await scene.cluster.query(
      `select pid from pg_stat_activity where application_name = 'wal-g' and backend_type = 'client backend'`,
    )
    return rows.length === 0
  })
}

test(
  `kill -9 of a delta push at ${KILLS} points: only whole deltas are listed, the next one builds on the last of them`,
  async () => {
    const { repository, cluster, place } = scene
    const env = { ...scene.env, ...DELTAS }
    const push = ['backup-push', cluster.dataDirectory]
    expect((await repository.run(push, { env })).exit).toBe(0)
    const random = seededRandom('killed-delta')
    for (let kill = 0; kill < KILLS; kill++) {
      await cluster.query(`update t set md5 = md5 where g % 97 = ${kill}`)
      const run = startWalg(push, { env })
      const delayMs = 10 + random.int(700)
      await Promise.race([run.finished, new Promise(resolve => setTimeout(resolve, delayMs))])
      run.kill('SIGKILL')
      await run.finished
      const { stdout } = await repository.run(['backup-list', '--json'])
      const names = (JSON.parse(stdout) as { backup_name: string }[]).map(one => one.backup_name)
      expect(names.sort()).toEqual(repository.sentinels())
    }
    await untilServerIsFree()
    const last = await repository.run(push, { env })
    expect([last.exit, errorsOf(last)]).toEqual([0, expect.any(String)])
    expect(last.stderr).toContain('Delta backup enabled')
    for (const name of repository.sentinels()) {
      const target = place.at(`restored-${name}`)
      const fetch = await repository.run(['backup-fetch', target, name])
      expect([fetch.exit, errorsOf(fetch)]).toEqual([0, expect.any(String)])
      expect(looksComplete(target)).toBe(true)
      rmSync(target, { recursive: true })
    }
  },
  120_000 + KILLS * 20_000,
)
