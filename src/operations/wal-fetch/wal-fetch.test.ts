import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  utimesSync,
  writeFileSync,
} from 'node:fs'
import { basename, join } from 'node:path'
import fc from 'fast-check'
import { operationContext, type TestContext } from '../../../test/support/operation-context.ts'
import { seed } from '../../../test/support/seeded-random.ts'
import { type TempDirectory, tempDirectory } from '../../../test/support/temp-directory.ts'
import { MIB, segmentName, walBytes } from '../../../test/support/wal-bytes.ts'
import { streamOf } from '../../kit/bytes.ts'
import { WalgError } from '../../kit/errors.ts'
import { putSealed } from '../../repository/sealed.ts'
import type { Storage } from '../../storage/storage.ts'
import { type PrefetchPlace, prefetchPlace } from './prefetch-origin.ts'
import { needsPrefetch } from './prefetch-plan.ts'
import { walFetch } from './wal-fetch.ts'
import { walPrefetch } from './wal-prefetch.ts'

let place: TempDirectory
let wal: string
let root: string
let context: TestContext

beforeEach(async () => {
  place = tempDirectory('wal-fetch')
  wal = place.at('pg_wal')
  root = place.at('archive')
  mkdirSync(wal)
  mkdirSync(root)
  context = await operationContext(root)
})
afterEach(async () => {
  await context.storage.close()
  place.remove()
})

const first = segmentName(1)

async function archive(name: string, bytes: Uint8Array = walBytes(name)): Promise<string> {
  return join(root, await putSealed(context.storage, context.codec, `wal_005/${name}`, streamOf(bytes)))
}

function fetch(name: string, target = 'RECOVERYXLOG') {
  return walFetch(context, { name, destination: join(wal, target), prefetchDirectory: undefined })
}

function prefetch(name: string, depth = 3) {
  return walPrefetch(context, { name, base: { directory: wal, isShared: false }, depth, segmentBytes: MIB })
}

function bytesOf(path: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(readFileSync(path))
}

function segmentBytes(name: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(walBytes(name))
}

const ready = (): PrefetchPlace =>
  prefetchPlace({ directory: wal, isShared: false }, [context.storageDescription])
const left = (): string[] => readdirSync(wal).sort()

describe('a fetch', () => {
  test('delivers the segment, and nothing else lies beside it', async () => {
    await archive(first)
    expect(await fetch(first)).toMatchObject({ isPrefetched: false })
    expect(bytesOf(join(wal, 'RECOVERYXLOG'))).toEqual(segmentBytes(first))
    expect(left()).toEqual(['RECOVERYXLOG'])
  })

  test('delivers history files and partial segments as they are', async () => {
    await archive('00000002.history', Buffer.from('1\t0/3000000\treason\n'))
    await archive(`${first}.partial`, walBytes(first).subarray(0, MIB / 2))
    await fetch('00000002.history', 'RECOVERYHISTORY')
    await fetch(`${first}.partial`, 'partial')
    expect(readFileSync(join(wal, 'RECOVERYHISTORY'), 'utf8')).toBe('1\t0/3000000\treason\n')
    expect(readFileSync(join(wal, 'partial'))).toHaveLength(MIB / 2)
  })

  test('says "not there" only when the storage answers', async () => {
    await expect(fetch(first)).rejects.toMatchObject({
      code: 'WAL_NOT_FOUND',
      message: `Archive '${first}' does not exist.`,
    })
    rmSync(root, { recursive: true })
    await expect(fetch(first)).rejects.toMatchObject({ code: 'STORAGE_ROOT_MISSING' })
    expect(left()).toEqual([])
  })

  test('in recovery a segment that is missing before others is a hole, not the end of WAL', async () => {
    await archive(segmentName(3))
    const options = { destination: join(wal, 'RECOVERYXLOG'), prefetchDirectory: undefined }
    const inRecovery = { ...options, holesOfSegmentBytes: MIB }
    await expect(walFetch(context, { ...inRecovery, name: first })).rejects.toMatchObject({
      code: 'INTEGRITY',
    })
    for (const end of [segmentName(4), '00000002.history', segmentName(1, 2)]) {
      await expect(walFetch(context, { ...inRecovery, name: end })).rejects.toMatchObject({
        code: 'WAL_NOT_FOUND',
      })
    }
    await expect(walFetch(context, { ...options, name: first })).rejects.toMatchObject({
      code: 'WAL_NOT_FOUND',
    })
  })

  test('never replaces a file, and never makes a directory', async () => {
    await archive(first)
    writeFileSync(join(wal, 'RECOVERYXLOG'), 'something')
    await expect(fetch(first)).rejects.toMatchObject({ code: 'TARGET_NOT_EMPTY' })
    expect(readFileSync(join(wal, 'RECOVERYXLOG'), 'utf8')).toBe('something')
    await expect(fetch(first, 'nowhere/RECOVERYXLOG')).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' })
  })

  test('refuses names that are paths', async () => {
    for (const name of ['../x', 'a/b', '', '.hidden']) {
      await expect(fetch(name)).rejects.toMatchObject({ code: 'USAGE' })
    }
  })

  test('several at once for one destination: one delivers, the others refuse, nothing is torn', async () => {
    await archive(first)
    const outcomes = await Promise.allSettled([fetch(first), fetch(first), fetch(first)])
    expect(outcomes.filter(outcome => outcome.status === 'fulfilled')).toHaveLength(1)
    expect(bytesOf(join(wal, 'RECOVERYXLOG'))).toEqual(segmentBytes(first))
    expect(left()).toEqual(['RECOVERYXLOG'])
  })
})

describe('a damaged object is never delivered', () => {
  test('cut anywhere', async () => {
    const object = await archive(first)
    const whole = readFileSync(object)
    for (const size of [
      0,
      1,
      7,
      11,
      whole.length >> 1,
      whole.length - 9,
      whole.length - 8,
      whole.length - 4,
      whole.length - 1,
    ]) {
      writeFileSync(object, whole.subarray(0, size))
      await expect(fetch(first)).rejects.toMatchObject({ code: 'FORMAT_TRUNCATED' })
      expect(left()).toEqual([])
    }
  })

  test('any flipped bit is noticed', async () => {
    const object = await archive(first)
    const whole = readFileSync(object)
    await fc.assert(
      fc.asyncProperty(fc.nat(whole.length * 8 - 1), async bit => {
        const damaged = Buffer.from(whole)
        damaged[bit >> 3]! ^= 1 << (bit & 7)
        writeFileSync(object, damaged)
        const outcome = await fetch(first).then(
          () => 'delivered',
          () => 'refused',
        )
        const delivered = outcome === 'delivered' ? bytesOf(join(wal, 'RECOVERYXLOG')) : undefined
        rmSync(join(wal, 'RECOVERYXLOG'), { force: true })
        // a few bits of the frame header mean nothing for the content
        expect(delivered ?? segmentBytes(first)).toEqual(segmentBytes(first))
      }),
      { seed, numRuns: 60 },
    )
  })

  test('another segment under this name, a short one, and no segment at all', async () => {
    await archive(first, walBytes(segmentName(2)))
    await expect(fetch(first)).rejects.toMatchObject({ code: 'WAL_INVALID' })
    await archive(first, walBytes(first).subarray(0, MIB / 2))
    await expect(fetch(first)).rejects.toMatchObject({ code: 'WAL_INVALID' })
    await archive(first, Buffer.from('this is not WAL'))
    await expect(fetch(first)).rejects.toMatchObject({ code: 'WAL_INVALID' })
    expect(left()).toEqual([])
  })

  test('the message names the object', async () => {
    const object = await archive(first)
    truncateSync(object, 100)
    await expect(fetch(first)).rejects.toThrow(`wal_005/${first}.lz4`)
  })
})

describe('a fetch that fails for another reason', () => {
  test('interrupted: nothing is said about the object', async () => {
    await archive(first)
    const reason = new WalgError('CANCELLED', 'interrupted by SIGTERM')
    const interrupting: Storage = {
      ...context.storage,
      async openSource(key, options) {
        const source = await context.storage.openSource(key, options)
        context.abort.abort(reason)
        return source
      },
    }
    const options = { name: first, destination: join(wal, 'RECOVERYXLOG'), prefetchDirectory: undefined }
    const failed = walFetch({ ...context, storage: interrupting }, options)
    await expect(failed).rejects.toBe(reason)
    expect(left()).toEqual([])
  })

  test('a storage that fails: the object is named, and not called damaged', async () => {
    const object = await archive(first)
    const failing: Storage = {
      ...context.storage,
      async openSource() {
        return {
          read: () => {
            throw new WalgError('STORAGE_UNAVAILABLE', 'the storage has gone')
          },
          close: async () => {},
        } as unknown as Awaited<ReturnType<Storage['openSource']>>
      },
    }
    const options = { name: first, destination: join(wal, 'RECOVERYXLOG'), prefetchDirectory: undefined }
    const error = await walFetch({ ...context, storage: failing }, options).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'STORAGE_UNAVAILABLE', hint: undefined })
    expect((error as Error).message).toContain(basename(object))
    truncateSync(object, 100)
    await expect(fetch(first)).rejects.toMatchObject({ hint: expect.stringContaining('damaged') })
  })
})

test('without a key, what brotli takes for a cut stream is said to be perhaps encrypted', async () => {
  mkdirSync(join(root, 'wal_005'))
  writeFileSync(join(root, 'wal_005', `${first}.br`), Uint8Array.of(0x1b, 0xff, 0xff, 0x00))
  await expect(fetch(first)).rejects.toMatchObject({
    code: 'FORMAT_TRUNCATED',
    hint: expect.stringContaining('if the archive is encrypted, set its key'),
  })
})

describe('what a killed fetch has left beside the destination', () => {
  const OLD = new Date(Date.now() - 60 * 60 * 1000)
  let stale: string

  beforeEach(async () => {
    stale = join(wal, '.RECOVERYXLOG.1-1.0123456789abcdef.wal-g-tmp')
    writeFileSync(stale, 'half a segment')
    utimesSync(stale, OLD, OLD)
    for (const number of [15, 16]) await archive(segmentName(number))
  })

  test('is cleared away by the prefetcher, wherever that puts its own files', async () => {
    mkdirSync(place.at('elsewhere'))
    const ahead = {
      name: first,
      base: { directory: place.at('elsewhere'), isShared: false },
      depth: 1,
      segmentBytes: MIB,
    }
    await walPrefetch(context, { ...ahead, destinationDirectory: wal })
    expect(left()).toEqual([])
  })

  test('without a prefetcher by one fetch in sixteen', async () => {
    const options = { prefetchDirectory: undefined, clearsAway: true }
    await walFetch(context, { ...options, name: segmentName(15), destination: join(wal, 'one') })
    expect(existsSync(stale)).toBe(true)
    await walFetch(context, { ...options, name: segmentName(16), destination: join(wal, 'two') })
    expect(left()).toEqual(['one', 'two'])
  })
})

describe('reading ahead', () => {
  const following = [2, 3, 4].map(number => segmentName(number))

  test('a prefetched segment is taken without asking the storage', async () => {
    for (const name of [first, ...following]) await archive(name)
    await fetch(first)
    expect((await prefetch(first)).fetched).toEqual(following)
    rmSync(join(root, 'wal_005'), { recursive: true })
    expect(await fetch(following[0]!, 'next')).toMatchObject({ isPrefetched: true })
    expect(bytesOf(join(wal, 'next'))).toEqual(segmentBytes(following[0]!))
  })

  test('ends at the end of the archive, and does not bring back a directory that has gone', async () => {
    await archive(following[0]!)
    expect((await prefetch(first)).fetched).toEqual([following[0]!])
    rmSync(wal, { recursive: true })
    expect((await prefetch(first)).fetched).toEqual([])
    expect(existsSync(wal)).toBe(false)
  })

  test('a prefetched file that changed, or that nobody vouches for, is fetched again', async () => {
    for (const name of following) await archive(name)
    await prefetch(first)
    const { folder } = ready()
    const changed = walBytes(following[0]!)
    changed[100_000]! ^= 1
    writeFileSync(join(folder, following[0]!), changed)
    rmSync(join(folder, `${following[1]!}.check`))
    for (const [index, name] of following.slice(0, 2).entries()) {
      expect(await fetch(name, `out${index}`)).toMatchObject({ isPrefetched: false })
      expect(bytesOf(join(wal, `out${index}`))).toEqual(segmentBytes(name))
    }
  })

  test('several prefetchers at once fetch each segment once', async () => {
    for (const name of following) await archive(name)
    const results = await Promise.all([prefetch(first), prefetch(first), prefetch(first)])
    expect(results.flatMap(result => result.fetched).sort()).toEqual(following)
  })

  test('a prefetcher that died half-way does not hold recovery up', async () => {
    await archive(first)
    mkdirSync(join(ready().folder, 'running'), { recursive: true })
    writeFileSync(join(ready().folder, 'running', first), walBytes(first).subarray(0, 1000))
    expect(await fetch(first)).toMatchObject({ isPrefetched: false })
    expect(bytesOf(join(wal, 'RECOVERYXLOG'))).toEqual(segmentBytes(first))
  })

  test('clears away what recovery has passed', async () => {
    for (const name of following) await archive(name)
    await prefetch(first)
    await prefetch(following[2]!)
    expect(readdirSync(ready().folder).filter(name => name.length === 24)).toEqual([following[2]!])
  })

  test('is not started while the nearer half lies ready', async () => {
    for (const name of following) await archive(name)
    const plan = { name: first, depth: 4, segmentBytes: MIB }
    expect(needsPrefetch(ready(), plan)).toBe(true)
    await prefetch(first)
    expect(needsPrefetch(ready(), plan)).toBe(false)
  })

  test('a damaged object is not kept as prefetched', async () => {
    const object = await archive(following[0]!)
    copyFileSync(object, `${object}.keep`)
    truncateSync(object, 1000)
    await expect(prefetch(first)).rejects.toMatchObject({ code: 'FORMAT_TRUNCATED' })
    expect(readdirSync(join(ready().folder, 'running'))).toEqual([])
  })
})
