import { afterEach, beforeEach, expect, test } from 'bun:test'
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { operationContext, type TestContext } from '../../../test/support/operation-context.ts'
import { type TempDirectory, tempDirectory } from '../../../test/support/temp-directory.ts'
import { MIB, segmentName, walBytes } from '../../../test/support/wal-bytes.ts'
import { streamOf } from '../../kit/bytes.ts'
import { putSealed } from '../../repository/sealed.ts'
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
  folder = join(wal, '.wal-g/prefetch')
  mkdirSync(join(folder, 'running'), { recursive: true })
  mkdirSync(place.at('archive'))
  context = await operationContext(place.at('archive'))
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

test.skipIf(!hasOtherDevice)('segments prefetched to another file system are taken from there', async () => {
  const base = join(SHARED_MEMORY, `wal-g-prefetch-${process.pid}`)
  mkdirSync(base)
  try {
    await walPrefetch(context, { name: first, baseDirectory: base, depth: 1, segmentBytes: MIB })
    expect(await fetch(base)).toMatchObject({ isPrefetched: true })
    expectDelivered()
    expect(readdirSync(wal).sort()).toEqual(['.wal-g', 'RECOVERYXLOG'])
    expect(readdirSync(join(base, '.wal-g/prefetch'))).toEqual(['running'])
  } finally {
    rmSync(base, { recursive: true })
  }
})
