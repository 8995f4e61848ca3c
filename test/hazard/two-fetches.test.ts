import { afterAll, beforeAll, expect, test } from 'bun:test'
import { existsSync, mkdirSync, symlinkSync } from 'node:fs'
import { hostname } from 'node:os'
import path from 'node:path'
import { compareTrees, readTree, type Tree, withoutServerManifest } from '../interop/restored-tree.ts'
import type { Started } from '../support/process.ts'
import { untilTrue } from '../support/until-true.ts'
import { startWalg } from '../support/walg.ts'
import { errorsOf, looksComplete, openScene, pushBackup, type Scene } from './sample.ts'

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

function startSlowly(target: string, args: readonly string[] = []): Started {
  const env = { ...scene.repository.env, WALG_NETWORK_RATE_LIMIT: '2000000' }
  return startWalg(['backup-fetch', target, backup, ...args], { env })
}

function expectRestored(target: string): void {
  expect(compareTrees(expected, withoutServerManifest(readTree(target)))).toEqual([])
  expect(existsSync(path.join(target, 'wal-g_fetch_state'))).toBe(false)
}

for (const args of [[], ['--resume']]) {
  test(`a second backup-fetch ${args.join()} is refused while the first one writes, by whatever name`, async () => {
    const target = scene.place.at(`running${args.join()}`)
    const first = startSlowly(target)
    await untilTrue(() => first.stderr().includes('Finished extraction'))
    symlinkSync(target, `${target}-link`)
    for (const name of [target, `${target}-link`, path.join(target, '..', path.basename(target))]) {
      const second = await scene.repository.run(['backup-fetch', name, backup, ...args])
      expect(second.exit).toBe(1)
      expect(errorsOf(second)).toContain(
        `another fetch is writing into "${target}" (process ${first.pid} on ${hostname()}, since 2`,
      )
    }
    expect((await first.finished).exit).toBe(0)
    expectRestored(target)
  }, 60_000)

  for (const isThere of [false, true]) {
    test(`two backup-fetch ${args.join()} at once into ${isThere ? 'an empty' : 'a missing'} directory: exactly one succeeds`, async () => {
      const target = scene.place.at(`at-once-${isThere}${args.join()}`)
      if (isThere) mkdirSync(target)
      const runs = [startSlowly(target, args), startSlowly(target, args)]
      const exits = (await Promise.all(runs.map(run => run.finished))).map(({ exit }) => exit)
      expect(exits.sort()).toEqual([0, 1])
      expectRestored(target)
    }, 60_000)
  }
}

test('a restore is refused, too, and writes nothing', async () => {
  const target = scene.place.at('restored')
  const first = startSlowly(target)
  await untilTrue(() => first.stderr().includes('Finished extraction'))
  const second = await scene.repository.run(['restore', target, '--backup', backup, '--into-existing'])
  expect([second.exit, errorsOf(second)]).toEqual([
    1,
    expect.stringContaining('another fetch is writing into'),
  ])
  expect((await first.finished).exit).toBe(0)
  expectRestored(target)
}, 60_000)

test('after kill -9 of the first one --resume works at once', async () => {
  const target = scene.place.at('killed')
  const first = startSlowly(target)
  await untilTrue(() => first.stderr().includes('Finished extraction'))
  first.kill('SIGKILL')
  await first.finished
  expect(looksComplete(target)).toBe(false)
  const resumed = await scene.repository.run(['backup-fetch', '--resume', target, backup])
  expect([resumed.exit, errorsOf(resumed)]).toEqual([0, expect.any(String)])
  expectRestored(target)
}, 60_000)

test('of two at once into a directory and one in it never both succeed', async () => {
  for (const isInnerFirst of [false, true]) {
    const outer = scene.place.at(`around-${isInnerFirst}`)
    const inner = path.join(outer, 'base')
    const targets = isInnerFirst ? [inner, outer] : [outer, inner]
    const runs = targets.map(target => ({ target, run: startSlowly(target) }))
    const done = await Promise.all(runs.map(async ({ target, run }) => ({ target, ...(await run.finished) })))
    const whole = done.filter(({ exit }) => exit === 0)
    expect(whole.length).toBeLessThan(2)
    for (const { target } of whole) expectRestored(target)
  }
}, 60_000)
