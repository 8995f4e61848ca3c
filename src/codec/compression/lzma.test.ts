import { expect, test } from 'bun:test'
import { collect, concatBytes, streamOf } from '../../kit/bytes.ts'
import { openCodec } from '../open-codec.ts'

const codec = openCodec({ compression: 'lzma' })
const CONTENT = new TextEncoder().encode('Known sizes, end marks, or both. '.repeat(40))

async function open(stored: Uint8Array, pieceBytes: number = stored.length): Promise<string> {
  const pieces: Uint8Array[] = []
  for (let at = 0; at < stored.length; at += pieceBytes) pieces.push(stored.subarray(at, at + pieceBytes))
  return Buffer.from(await collect(codec.openStream('lzma')(streamOf(...pieces)), 1 << 20)).toString()
}

const codeOf = (stored: Uint8Array): Promise<string> =>
  open(stored).then(
    () => 'ok',
    error => error.code,
  )

/** A range encoder that knows literals only: enough for a stream without an end mark, which liblzma never writes. */
function encodeLiterals(content: Uint8Array): Uint8Array {
  const bytes: number[] = []
  const probabilities = new Map<number, number>()
  let low = 0n
  let range = 0xffff_ffffn
  const shift = (): void => {
    bytes.push(Number(low >> 24n) & 0x1ff) // a carry shows in the ninth bit
    low = (low & 0xff_ffffn) << 8n
  }
  const encodeBit = (at: number, bit: number): void => {
    const probability = probabilities.get(at) ?? 1024
    const bound = (range >> 11n) * BigInt(probability)
    if (bit === 0) range = bound
    else {
      low += bound
      range -= bound
    }
    const delta = bit === 0 ? (2048 - probability) >> 5 : -(probability >> 5)
    probabilities.set(at, probability + delta)
    while (range < 0x100_0000n) {
      range <<= 8n
      shift()
    }
  }
  let previous = 0
  for (const [i, byte] of content.entries()) {
    encodeBit(i & 3, 0)
    let symbol = 1
    for (let shiftBits = 7; shiftBits >= 0; shiftBits--) {
      const bit = (byte >> shiftBits) & 1
      encodeBit(1000 + (previous >> 5) * 0x300 + symbol, bit)
      symbol = (symbol << 1) | bit
    }
    previous = byte
  }
  for (let i = 0; i < 5; i++) shift()
  for (let at = bytes.length - 1; at > 0; at--) {
    bytes[at - 1]! += bytes[at]! >> 8
    bytes[at]! &= 0xff
  }
  return Uint8Array.from([0, ...bytes.slice(0, -1)])
}

function header(sizeBytes: bigint, dictionaryBytes = 1 << 16): Uint8Array {
  const bytes = Buffer.from('5d0000010000000000000000 00'.replace(' ', ''), 'hex')
  bytes.writeUInt32LE(dictionaryBytes, 1)
  bytes.writeBigUInt64LE(sizeBytes, 5)
  return bytes
}

test('a known size without an end mark is read; anything behind or less than it is damage', async () => {
  const stored = concatBytes([header(BigInt(CONTENT.length)), encodeLiterals(CONTENT)])
  const text = new TextDecoder().decode(CONTENT)
  for (const pieceBytes of [1, 17, 4096]) expect(await open(stored, pieceBytes)).toBe(text)
  for (const cutBytes of [1, 2, 3, 4, 5, 10, 100]) {
    expect(await codeOf(stored.subarray(0, stored.length - cutBytes))).toBe('FORMAT_TRUNCATED')
  }
  for (const junk of [[0], [1, 2, 3], Array.from({ length: 100 }, (_, i) => i)]) {
    expect(await codeOf(concatBytes([stored, Uint8Array.from(junk)]))).toBe('FORMAT_INVALID')
  }
})

test('a known size with an end mark is read, and a wrong one is damage', async () => {
  const marked = await collect(codec.sealStream('part')(streamOf(CONTENT)), 1 << 20)
  const withSize = (size: bigint): Uint8Array =>
    concatBytes([marked.subarray(0, 5), header(size).subarray(5), marked.subarray(13)])
  expect(await open(withSize(BigInt(CONTENT.length)))).toBe(new TextDecoder().decode(CONTENT))
  expect(await codeOf(withSize(BigInt(CONTENT.length) + 1n))).toBe('FORMAT_INVALID')
  expect(await codeOf(withSize(BigInt(CONTENT.length) - 1n))).not.toBe('ok')
})

test('a dictionary of 4 GiB in the header costs nothing until data reaches that far', async () => {
  const marked = await collect(codec.sealStream('part')(streamOf(CONTENT)), 1 << 20)
  const wide = marked.slice()
  wide.fill(0xff, 1, 5)
  expect(await open(wide)).toBe(new TextDecoder().decode(CONTENT))
})
