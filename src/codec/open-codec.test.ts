import { expect, test } from 'bun:test'
import { collect, streamOf } from '../kit/bytes.ts'
import { hasCode } from '../kit/errors.ts'
import { createLinearMemory } from '../kit/linear-memory.ts'
import { openCodec } from './open-codec.ts'

const content = new TextEncoder().encode('what goes in comes out '.repeat(5_000))
const source = { read: () => 0, close() {} }
const sink = { write() {}, end() {} }

test('a codec writes its own method and opens all of them', async () => {
  const lz4 = openCodec({ compression: 'lz4' })
  for (const compression of ['lz4', 'zstd', 'brotli', 'lzma', 'none'] as const) {
    const codec = openCodec({ compression })
    const sealed = await collect(codec.sealStream('part')(streamOf(content)), 1 << 20)
    expect(await collect(lz4.openStream(codec.extension)(streamOf(sealed)), 1 << 20)).toEqual(content)
  }
})

test('an unknown extension is FORMAT_UNSUPPORTED, before a byte is read', () => {
  const codec = openCodec({ compression: 'lz4' })
  expect(() => codec.open(source, 'xz')).toThrow('"xz"')
  expect(() => codec.openStream('txt')).toThrow('"txt"')
})

test('methods that are only read refuse to seal', () => {
  for (const compression of ['gzip', 'lzo'] as const) {
    let failure: unknown
    try {
      openCodec({ compression }).seal(sink, 'part')
    } catch (error) {
      failure = error
    }
    expect(hasCode(failure, 'FORMAT_UNSUPPORTED')).toBe(true)
  }
})

test('lz4 and none work without a turn of the event loop on synchronous ends', () => {
  for (const compression of ['lz4', 'none'] as const) {
    const codec = openCodec({ compression })
    const written: Uint8Array[] = []
    const writer = codec.seal({ write: bytes => void written.push(bytes.slice()), end() {} }, 'wal')
    if (writer instanceof Promise) throw new Error('seal waited')
    writer.memory.set(content, writer.base)
    expect(writer.flush(content.length)).toBeUndefined()
    expect(writer.end()).toBeUndefined()
    const stored = Buffer.concat(written)
    let at = 0
    const reader = codec.open(
      {
        read(into) {
          const count = stored.copy(into, 0, at, at + into.length)
          at += count
          return count
        },
        close() {},
      },
      codec.extension,
    )
    if (reader instanceof Promise) throw new Error('open waited')
    const block = reader.next()
    if (block instanceof Promise || block === null) throw new Error('next waited')
    expect(Buffer.compare(block, content)).toBe(0)
  }
})

test('blocks lie in the memory that the codec was opened on', async () => {
  const memory = createLinearMemory()
  for (const compression of ['lz4', 'zstd', 'brotli', 'lzma', 'none'] as const) {
    const writer = await openCodec({ compression }, memory).seal(sink, 'part')
    expect(writer.memory).toBe(memory.bytes)
    writer.close()
  }
})
