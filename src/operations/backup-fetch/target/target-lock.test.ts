import { afterEach, beforeEach, expect, test } from 'bun:test'
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TempDirectory, tempDirectory } from '../../../../test/support/temp-directory.ts'
import { TargetLocks } from './target-lock.ts'

let place: TempDirectory
beforeEach(() => {
  place = tempDirectory('target-lock')
})
afterEach(() => place.remove())

test('a directory is taken by one fetch, whatever path leads there, until that ends', async () => {
  mkdirSync(place.at('data'))
  symlinkSync(place.at('data'), place.at('link'))
  const locks = new TargetLocks()
  await locks.take(place.at('data'))
  await locks.take(place.at('link')) // its own
  for (const name of ['data', 'link']) {
    await using others = new TargetLocks()
    await expect(others.take(place.at(name))).rejects.toMatchObject({
      code: 'CLUSTER_STATE',
      message: expect.stringContaining(
        `another fetch is writing into "${place.at('data')}" (process ${process.pid}`,
      ),
      hint: expect.stringContaining('--resume'),
    })
  }
  await locks[Symbol.asyncDispose]()
  await using others = new TargetLocks()
  await others.take(place.at('link'))
})

test('so is one that does not exist yet', async () => {
  symlinkSync(place.path, place.at('parent'))
  await using locks = new TargetLocks()
  await locks.take(place.at('new/data'))
  await using others = new TargetLocks()
  await expect(others.take(place.at('parent/new/data'))).rejects.toMatchObject({ code: 'CLUSTER_STATE' })
})

test('where two know a directory by different paths they meet once it is made', async () => {
  await using locks = new TargetLocks()
  await using others = new TargetLocks()
  await locks.take(place.at('data'))
  await others.take(place.at('mount'))
  mkdirSync(place.at('data'))
  symlinkSync(place.at('data'), place.at('mount')) // stands for a second mount
  await locks.takeMade(place.at('data'))
  await expect(others.takeMade(place.at('mount'))).rejects.toMatchObject({ code: 'CLUSTER_STATE' })
  writeFileSync(join(place.at('data'), 'file'), '')
  await locks[Symbol.asyncDispose]()
  await expect(others.takeMade(place.at('mount'))).rejects.toMatchObject({ code: 'TARGET_NOT_EMPTY' })
})

test('a directory in one that another fetch writes into is refused, before and after it is made', async () => {
  symlinkSync(place.path, place.at('parent'))
  await using locks = new TargetLocks()
  await locks.take(place.at('data'))
  const refused = {
    code: 'CLUSTER_STATE',
    message: expect.stringMatching(/another fetch is writing into ".*\/data" .*, which ".*" lies in/),
  }
  for (const inner of ['data/base', 'parent/data/base/5']) {
    await using others = new TargetLocks()
    await expect(others.take(place.at(inner))).rejects.toMatchObject(refused)
  }
  await using beside = new TargetLocks()
  await beside.take(place.at('database'))
  await locks.take(place.at('data/tablespace')) // its own

  await using inner = new TargetLocks()
  await inner.take(place.at('later/base'))
  await using outer = new TargetLocks()
  await outer.take(place.at('later'))
  mkdirSync(place.at('later/base'), { recursive: true })
  await expect(inner.takeMade(place.at('later/base'))).rejects.toMatchObject({ code: 'CLUSTER_STATE' })
})
