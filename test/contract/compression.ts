import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import type { BlockReader, CompressionName, CompressionOptions } from '../../src/codec/codec.ts'
import { extensionOf } from '../../src/codec/extensions.ts'
import { openCodec } from '../../src/codec/open-codec.ts'
import type { ByteSink, ByteSource } from '../../src/kit/bytes.ts'
import { concatBytes } from '../../src/kit/bytes.ts'
import { hasCode, WalgError } from '../../src/kit/errors.ts'
import { createLinearMemory, type LinearMemory } from '../../src/kit/linear-memory.ts'
import { seed, seededRandom } from '../support/seeded-random.ts'

/** What one method promises, and how another program makes its objects where we do not. */
export interface CompressionUnderTest {
  readonly name: CompressionName
  /** Makes an object from content; by our own writer when absent. */
  readonly seal?: (content: Uint8Array) => Promise<Uint8Array>
  /** Every cut is noticed. Not so for the stored form, which has no end. */
  readonly noticesCuts: boolean
  /** A changed byte never gives other content: the format has a checksum. */
  readonly noticesChanges: boolean
  /** Several frames in one object are read as one content. */
  readonly readsConcatenated: boolean
  /** Sizes of content for the larger tests; the slow methods have smaller ones. */
  readonly largeBytes: number
  /** What it may add to bytes that do not compress, in thousandths. */
  readonly growth?: number
}

/** Offers stored bytes in pieces, synchronously or not, and counts what happens to it. */
export function openTestSource(
  stored: Uint8Array,
  pieceBytes: number,
  isAsync = false,
): { source: ByteSource; facts: { closed: number } } {
  let at = 0
  const facts = { closed: 0 }
  const source: ByteSource = {
    read(into: Uint8Array) {
      const count = Math.min(pieceBytes, into.length, stored.length - at)
      into.set(stored.subarray(at, at + count))
      at += count
      return isAsync ? Promise.resolve(count) : count
    },
    close(): void {
      facts.closed++
    },
  }
  return { source, facts }
}

/** Everything a reader gives; its blocks are copied, since they are only lent. */
export async function drain(reader: BlockReader): Promise<Uint8Array> {
  const blocks: Uint8Array[] = []
  try {
    for (;;) {
      const block = await reader.next()
      if (block === null) return concatBytes(blocks)
      expect(block.length).toBeGreaterThan(0)
      expect(block.length).toBeLessThanOrEqual(4 << 20)
      blocks.push(new Uint8Array(block))
    }
  } finally {
    await reader.close()
  }
}

/** Seals content through the block door, in pieces of `fillBytes`. */
export async function sealWith(
  name: CompressionName,
  content: Uint8Array,
  options: Partial<CompressionOptions> & { memory?: LinearMemory; isAsync?: boolean } = {},
): Promise<Uint8Array> {
  const zstd = options.zstdLevel === undefined ? {} : { zstdLevel: options.zstdLevel }
  const codec = openCodec({ compression: name, ...zstd }, options.memory)
  const written: Uint8Array[] = []
  let ends = 0
  const sink: ByteSink = {
    write(bytes: Uint8Array) {
      expect(bytes.length).toBeGreaterThan(0)
      written.push(new Uint8Array(bytes))
      return options.isAsync === true ? Promise.resolve() : undefined
    },
    end(): void {
      ends++
    },
  }
  const writer = await codec.seal(sink, options.use ?? 'part')
  for (let at = 0; at < content.length; at += writer.capacityBytes) {
    const piece = content.subarray(at, at + writer.capacityBytes)
    writer.memory.set(piece, writer.base)
    await writer.flush(piece.length)
  }
  await writer.end()
  writer.close()
  expect(ends).toBe(1)
  return concatBytes(written)
}

/** Opens a stored object of a method. */
export async function openWith(
  name: CompressionName,
  stored: Uint8Array,
  pieceBytes = 65_536,
  isAsync = false,
): Promise<Uint8Array> {
  const { source, facts } = openTestSource(stored, pieceBytes, isAsync)
  const reader = await openCodec({ compression: 'none' }).open(source, extensionOf(name))
  try {
    return await drain(reader)
  } finally {
    expect(facts.closed).toBe(1)
  }
}

/** The error of `work`, which must be a coded one. */
export async function failureOf(work: Promise<unknown>): Promise<WalgError> {
  const outcome = await work.then(
    () => undefined,
    error => error,
  )
  if (!(outcome instanceof WalgError)) {
    throw new Error(`a coded error was expected, not ${outcome === undefined ? 'success' : outcome}`)
  }
  return outcome
}

/** Content of several characters: pages as PostgreSQL writes them, text, noise, zeros. */
export function mixedContent(sizeBytes: number, salt = 'mixed'): Uint8Array {
  const random = seededRandom(salt)
  const content = new Uint8Array(sizeBytes)
  const words = Array.from({ length: 200 }, () => random.bytes(2 + random.int(9)))
  const stretchBytes = Math.min(20_000, Math.ceil(sizeBytes / 6))
  for (let at = 0; at < sizeBytes; ) {
    const end = Math.min(sizeBytes, at + 1 + random.int(stretchBytes))
    const kind = random.int(4)
    if (kind === 0) content.set(random.bytes(end - at), at)
    else if (kind !== 1) {
      for (let word = at; word < end; ) {
        const piece = random.pick(words).subarray(0, end - word)
        content.set(piece, word)
        word += piece.length
      }
    }
    at = end
  }
  return content
}

/** Runs every promise of `codec/codec.ts` against one method. */
export function compressionContract(method: CompressionUnderTest): void {
  const seal = method.seal ?? ((content: Uint8Array) => sealWith(method.name, content))
  describe(`compression contract: ${method.name}`, () => {
    describe('round trips', () => roundTrips(method, seal))
    describe('damage', () => damage(method, seal))
    describe('resources', () => resources(method, seal))
    if (method.seal === undefined) describe('writing', () => writing(method))
  })
}

/** A sentence that only some methods promise is no test of the others. */
function whenPromised(
  isPromised: boolean,
): (title: string, body: () => Promise<void>, timeoutMs?: number) => void {
  return isPromised ? test : () => {}
}

type Seal = (content: Uint8Array) => Promise<Uint8Array>

function roundTrips(method: CompressionUnderTest, seal: Seal): void {
  const { name, largeBytes } = method
  test('1 byte, a few bytes and sizes around every limit come back', async () => {
    for (const size of [1, 2, 12, 13, 14, 100, 511, 512, 65_535, 65_536, 65_537, 262_144, 262_145]) {
      const content = mixedContent(size, `size ${size}`)
      expect(await openWith(name, await seal(content))).toEqual(content)
    }
  }, 60_000)

  test('incompressible bytes, zeros and several blocks come back', async () => {
    const random = seededRandom('blocks')
    for (const content of [
      random.bytes(Math.min(largeBytes, 5_000_011)),
      new Uint8Array(largeBytes),
      mixedContent(largeBytes),
    ]) {
      const stored = await seal(content)
      expect(stored.length).toBeLessThanOrEqual(
        content.length + Math.ceil((content.length * (method.growth ?? 1)) / 1000) + 128,
      )
      expect(Buffer.compare(await openWith(name, stored), content)).toBe(0)
    }
  }, 120_000)

  test('it does not matter in which pieces the object arrives', async () => {
    const content = mixedContent(150_000)
    const stored = await seal(content)
    for (const pieceBytes of [1, 2, 7, 13, 97, 4099, 65_537, stored.length]) {
      for (const isAsync of [false, true]) {
        if (pieceBytes === 1 && isAsync) continue
        expect(Buffer.compare(await openWith(name, stored, pieceBytes, isAsync), content)).toBe(0)
      }
    }
  }, 60_000)

  test(`any content comes back, however it is cut (SEED=${seed})`, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.oneof(fc.uint8Array({ maxLength: 300 }), repeated()), { minLength: 1, maxLength: 20 }),
        fc.integer({ min: 1, max: 5_000 }),
        async (pieces, pieceBytes) => {
          const content = concatBytes(pieces)
          if (content.length === 0) return
          expect(Buffer.compare(await openWith(name, await seal(content), pieceBytes), content)).toBe(0)
        },
      ),
      { seed, numRuns: method.seal === undefined ? 60 : 15 },
    )
  }, 60_000)

  whenPromised(method.readsConcatenated)('several frames in one object are one content', async () => {
    const parts = [mixedContent(70_000, 'a'), mixedContent(1, 'b'), mixedContent(300_000, 'c')]
    const stored = concatBytes(await Promise.all(parts.map(seal)))
    for (const pieceBytes of [3, 1000, 1 << 20]) {
      expect(Buffer.compare(await openWith(name, stored, pieceBytes), concatBytes(parts))).toBe(0)
    }
  })
}

function repeated(): fc.Arbitrary<Uint8Array> {
  return fc
    .tuple(fc.uint8Array({ minLength: 1, maxLength: 20 }), fc.integer({ min: 1, max: 500 }))
    .map(([unit, times]) => concatBytes(Array.from({ length: times }, () => unit)))
}

function damage(method: CompressionUnderTest, seal: Seal): void {
  const { name } = method
  test('an object without a byte is an error', async () => {
    expect((await failureOf(openWith(name, new Uint8Array(0)))).code).toBe('FORMAT_TRUNCATED')
  })

  whenPromised(method.noticesCuts)('a cut anywhere in a small object is reported as a cut', async () => {
    const stored = await seal(mixedContent(700))
    for (let size = 0; size < stored.length; size++) {
      const error = await failureOf(openWith(name, stored.subarray(0, size), 1 + (size % 50)))
      expect(`${size}/${stored.length}: ${error.code}`).toBe(`${size}/${stored.length}: FORMAT_TRUNCATED`)
    }
  })

  whenPromised(method.noticesCuts)(
    'a cut of a large object is reported, wherever it falls',
    async () => {
      const stored = await seal(mixedContent(method.largeBytes))
      const random = seededRandom('cuts')
      const cuts = [...Array.from({ length: 40 }, (_, i) => stored.length - 1 - i)]
      for (let i = 0; i < 30; i++) cuts.push(random.int(stored.length))
      for (const size of cuts) {
        const error = await failureOf(openWith(name, stored.subarray(0, size)))
        expect(`${size}: ${error.code}`).toBe(`${size}: FORMAT_TRUNCATED`)
      }
    },
    120_000,
  )

  whenPromised(method.noticesCuts)('bytes behind the end are an error, zeros included', async () => {
    const stored = await seal(mixedContent(50_000))
    const random = seededRandom('junk')
    for (const junkBytes of [1, 2, 3, 4, 5, 8, 40, 5000, 200_000]) {
      for (const junk of [new Uint8Array(junkBytes), random.bytes(junkBytes).map(byte => byte | 0x80)]) {
        const error = await failureOf(openWith(name, concatBytes([stored, junk])))
        expect(['FORMAT_INVALID', 'FORMAT_TRUNCATED', 'CHECKSUM_MISMATCH']).toContain(error.code)
      }
    }
  })

  whenPromised(method.noticesCuts)('what is no such object at all is an error', async () => {
    const random = seededRandom('garbage')
    for (const size of [1, 5, 20, 1000, 100_000]) {
      const error = await failureOf(openWith(name, random.bytes(size)))
      expect(
        hasCode(error, 'FORMAT_INVALID', 'FORMAT_TRUNCATED', 'FORMAT_UNSUPPORTED', 'CHECKSUM_MISMATCH'),
      ).toBe(true)
    }
  })

  whenPromised(method.noticesCuts)(
    'a changed byte gives an error, or at least never more than was decoded',
    async () => {
      // what does not compress is stored as it is: only a checksum tells
      for (const content of [mixedContent(1_500), seededRandom('changed').bytes(500)]) {
        const stored = await seal(content)
        for (let at = 0; at < stored.length; at++) {
          const changed = new Uint8Array(stored)
          changed[at]! ^= 1 << (at % 8)
          const outcome = await openWith(name, changed).catch(error => error)
          if (outcome instanceof WalgError) continue
          if (outcome instanceof Error) throw outcome
          // a header may carry bytes that mean nothing; content must then be right
          if (method.noticesChanges) expect(Buffer.compare(outcome, content)).toBe(0)
        }
      }
    },
    60_000,
  )
}

function resources(method: CompressionUnderTest, seal: Seal): void {
  const { name } = method
  test('closing early closes the source once, gives memory back and may be repeated', async () => {
    const stored = await seal(mixedContent(600_000))
    const memory = createLinearMemory()
    const codec = openCodec({ compression: 'none' }, memory)
    let settledBytes = 0
    for (let round = 0; round < 6; round++) {
      const { source, facts } = openTestSource(stored, 4096)
      const reader = await codec.open(source, extensionOf(name))
      await reader.next()
      await reader.close()
      await reader.close()
      expect(facts.closed).toBe(1)
      if (round === 1) settledBytes = memory.bytes.length
    }
    expect(memory.bytes.length).toBe(settledBytes)
  })

  test('an error of the source reaches the caller as it is', async () => {
    const stored = await seal(mixedContent(600_000))
    const broken = new WalgError('STORAGE_UNAVAILABLE', 'the line is dead')
    for (const isAsync of [false, true]) {
      const { source } = openTestSource(stored, 1000)
      let reads = 0
      const failing: ByteSource = {
        read(into) {
          if (++reads < 20) return source.read(into)
          if (isAsync) return Promise.reject(broken)
          throw broken
        },
        close() {},
      }
      const reader = await openCodec({ compression: 'none' }).open(failing, extensionOf(name))
      expect(await failureOf(drain(reader))).toBe(broken)
    }
  })
}

function writing(method: CompressionUnderTest): void {
  const { name } = method
  test('empty content makes a whole object', async () => {
    const stored = await sealWith(name, new Uint8Array(0))
    if (method.noticesCuts) expect(await openWith(name, stored)).toEqual(new Uint8Array(0))
    else expect(stored.length).toBe(0)
  })

  test('WAL and parts, sinks that answer later, and a memory of the caller make no difference', async () => {
    const content = mixedContent(900_000)
    for (const use of ['wal', 'part'] as const) {
      for (const isAsync of [false, true]) {
        const stored = await sealWith(name, content, { use, isAsync, memory: createLinearMemory() })
        expect(Buffer.compare(await openWith(name, stored), content)).toBe(0)
      }
    }
  })

  test('an error of the sink reaches the caller as it is', async () => {
    const full = new WalgError('DISK_FULL', 'no space')
    for (const isAsync of [false, true]) {
      const sink: ByteSink = {
        write() {
          if (isAsync) return Promise.reject(full)
          throw full
        },
        end() {},
      }
      const write = async (): Promise<void> => {
        const writer = await openCodec({ compression: name }).seal(sink, 'part')
        try {
          const noise = seededRandom('sink').bytes(writer.capacityBytes)
          for (let round = 0; round < 40; round++) {
            writer.memory.set(noise, writer.base)
            await writer.flush(noise.length)
          }
          await writer.end()
        } finally {
          writer.close()
        }
      }
      expect(await failureOf(write())).toBe(full)
    }
  }, 60_000)

  test('closing a writer early, or twice, gives its memory back', async () => {
    const memory = createLinearMemory()
    const codec = openCodec({ compression: name }, memory)
    let settledBytes = 0
    for (let round = 0; round < 6; round++) {
      const writer = await codec.seal({ write() {}, end() {} }, 'part')
      await writer.flush(Math.min(1000, writer.capacityBytes))
      writer.close()
      writer.close()
      if (round === 1) settledBytes = memory.bytes.length
    }
    expect(memory.bytes.length).toBe(settledBytes)
  })

  test('the stream forms seal and open, and stopping early closes the source', async () => {
    const codec = openCodec({ compression: name })
    const content = mixedContent(5 << 20)
    let isClosed = false
    async function* source(): AsyncGenerator<Uint8Array> {
      try {
        for (let at = 0; at < content.length; at += 99_991) yield content.subarray(at, at + 99_991)
      } finally {
        isClosed = true
      }
    }
    const opened: Uint8Array[] = []
    for await (const bytes of codec.openStream(codec.extension)(codec.sealStream('part')(source()))) {
      opened.push(new Uint8Array(bytes))
    }
    expect(Buffer.compare(concatBytes(opened), content)).toBe(0)
    expect(isClosed).toBe(true)
    isClosed = false
    for await (const _ of codec.sealStream('part')(source())) break
    expect(isClosed).toBe(true)
  }, 60_000)
}
