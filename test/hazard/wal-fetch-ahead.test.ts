import { afterAll, beforeAll, expect, test } from 'bun:test'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { Finished } from '../support/process.ts'
import { type TempDirectory, tempDirectory } from '../support/temp-directory.ts'
import { untilTrue } from '../support/until-true.ts'
import { walBytes } from '../support/wal-bytes.ts'
import { type Repository, repositoryAt } from './sample.ts'

/** Segments of 1 MiB whose names no cluster of 16 MiB has. */
const NAMES = [1, 2, 3, 4].map(number => `00000001000000000000010${number}`)
const [first, second] = NAMES as [string, string]

let place: TempDirectory
let repository: Repository

beforeAll(async () => {
  place = tempDirectory('wal-fetch-ahead')
  repository = repositoryAt(place.at('repository'), { WALG_PG_WAL_SIZE: '16' })
  mkdirSync(place.at('pushed'))
  for (const name of NAMES) {
    writeFileSync(place.at('pushed', name), walBytes(name))
    expect((await repository.run(['wal-push', place.at('pushed', name)])).exit).toBe(0)
  }
})
afterAll(() => place.remove())

function dataDirectory(name: string): string {
  mkdirSync(place.at(name, 'pg_wal'), { recursive: true })
  writeFileSync(place.at(name, 'recovery.signal'), '')
  return place.at(name)
}

function fetchInto(data: string, name: string, target = 'RECOVERYXLOG'): Promise<Finished> {
  return repository.run(['wal-fetch', name, path.join(data, 'pg_wal', target)])
}

test('a size that was not configured does not fail a fetch that has delivered, and is known to the one that reads ahead', async () => {
  const data = dataDirectory('sizes')
  expect(await fetchInto(data, first)).toMatchObject({ exit: 0, stderr: '' })
  expect(readFileSync(path.join(data, 'pg_wal/RECOVERYXLOG')).equals(walBytes(first))).toBe(true)
  await untilTrue(() => existsSync(path.join(data, 'pg_wal/.wal-g/prefetch', NAMES.at(-1)!)))
})

test('a hole is told by the names, too', async () => {
  const data = dataDirectory('hole')
  const object = path.join(place.at('repository'), `wal_005/${second}.lz4`)
  const stored = readFileSync(object)
  rmSync(object)
  const missing = await fetchInto(data, second)
  writeFileSync(object, stored)
  expect(missing.exit).toBe(126)
  expect(missing.stderr).toContain('WAL is missing in between')
})

test('a file that keeps its name, as for pg_rewind, is fetched without anything else moving in pg_wal', async () => {
  const data = dataDirectory('rewound')
  await fetchInto(data, first)
  await untilTrue(() => existsSync(path.join(data, 'pg_wal/.wal-g/prefetch', NAMES.at(-1)!)))
  const list = (): string[] => readdirSync(path.join(data, 'pg_wal'), { recursive: true }).map(String).sort()
  const before = list()
  expect(await fetchInto(data, second, second)).toMatchObject({ exit: 0 })
  expect(list()).toEqual([...before, second].sort())
  const fresh = dataDirectory('fresh')
  expect(await fetchInto(fresh, second, second)).toMatchObject({ exit: 0 })
  await Bun.sleep(300)
  expect(readdirSync(path.join(fresh, 'pg_wal'))).toEqual([second])
})
