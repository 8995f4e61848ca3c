import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { forwarded } from '../../../../test/doubles/forwarded-storage.ts'
import { operationContext, type TestContext } from '../../../../test/support/operation-context.ts'
import { seededRandom } from '../../../../test/support/seeded-random.ts'
import { type TempDirectory, tempDirectory } from '../../../../test/support/temp-directory.ts'
import { segmentName, walBytes } from '../../../../test/support/wal-bytes.ts'
import type { CodecDescription, CompressionName } from '../../../codec/codec.ts'
import type { EncryptionDescription, LibsodiumKey } from '../../../codec/encryption/description.ts'
import { collect } from '../../../kit/bytes.ts'
import { WalgError } from '../../../kit/errors.ts'
import { openPayload } from '../../../repository/sealed.ts'
import type { Storage } from '../../../storage/storage.ts'
import { createWalPusher } from '../wal-pusher.ts'

const segment = segmentName(1)
const history = '00000003.history'
const SWITCH = '1\t0/3000000\tno recovery target specified\n'
const SECOND_SWITCH = '\n2\t0/5000000\tbefore transaction 742, of another day\n'
/** PKESK of version 3 for an unknown recipient, as every object of OpenPGP begins. */
const PGP_HEAD = [0xc1, 0xc0, 0x4c, 3, 1, 2, 3, 4, 5, 6, 7, 8, 1]

let place: TempDirectory
let folder: string

beforeEach(() => {
  place = tempDirectory('cut-evidence')
  folder = place.at('archive/wal_005')
  mkdirSync(folder, { recursive: true })
  writeFileSync(place.at(segment), walBytes(segment, { segmentBytes: 1 << 20 }))
  writeFileSync(place.at(history), SWITCH + SECOND_SWITCH)
})
afterEach(() => place.remove())

const context = (codec: CodecDescription, wrap?: (storage: Storage) => Storage): Promise<TestContext> =>
  operationContext(place.at('archive'), wrap === undefined ? { codec } : { codec, wrap })

const pusherOf = (given: TestContext): ReturnType<typeof createWalPusher> =>
  createWalPusher(given, { preventOverwrite: true, records: undefined })

const push = async (given: TestContext, name: string): Promise<string> =>
  (await pusherOf(given).push(place.at(name))).kind

const key = (fill: number): LibsodiumKey => ({
  method: 'libsodium',
  keyId: `key ${fill}`,
  key: new Uint8Array(32).fill(fill),
})
const sealedBy = (one: LibsodiumKey, readsPlain = false): EncryptionDescription => ({
  write: one,
  read: [one],
  readsPlain,
})

/** The only object there is, cut to `size` (from its end when negative). */
function cutObject(size: number): { path: string; bytes: Buffer } {
  const path = join(folder, readdirSync(folder)[0]!)
  const bytes = readFileSync(path).subarray(0, size === 0 ? 0 : size)
  writeFileSync(path, bytes)
  return { path, bytes: Buffer.from(bytes) }
}

async function expectKept(given: TestContext, name: string, bytes: Uint8Array): Promise<string> {
  const failure = await push(given, name).then(
    () => undefined,
    error => error,
  )
  expect(failure).toMatchObject({ code: 'WAL_OVERWRITE' })
  const names = readdirSync(folder)
  expect(names).toHaveLength(1)
  expect(readFileSync(join(folder, names[0]!)).equals(Buffer.from(bytes))).toBe(true)
  return `${failure.message}; ${failure.hint}`
}

describe('an object sealed with an unknown key is never replaced as a cut one', () => {
  const plain: CodecDescription = { compression: 'brotli' }
  const withOtherKey: CodecDescription = { compression: 'brotli', encryption: sealedBy(key(1), true) }
  for (const [who, codec] of [
    ['without a key', plain],
    ['with another key, that also reads what is not sealed', withOtherKey],
  ] as const) {
    for (const [extension, rounds] of [
      ['br', 300],
      ['lzma', 40],
      ['gz', 20],
      ['lz4', 10],
      ['zst', 10],
      ['lzo', 10],
      ['', 20],
    ] as const) {
      test(`whatever its bytes are: "${extension}", to a process ${who}`, async () => {
        const random = seededRandom(`sealed ${extension} ${who}`)
        const pusher = pusherOf(await context(codec))
        const object = join(folder, segment + (extension === '' ? '' : `.${extension}`))
        for (let round = 0; round < rounds; round++) {
          const bytes = random.bytes(41 + random.int(random.pick([100, 1_000, 20_000])))
          if (round % 5 === 0) bytes.set(PGP_HEAD)
          writeFileSync(object, bytes)
          await expect(pusher.push(place.at(segment))).rejects.toMatchObject({ code: 'WAL_OVERWRITE' })
          expect(readFileSync(object).equals(Buffer.from(bytes))).toBe(true)
        }
        expect(readdirSync(folder)).toHaveLength(1)
      })
    }
  }

  test('what looks cut is said to be perhaps encrypted', async () => {
    const bytes = Uint8Array.of(0x1b, 0xff, 0xff, 0x00) // a brotli header and no content
    writeFileSync(join(folder, `${segment}.br`), bytes)
    const said = await expectKept(await context(plain), segment, bytes)
    expect(said).toContain('it may also be encrypted with a key that is not configured here')
    expect(said).toContain('if the archive is encrypted, set its key')
  })

  test('so is what is no WAL at all, where there is no compression', async () => {
    const bytes = seededRandom('no WAL').bytes(5000)
    writeFileSync(join(folder, segment), bytes)
    const said = await expectKept(await context({ compression: 'none' }), segment, bytes)
    expect(said).toContain('if the archive is encrypted, set its key')
  })
})

describe('an object that is provably cut is replaced', () => {
  const cases: readonly (readonly [CompressionName, readonly number[]])[] = [
    ['brotli', [0, 3, 60_000, 200_000, -1]],
    ['lzma', [0, 3, 14, 200_000, -1]],
    ['zstd', [4, 200_000, -1]],
    ['lz4', [4, 200_000, -1]],
  ]
  for (const [compression, sizes] of cases) {
    test(`by its mark or its content (${compression})`, async () => {
      const given = await context({ compression })
      await push(given, segment)
      for (const size of sizes) {
        cutObject(size)
        expect(await push(given, segment)).toBe('stored')
      }
      const stored = await openPayload(given.storage, given.codec, `wal_005/${segment}`)
      const local = readFileSync(place.at(segment))
      expect(Buffer.from(await collect(stored, 1 << 20)).equals(local)).toBe(true)
    })
  }

  test('a small one without a mark only when enough of its content is there', async () => {
    const given = await context({ compression: 'brotli' })
    await push(given, history)
    cutObject(-2)
    expect(await push(given, history)).toBe('stored')
    await expectKept(given, history, cutObject(8).bytes)
  })

  test('by the key that opens its beginning', async () => {
    for (const readsPlain of [false, true]) {
      const given = await context({ compression: 'lz4', encryption: sealedBy(key(2), readsPlain) })
      await push(given, segment)
      cutObject(9_000)
      expect(await push(given, segment)).toBe('stored')
      rmSync(join(folder, `${segment}.lz4`))
    }
  })
})

describe('without compression', () => {
  const none: CodecDescription = { compression: 'none' }

  test('a history that ends with a line may be a whole one of another timeline: it is not replaced', async () => {
    writeFileSync(join(folder, history), SWITCH)
    expect(await expectKept(await context(none), history, Buffer.from(SWITCH))).toContain('contents differ')
  })

  test('a history that ends within a line, and an empty object, are replaced', async () => {
    for (const bytes of ['', SWITCH.slice(0, 20)]) {
      writeFileSync(join(folder, history), bytes)
      expect(await push(await context(none), history)).toBe('stored')
    }
  })

  test('a sealed object has an end: a shorter one is no cut one', async () => {
    const given = await context({ compression: 'none', encryption: sealedBy(key(3)) })
    const whole = readFileSync(place.at(segment))
    writeFileSync(place.at(segment), whole.subarray(0, 300_000))
    await push(given, segment)
    const object = readFileSync(join(folder, segment))
    writeFileSync(place.at(segment), whole)
    await expectKept(given, segment, object)
  })
})

test('an object that another push replaces while it is read is not taken for a cut one', async () => {
  const plain = await context({ compression: 'lz4' })
  await push(plain, segment)
  const object = readFileSync(join(folder, `${segment}.lz4`))
  const given = await context({ compression: 'lz4' }, storage => ({
    ...forwarded(storage),
    async openSource(name, options) {
      const source = await storage.openSource(name, options)
      let reads = 0
      return {
        read(into) {
          if (reads++ > 0) throw new WalgError('FORMAT_TRUNCATED', 'it was replaced while it was read')
          return source.read(into.subarray(0, 1000))
        },
        close: () => source.close(),
      }
    },
  }))
  await expect(push(given, segment)).rejects.toMatchObject({ code: 'STORAGE_UNAVAILABLE' })
  expect(readFileSync(join(folder, `${segment}.lz4`)).equals(object)).toBe(true)
})
