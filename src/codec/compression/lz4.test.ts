import { expect, test } from 'bun:test'
import { collect, streamOf } from '../../kit/bytes.ts'
import { openCodec } from '../open-codec.ts'

const codec = openCodec({ compression: 'lz4' })
const seal = async (content: Uint8Array): Promise<string> =>
  Buffer.from(await collect(codec.sealStream('part')(streamOf(content)), 1 << 24)).toString('hex')
const open = async (hex: string): Promise<string> => {
  const opened = await collect(codec.openStream('lz4')(streamOf(Buffer.from(hex, 'hex'))), 1 << 24)
  return Buffer.from(opened).toString('latin1')
}
const codeOf = (hex: string): Promise<string> =>
  open(hex).then(
    () => 'ok',
    error => error.code,
  )

test('empty content gives the 15 bytes of the original', async () => {
  expect(await seal(new Uint8Array(0))).toBe('04224d186470b900000000055dcc02')
})

test('the header is the one of the original: 4 MiB blocks, independent, content checksum, no size', async () => {
  expect((await seal(new Uint8Array(100_000))).slice(0, 14)).toBe('04224d186470b9')
})

test('what does not compress is stored, with 4 bytes per block', async () => {
  const noise = crypto.getRandomValues(new Uint8Array(65_536))
  expect((await seal(noise)).length / 2).toBe(noise.length + 7 + 4 + 4 + 4)
})

test('blocks and content are the same whatever was compressed before', async () => {
  const content = new TextEncoder().encode('deterministic '.repeat(10_000))
  const first = await seal(content)
  await seal(crypto.getRandomValues(new Uint8Array(60_000)))
  expect(await seal(content)).toBe(first)
})

const HEADER = '04224d186040' // version 1, independent, no checksum; 64 KiB
const FRAME = `${HEADER}82`
const A = '01000080' // a stored block of one byte

test('a frame without content checksum needs its end mark only', async () => {
  expect(await open(`${FRAME}${A}61${A}6200000000`)).toBe('ab')
  expect(await codeOf(`${FRAME}${A}61${A}62`)).toBe('FORMAT_TRUNCATED')
})

test('a damaged header, a reserved bit, a dictionary and another version are refused', async () => {
  expect(await codeOf(`${HEADER}8300000000`)).toBe('CHECKSUM_MISMATCH')
  expect(await codeOf('04224d1861400000000000000000')).toBe('FORMAT_UNSUPPORTED')
  expect(await codeOf('04224d18a0400000000000000000')).toBe('FORMAT_UNSUPPORTED')
})

test('a block larger than its frame allows is refused before it is read', async () => {
  expect(await codeOf(`${FRAME}01000100`)).toBe('FORMAT_INVALID')
})

test('only skippable frames are no object: the content was cut away', async () => {
  expect(await codeOf('502a4d1803000000616263')).toBe('FORMAT_TRUNCATED')
  expect(await open(`502a4d1803000000616263${FRAME}${A}6100000000`)).toBe('a')
})

test('whole blocks are passed over on demand, never the last one; what follows is the same', async () => {
  const content = new Uint8Array(14 << 20).map((_, at) => (at >> 16) * 7 + (at & 63))
  const stored = await collect(codec.sealStream('part')(streamOf(content)), 1 << 24)
  let at = 0
  const source = {
    read(into: Uint8Array): number {
      const piece = stored.subarray(at, at + into.length)
      into.set(piece)
      at += piece.length
      return piece.length
    },
    close(): void {},
  }
  const reader = await codec.open(source, 'lz4')
  const taken: Uint8Array[] = [new Uint8Array((await reader.next())!)]
  expect(taken[0]!.length).toBe(4 << 20)
  expect(await reader.skip!((4 << 20) - 1)).toBe(0)
  expect(await reader.skip!(9 << 20)).toBe(8 << 20)
  expect(await reader.skip!(100 << 20)).toBe(0)
  const rest = (await reader.next())!
  expect(Buffer.compare(rest, content.subarray(12 << 20))).toBe(0)
  expect(await reader.next()).toBeNull()
  await reader.close()
})
