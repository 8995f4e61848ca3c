import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { spawnSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { operationContext, type TestContext } from '../../../test/support/operation-context.ts'
import { type TempDirectory, tempDirectory } from '../../../test/support/temp-directory.ts'
import { MIB, segmentName, walBytes } from '../../../test/support/wal-bytes.ts'
import { streamOf } from '../../kit/bytes.ts'
import { putSealed } from '../../repository/sealed.ts'
import type { DriverDescription, StorageDescription } from '../../storage/description.ts'
import { type PrefetchBase, prefetchPlace } from './prefetch-origin.ts'
import { walFetch } from './wal-fetch.ts'
import { walPrefetch } from './wal-prefetch.ts'

const SHARED_MEMORY = '/dev/shm'
const hasOtherDevice =
  statSync(SHARED_MEMORY, { throwIfNoEntry: false })?.dev !== undefined &&
  statSync(SHARED_MEMORY).dev !== statSync(tmpdir()).dev

let place: TempDirectory
let wal: string
let folder: string
let context: TestContext
const first = segmentName(1)
const second = segmentName(2)

beforeEach(async () => {
  place = tempDirectory('prefetch')
  wal = place.at('pg_wal')
  mkdirSync(place.at('archive'))
  context = await operationContext(place.at('archive'))
  folder = prefetchPlace({ directory: wal, isShared: false }, [context.storageDescription]).folder
  mkdirSync(join(folder, 'running'), { recursive: true })
  for (const name of [first, second]) {
    await putSealed(context.storage, context.codec, `wal_005/${name}`, streamOf(walBytes(name)))
  }
})
afterEach(async () => {
  await context.storage.close()
  place.remove()
})

function fetch(prefetchDirectory?: string) {
  return walFetch(context, { name: second, destination: join(wal, 'RECOVERYXLOG'), prefetchDirectory })
}

function expectDelivered(): void {
  expect(readFileSync(join(wal, 'RECOVERYXLOG')).equals(walBytes(second))).toBe(true)
}

const STRANGERS: readonly (readonly [string, (path: string) => void])[] = [
  ['a directory', path => mkdirSync(path)],
  ['a FIFO', path => expect(spawnSync('mkfifo', [path]).status).toBe(0)],
]

for (const [what, make] of STRANGERS) {
  test(`${what} in the place of a prefetched segment is as good as none`, async () => {
    make(join(folder, second))
    make(join(folder, 'running', second))
    expect(await fetch()).toMatchObject({ isPrefetched: false })
    expectDelivered()
  })
}

test('a file in the place of the folder is as good as no folder', async () => {
  rmSync(join(wal, '.wal-g'), { recursive: true })
  writeFileSync(join(wal, '.wal-g'), '')
  expect(await fetch()).toMatchObject({ isPrefetched: false })
  expectDelivered()
})

test('a check that says nothing vouches for nothing', async () => {
  writeFileSync(join(folder, second), walBytes(second))
  writeFileSync(join(folder, `${second}.check`), 'null')
  expect(await fetch()).toMatchObject({ isPrefetched: false })
  expectDelivered()
})

describe('servers of two archives share a prefetch directory', () => {
  let other: TestContext
  let base: PrefetchBase

  beforeEach(async () => {
    base = { directory: wal, isShared: true }
    folder = prefetchPlace(base, [context.storageDescription]).folder
    mkdirSync(join(folder, 'running'), { recursive: true })
    mkdirSync(place.at('other'))
    other = await operationContext(place.at('other'))
    for (const name of [first, second]) {
      const bytes = walBytes(name)
      bytes[5000]! ^= 1
      await putSealed(other.storage, other.codec, `wal_005/${name}`, streamOf(bytes))
    }
    await walPrefetch(other, { name: first, base, depth: 1, segmentBytes: MIB })
  })
  afterEach(() => other.storage.close())

  const otherFile = (name = ''): string => join(prefetchPlace(base, [other.storageDescription]).folder, name)

  test('nothing of the other one is delivered, nothing of it is touched', async () => {
    writeFileSync(otherFile(`running/${second}`), 'half')
    const before = readFileSync(otherFile(second))
    expect(await fetch(wal)).toMatchObject({ isPrefetched: false })
    expectDelivered()
    await walPrefetch(context, { name: segmentName(9), base, depth: 1, segmentBytes: MIB })
    expect(readFileSync(otherFile(second)).equals(before)).toBe(true)
    expect(readdirSync(otherFile()).sort()).toEqual([second, `${second}.check`, 'running'])
    const destination = place.at('of the other')
    expect(await walFetch(other, { name: second, destination, prefetchDirectory: wal })).toMatchObject({
      isPrefetched: true,
    })
    expect(readFileSync(destination).equals(before)).toBe(true)
  })

  test('a file that has come into the wrong folder is not trusted', async () => {
    for (const name of [second, `${second}.check`]) renameSync(otherFile(name), join(folder, name))
    expect(await fetch(wal)).toMatchObject({ isPrefetched: false })
    expectDelivered()
  })

  test('each prefetches what the other has already', async () => {
    const ahead = { name: first, base, depth: 1, segmentBytes: MIB }
    expect((await walPrefetch(context, ahead)).fetched).toEqual([second])
    expect(await fetch(wal)).toMatchObject({ isPrefetched: true })
    expectDelivered()
  })

  test('what the other one has left for days goes', async () => {
    const old = new Date(Date.now() - 3 * 24 * 60 * 60 * 1000)
    for (const name of [second, `${second}.check`]) utimesSync(otherFile(name), old, old)
    await walPrefetch(context, { name: first, base, depth: 1, segmentBytes: MIB })
    expect(readdirSync(otherFile())).toEqual(['running'])
    for (const name of ['running', '']) utimesSync(otherFile(name), old, old)
    await walPrefetch(context, { name: first, base, depth: 1, segmentBytes: MIB })
    expect(existsSync(otherFile('running'))).toBe(false)
  })
})

test('a restore_command that has been switched to another archive gets nothing of the first one', async () => {
  mkdirSync(place.at('other'))
  const other = await operationContext(place.at('other'))
  const bytes = walBytes(second)
  bytes[5000]! ^= 1
  await putSealed(other.storage, other.codec, `wal_005/${second}`, streamOf(bytes))
  await walPrefetch(other, {
    name: first,
    base: { directory: wal, isShared: false },
    depth: 1,
    segmentBytes: MIB,
  })
  expect(existsSync(join(folder, second))).toBe(true)
  expect(await fetch()).toMatchObject({ isPrefetched: false })
  expectDelivered()
  await other.storage.close()
})

test('archives of one name in two services are two archives', () => {
  const endpoint = (host: string): StorageDescription => {
    const address = { protocol: 'http', host, port: 9000 }
    const driver = { kind: 's3', bucket: 'wal', root: '', endpoint: { address, isPathStyle: true } }
    return { ...context.storageDescription, driver: driver as unknown as DriverDescription }
  }
  const shared = { directory: wal, isShared: true }
  const one = prefetchPlace(shared, [endpoint('one')])
  expect(prefetchPlace(shared, [endpoint('two')]).folder).not.toBe(one.folder)
  expect(prefetchPlace(shared, [endpoint('one')])).toEqual(one)
  const both = [endpoint('one'), endpoint('two')]
  expect(prefetchPlace(shared, both)).toEqual(prefetchPlace(shared, both.toReversed()))
})

test('what the original has prefetched is never delivered, and goes as recovery passes it', async () => {
  const shared = join(wal, '.wal-g/prefetch')
  for (const name of [first, second]) writeFileSync(join(shared, name), 'of the original')
  expect(await fetch()).toMatchObject({ isPrefetched: false })
  expectDelivered()
  expect(existsSync(join(shared, second))).toBe(false)
  await walPrefetch(context, {
    name: second,
    base: { directory: wal, isShared: false },
    depth: 1,
    segmentBytes: MIB,
  })
  expect(existsSync(join(shared, first))).toBe(false)
})

test.skipIf(!hasOtherDevice)('segments prefetched to another file system are taken from there', async () => {
  const base = join(SHARED_MEMORY, `wal-g-prefetch-${process.pid}`)
  mkdirSync(base)
  try {
    await walPrefetch(context, {
      name: first,
      base: { directory: base, isShared: true },
      depth: 1,
      segmentBytes: MIB,
    })
    expect(await fetch(base)).toMatchObject({ isPrefetched: true })
    expectDelivered()
    expect(readdirSync(wal).sort()).toEqual(['.wal-g', 'RECOVERYXLOG'])
    expect(
      readdirSync(prefetchPlace({ directory: base, isShared: true }, [context.storageDescription]).folder),
    ).toEqual(['running'])
  } finally {
    rmSync(base, { recursive: true })
  }
})
