import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { WalBuilder } from '../../../test/postgres/wal-builder.ts'
import { operationContext, type TestContext } from '../../../test/support/operation-context.ts'
import { type TempDirectory, tempDirectory } from '../../../test/support/temp-directory.ts'
import { MIB, segmentName, walBytes } from '../../../test/support/wal-bytes.ts'
import type { CompressionName } from '../../codec/codec.ts'
import { streamOf } from '../../kit/bytes.ts'
import { putSealed } from '../../repository/sealed.ts'
import { walFetch } from './wal-fetch.ts'
import { walPrefetch } from './wal-prefetch.ts'

let place: TempDirectory
let wal: string
let context: TestContext

beforeEach(async () => {
  place = tempDirectory('end-of-wal')
  wal = place.at('pg_wal')
  mkdirSync(wal, { mode: 0o700 })
  mkdirSync(place.at('archive'))
  context = await operationContext(place.at('archive'))
})
afterEach(() => place.remove())

const [first, second, third] = [1, 2, 3].map(number => segmentName(number)) as [string, string, string]

async function archive(name: string, bytes = walBytes(name), compression: CompressionName = 'lz4') {
  const given = await operationContext(place.at('archive'), { codec: { compression } })
  return putSealed(given.storage, given.codec, `wal_005/${name}`, streamOf(bytes))
}

/** The server died when a quarter was written: behind that are the pages of an older segment, or zeros where the file was new. */
function unfinished(name: string, isNew = false): Uint8Array {
  const bytes = isNew ? new Uint8Array(MIB) : walBytes(segmentName(0))
  bytes.set(walBytes(name).subarray(0, MIB / 4))
  return bytes
}

const fetch = (name: string, more: Partial<Parameters<typeof walFetch>[1]> = {}) =>
  walFetch(context, { name, destination: join(wal, 'RECOVERYXLOG'), prefetchDirectory: undefined, ...more })
const warnings = () => context.messages.filter(message => message.startsWith('WARNING'))

describe('a segment that was never finished', () => {
  for (const compression of ['lz4', 'none', 'brotli'] as const) {
    for (const isNew of [false, true]) {
      const rest = isNew ? 'zeros follow' : 'pages of an older segment follow'
      test(`is delivered as it is, and that is said (${compression}, ${rest})`, async () => {
        const bytes = unfinished(second, isNew)
        await archive(second, bytes, compression)
        await fetch(second)
        expect(readFileSync(join(wal, 'RECOVERYXLOG')).equals(bytes)).toBe(true)
        expect(warnings().join()).toContain(`is written up to byte ${MIB / 4} only (LSN 0/240000), ${rest}`)
      })
    }
  }

  test('is damage where the archive goes on behind it', async () => {
    await archive(third)
    for (const isNew of [false, true]) {
      await archive(second, unfinished(second, isNew))
      await expect(fetch(second)).rejects.toMatchObject({
        code: 'WAL_INVALID',
        hint: expect.stringContaining('unfinished copy'),
      })
      expect(readdirSync(wal)).toEqual([])
    }
  })

  test('is the end all the same where the later ones are files that PostgreSQL kept for later, with older pages', async () => {
    await archive(second, unfinished(second, true))
    await archive(third, walBytes(first))
    await fetch(second)
    expect(warnings().join()).toContain('WAL ends there')
    // behind such a one there is another that is what it is called
    await archive(segmentName(4))
    rmSync(join(wal, 'RECOVERYXLOG'))
    await expect(fetch(second)).rejects.toMatchObject({ facts: { later: segmentName(4) } })
  })

  test('is damage, too, where a later one cannot be read', async () => {
    await archive(second, unfinished(second))
    await archive(third)
    truncateSync(place.at('archive', 'wal_005', `${third}.lz4`), 10)
    await expect(fetch(second)).rejects.toMatchObject({ code: 'WAL_INVALID', facts: { later: third } })
  })

  test('is another one than a segment that was switched', async () => {
    const builder = new WalBuilder(2n)
    builder.add(new Uint8Array(100))
    builder.switchSegment()
    const [switched] = builder.segments()
    expect(switched!.name).toBe(second)
    await archive(second, switched!.bytes)
    await archive(third)
    await fetch(second)
    expect(readFileSync(join(wal, 'RECOVERYXLOG')).equals(switched!.bytes)).toBe(true)
    expect(warnings()).toEqual([])
  })

  for (const isNew of [false, true]) {
    test(`is not read ahead (${isNew ? 'zeros' : 'pages of an older segment'})`, async () => {
      await archive(second, unfinished(second, isNew))
      const base = { directory: wal, isShared: false }
      const { fetched } = await walPrefetch(context, { name: first, base, depth: 3, segmentBytes: MIB })
      expect(fetched).toEqual([])
      expect(readdirSync(join(wal, '.wal-g/prefetch/running'))).toEqual([])
    })
  }

  test('pages of another place are damage, wherever they are', async () => {
    const bytes = walBytes(second)
    bytes.copyWithin(MIB / 2, 8192, 16_384)
    await archive(second, bytes)
    await expect(fetch(second)).rejects.toMatchObject({ code: 'WAL_INVALID' })
  })
})

describe('a segment that is missing before others', () => {
  const recovering = { holesOfSegmentBytes: MIB }

  test('is not missing when it lies in pg_wal, where PostgreSQL looks next', async () => {
    await archive(third)
    writeFileSync(join(wal, second), walBytes(second))
    await expect(fetch(second, recovering)).rejects.toMatchObject({ code: 'WAL_NOT_FOUND' })
    const halves = [unfinished(second), unfinished(second, true)]
    for (const spoiled of [walBytes(first), ...halves, walBytes(second).subarray(0, MIB / 2)]) {
      writeFileSync(join(wal, second), spoiled)
      await expect(fetch(second, recovering)).rejects.toMatchObject({ code: 'INTEGRITY' })
    }
  })

  test('is the end of WAL where only files with older pages follow', async () => {
    await archive(third, walBytes(first))
    await expect(fetch(second, recovering)).rejects.toMatchObject({ code: 'WAL_NOT_FOUND' })
  })

  test('is told by its name, where the configured size is not that of the cluster', async () => {
    const name = '000000010000000000000101'
    await archive('000000010000000000000102')
    await expect(fetch(name, { holesOfSegmentBytes: 16 * MIB })).rejects.toMatchObject({ code: 'INTEGRITY' })
  })
})

test('a damaged object is passed over for another form of the file, and that is said', async () => {
  const damaged = await archive(second, walBytes(second), 'lz4')
  truncateSync(place.at('archive', damaged), 1000)
  await expect(fetch(second)).rejects.toMatchObject({ code: 'FORMAT_TRUNCATED' })
  const whole = await archive(second, walBytes(second), 'zstd')
  await fetch(second)
  expect(readFileSync(join(wal, 'RECOVERYXLOG')).equals(walBytes(second))).toBe(true)
  expect(warnings().join()).toMatch(new RegExp(`${damaged}.*"${whole}" is taken instead`))
})

test('a folder that a setting names for segments read ahead is made', async () => {
  await archive(second)
  const base = { directory: place.at('not/yet/there'), isShared: true }
  const { fetched } = await walPrefetch(context, { name: first, base, depth: 3, segmentBytes: MIB })
  expect(fetched).toEqual([second])
  expect(existsSync(place.at('not/yet/there/.wal-g/prefetch'))).toBe(true)
})

test('the group may read what is fetched where it may read pg_wal', async () => {
  await archive(second)
  await fetch(second, { destination: join(wal, 'one') })
  chmodSync(wal, 0o750)
  await fetch(second, { destination: join(wal, 'two') })
  expect(['one', 'two'].map(name => statSync(join(wal, name)).mode & 0o777)).toEqual([0o600, 0o640])
})
