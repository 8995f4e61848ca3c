import { describe, expect, test } from 'bun:test'
import { type Awaitable, type ByteSink, type ByteSource, concatBytes } from '../../src/kit/bytes.ts'
import { WalgError } from '../../src/kit/errors.ts'
import { seededRandom } from '../support/seeded-random.ts'

/** One method of encryption with a key. */
export interface EncryptionCase {
  readonly name: string
  encrypt(sink: ByteSink): Awaitable<ByteSink>
  decrypt(source: ByteSource): Awaitable<ByteSource>
  /** The same format with a key that does not fit. */
  decryptWithOther(source: ByteSource): Awaitable<ByteSource>
  /** Where the stored form can be cut in pieces that look whole: the first piece ends here, the others are as long as `unitBytes`. */
  readonly headBytes: (stored: Uint8Array) => number
  readonly unitBytes: number
  /** What is damaged; default 200 000 bytes. */
  readonly contentBytes?: number
  /** Damage that is tried; public-key methods are slow. */
  readonly flips: number
  /** The format cannot hold an object without a byte; reading one is an error. */
  readonly emptyIsRefused?: boolean
  /** Bytes that nothing depends on. */
  readonly isUnprotected?: (at: number) => boolean
}

/** Seals `content`, written in pieces of `pieceBytes`. */
export async function seal(
  method: Pick<EncryptionCase, 'encrypt'>,
  content: Uint8Array,
  pieceBytes = 100_000,
): Promise<Uint8Array> {
  const stored: Uint8Array[] = []
  let isEnded = false
  const sink = await method.encrypt({
    async write(bytes): Promise<void> {
      stored.push(bytes.slice())
    },
    end(): void {
      isEnded = true
    },
  })
  const lent = new Uint8Array(pieceBytes)
  for (let at = 0; at < content.length; at += pieceBytes) {
    const piece = content.subarray(at, at + pieceBytes)
    lent.set(piece)
    await sink.write(lent.subarray(0, piece.length))
    lent.fill(0xee) // it was only lent
  }
  await sink.end()
  expect(isEnded).toBe(true)
  return concatBytes(stored)
}

/** Opens `stored`, which comes in pieces of at most `storedBytes`, read in pieces of `pieceBytes`. */
export async function open(
  decrypt: EncryptionCase['decrypt'],
  stored: Uint8Array,
  pieceBytes = 65_536,
  storedBytes = 50_000,
): Promise<Uint8Array> {
  let at = 0
  const source = await decrypt({
    read(into): Awaitable<number> {
      const piece = stored.subarray(at, at + Math.min(into.length, storedBytes))
      into.set(piece)
      at += piece.length
      return at % 2 === 0 ? piece.length : Promise.resolve(piece.length)
    },
    close() {},
  })
  try {
    const opened: Uint8Array[] = []
    const into = new Uint8Array(pieceBytes)
    for (let got = await source.read(into); got > 0; got = await source.read(into)) {
      opened.push(into.slice(0, got))
    }
    return concatBytes(opened)
  } finally {
    await source.close()
  }
}

/** What opening `stored` fails with; it must fail, and with an error that was meant. */
async function failure(
  decrypt: EncryptionCase['decrypt'],
  stored: Uint8Array,
  what: string,
): Promise<WalgError> {
  try {
    await open(decrypt, stored)
  } catch (error) {
    if (error instanceof WalgError) return error
    throw new Error(`${what}: ${error instanceof Error ? error.stack : String(error)}`)
  }
  throw new Error(`${what} was not noticed`)
}

const DAMAGE = [
  'FORMAT_INVALID',
  'FORMAT_TRUNCATED',
  'FORMAT_UNSUPPORTED',
  'CHECKSUM_MISMATCH',
  'DECRYPT_FAILED',
]

/** What every method of encryption promises. */
export function encryptionContract(method: EncryptionCase): void {
  const { name, unitBytes } = method
  const random = seededRandom(name)
  const decrypt: EncryptionCase['decrypt'] = source => method.decrypt(source)

  const units = (stored: Uint8Array): Uint8Array[] => {
    const head = method.headBytes(stored)
    const pieces = [stored.subarray(0, head)]
    for (let at = head; at < stored.length; at += unitBytes) pieces.push(stored.subarray(at, at + unitBytes))
    return pieces
  }
  const expectDamage = async (stored: Uint8Array, what: string): Promise<void> => {
    const error = await failure(decrypt, stored, what)
    expect([what, DAMAGE.includes(error.code) ? 'damage' : error.code]).toEqual([what, 'damage'])
  }

  describe(`encryption by ${name}`, () => {
    test('what is sealed opens, whatever its size and the pieces it comes in', async () => {
      const sizes = [
        0, 1, 15, 16, 22, 8191, 8192, 8193, 16_384, 65_529, 65_530, 65_535, 65_536, 65_537, 300_001,
      ]
      for (const size of sizes.filter(one => one > 0 || method.emptyIsRefused !== true)) {
        const content = random.bytes(size)
        const stored = await seal(method, content, random.pick([1000, 8192, 65_536, 100_000]))
        const opened = await open(
          decrypt,
          stored,
          random.pick([1000, 8192, 65_536]),
          random.pick([997, 65_536]),
        )
        expect([size, Buffer.compare(opened, content)]).toEqual([size, 0])
      }
    })

    test('the same content is never stored the same twice, nor in the clear', async () => {
      const content = new TextEncoder().encode('a secret of the house '.repeat(50))
      const [one, two] = [await seal(method, content), await seal(method, content)]
      expect(Buffer.compare(one, two)).not.toBe(0)
      expect(Buffer.from(one).includes('secret')).toBe(false)
    })

    test('a flipped bit anywhere is noticed', async () => {
      const stored = await seal(method, random.bytes(method.contentBytes ?? 200_000))
      const head = method.headBytes(stored)
      for (let flip = 0; flip < method.flips; flip++) {
        const at = flip % 3 === 0 ? random.int(head) : random.int(stored.length)
        if (method.isUnprotected?.(at) === true) continue
        const damaged = stored.slice()
        damaged[at]! ^= 1 << random.int(8)
        await expectDamage(damaged, `a flip of byte ${at}`)
      }
    }, 60_000)

    test('a cut is noticed: at the end of every unit, and elsewhere', async () => {
      const stored = await seal(method, random.bytes(method.contentBytes ?? 200_000))
      const cuts = [0, 1, stored.length - 1]
      let end = 0
      for (const unit of units(stored)) {
        end += unit.length
        if (end < stored.length) cuts.push(end)
      }
      for (let cut = 0; cut < 20; cut++) cuts.push(random.int(stored.length))
      for (const cut of cuts) await expectDamage(stored.subarray(0, cut), `a cut after ${cut} bytes`)
    }, 60_000)

    test('a dropped, doubled or moved unit is noticed, and so is what follows the end', async () => {
      const stored = await seal(method, random.bytes(method.contentBytes ?? 200_000))
      const [head, ...rest] = units(stored)
      const join = (pieces: readonly Uint8Array[]): Uint8Array => concatBytes([head!, ...pieces])
      for (let at = 0; at < rest.length; at++) {
        await expectDamage(join(rest.filter((_, index) => index !== at)), `a drop of unit ${at}`)
        await expectDamage(
          join(rest.flatMap((unit, index) => (index === at ? [unit, unit] : [unit]))),
          `a double of unit ${at}`,
        )
        const next = (at + 1) % rest.length
        const swapped = [...rest]
        swapped[at] = rest[next]!
        swapped[next] = rest[at]!
        await expectDamage(join(swapped), `units ${at} and ${next} in the place of each other`)
      }
      await expectDamage(concatBytes([stored, new Uint8Array(1)]), 'a byte behind the end')
      await expectDamage(concatBytes([stored, stored]), 'the object behind itself')
    }, 60_000)

    test('units of two objects do not mix', async () => {
      const [one, two] = [
        await seal(method, random.bytes(method.contentBytes ?? 200_000)),
        await seal(method, random.bytes(method.contentBytes ?? 200_000)),
      ]
      const mixed = units(one)
      mixed[1] = units(two)[1]!
      await expectDamage(concatBytes(mixed), 'a unit of another object')
    })

    test('another key does not open it, and the error says that it is the key', async () => {
      const stored = await seal(method, random.bytes(100_000))
      const error = await failure(source => method.decryptWithOther(source), stored, 'another key')
      expect(error.code).toBe('DECRYPT_FAILED')
      expect(error.hint).toMatch(/KEY/)
    })
  })
}
