import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { spawnSync } from 'node:child_process'
import { readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import type { Started } from '../support/process.ts'
import { seededRandom } from '../support/seeded-random.ts'
import { untilTrue } from '../support/until-true.ts'
import { startWalg } from '../support/walg.ts'
import {
  copyTree,
  errorsOf,
  looksComplete,
  openScene,
  PARTS,
  pushBackup,
  repositoryAt,
  type Scene,
} from './sample.ts'

const KILLS = Number(process.env['WALG_KILLS'] ?? 12)
const SLOW = { WALG_DISK_RATE_LIMIT: '8000000' }

let scene: Scene
let older: string

beforeAll(async () => {
  scene = await openScene()
  older = await pushBackup(scene)
}, 60_000)
afterAll(() => scene[Symbol.asyncDispose]())

function startPush(settings: Readonly<Record<string, string>> = {}): Started {
  return startWalg(['backup-push', scene.cluster.dataDirectory], { env: { ...scene.env, ...settings } })
}

async function untilSaid(run: Started, text: string): Promise<void> {
  await untilTrue(() => run.stderr().includes(text), 30_000, `"${text}" in the log`)
}

/** A backup belongs to its session: it is over when that is gone. */
async function untilServerIsFree(): Promise<void> {
  await untilTrue(async () => {
    const rows = await scene.cluster.query(
      `select pid from pg_stat_activity where application_name = 'wal-g' and backend_type = 'client backend'`,
    )
    return rows.length === 0
  })
}

describe('backup-push killed at any point', () => {
  test(
    `kill -9 at ${KILLS} points: nothing half-written is listed, older backups and the next push work`,
    async () => {
      const random = seededRandom('killed-push')
      const { repository } = scene
      for (let kill = 0; kill < KILLS; kill++) {
        const run = startPush()
        const delayMs = 10 + random.int(600)
        await Promise.race([run.finished, new Promise(resolve => setTimeout(resolve, delayMs))])
        run.kill('SIGKILL')
        await run.finished
        const listed = (await repository.run(['backup-list', '--json'])).stdout
        const names = (JSON.parse(listed) as { backup_name: string }[]).map(one => one.backup_name)
        expect(names.sort()).toEqual(repository.sentinels())
      }
      await untilServerIsFree()
      const complete = repository.sentinels()
      for (const name of [older, complete.at(-1)!]) {
        const target = scene.place.at(`restored-${name}`)
        const fetch = await repository.run(['backup-fetch', target, name])
        expect([fetch.exit, errorsOf(fetch)]).toEqual([0, expect.any(String)])
        rmSync(target, { recursive: true })
      }
      const newest = await pushBackup(scene)
      const target = scene.place.at('newest')
      expect((await repository.run(['backup-fetch', target, 'LATEST'])).stderr).toContain(newest)
      expect(looksComplete(target)).toBe(true)
    },
    60_000 + KILLS * 10_000,
  )

  test('the next push under the same name removes what the killed one left, and says so', async () => {
    const random = seededRandom('killed-push-at-rest')
    const data = scene.place.at('at-rest')
    await scene.cluster.stop()
    copyTree(scene.cluster.dataDirectory, data)
    await scene.cluster.start()
    const repository = repositoryAt(scene.place.at('second'))
    let said = 0
    for (let kill = 0; kill < 4; kill++) {
      const run = startWalg(['backup-push', data], {
        env: { ...repository.env, WALG_DISK_RATE_LIMIT: '20000000' },
      })
      await untilSaid(run, 'Starting part 3')
      await new Promise(resolve => setTimeout(resolve, random.int(300)))
      run.kill('SIGKILL')
      const { stderr } = await run.finished
      if (/Removing \d+ objects of/.test(stderr)) said++
      expect(repository.sentinels()).toEqual([])
    }
    // of a push in smaller parts
    const left = readdirSync(repository.backupPath())[0]!
    writeFileSync(repository.backupPath(left, PARTS, 'part_099.tar.lz4'), 'left over')
    const startedMs = Date.now() - 10
    const push = await repository.run(['backup-push', data])
    expect(push.exit).toBe(0)
    if (/Removing \d+ objects of/.test(push.stderr)) said++
    expect(said).toBeGreaterThan(0)
    const [name] = repository.sentinels()
    const target = scene.place.at('second-restored')
    expect((await repository.run(['backup-fetch', target, 'LATEST'])).exit).toBe(0)
    const stale = repository
      .objectsOf(name!)
      .filter(object => !object.includes('.tmp.'))
      .filter(object => statSync(repository.backupPath(name!, object)).mtimeMs < startedMs)
    expect(stale).toEqual([])
    expect(repository.objectsOf(name!)).not.toContain(`${PARTS}/part_099.tar.lz4`)
  }, 120_000)
})

describe('backup-push that is interrupted', () => {
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    test(`by ${signal}: it ends, the server is out of the backup, nothing of it stays`, async () => {
      const known = scene.repository.sentinels()
      const run = startPush(SLOW)
      await untilSaid(run, 'Finished writing part')
      run.kill(signal)
      const { exit, stderr } = await run.finished
      expect(exit).not.toBe(0)
      expect(exit).not.toBeNull()
      expect(stderr).toContain(`Received ${signal}`)
      const name = /Started backup with name (\S+)/.exec(stderr)![1]!
      expect(scene.repository.sentinels()).toEqual(known)
      expect(scene.repository.objectsOf(name)).toEqual([])
      await untilServerIsFree()
    }, 60_000)
  }

  test('by a backend that is terminated: the push fails at once, without a sentinel', async () => {
    const known = scene.repository.sentinels()
    const run = startPush({ WALG_DISK_RATE_LIMIT: '400000' })
    await untilSaid(run, 'Starting part 1')
    await scene.cluster.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'wal-g'`,
    )
    const { exit, stderr } = await run.finished
    expect(exit).toBe(1)
    const name = /Started backup with name (\S+)/.exec(stderr)![1]!
    expect(
      stderr.split('\n').some(line => line.startsWith('ERROR') && /terminat|lost|connection/.test(line)),
    ).toBe(true)
    // at once, not when the server is asked to end the backup
    expect(stderr).not.toContain('Finished writing part')
    expect(scene.repository.sentinels()).toEqual(known)
    expect(scene.repository.objectsOf(name)).toEqual([])
  }, 60_000)

  test('a second backup of the same cluster into the same repository is refused, and does not hurt the first', async () => {
    const run = startPush({ WALG_DISK_RATE_LIMIT: '12000000' })
    await untilSaid(run, 'Starting part 1')
    const second = await scene.repository.run(['backup-push', scene.cluster.dataDirectory], {
      env: scene.env,
    })
    expect(second.exit).toBe(1)
    expect(errorsOf(second)).toContain('another backup of this cluster into this repository is running')
    const first = await run.finished
    expect([first.exit, errorsOf(first)]).toEqual([0, expect.any(String)])
  }, 60_000)
})

test('no process of the tests above is left', () => {
  const { stdout } = spawnSync(
    'sh',
    ['-c', `ps -eo args | grep -F '${scene.cluster.dataDirectory}' | grep 'backup-push' | grep -v grep`],
    { encoding: 'utf8' },
  )
  expect(stdout).toBe('')
})
