// How fast the codec and the content hash are on one thread: `npx bun bench/codec.ts [FILE…]`. Without files,
// data is made: rows as pgbench has them, text, random rows, noise. Prints MB per second (10^6) of content; every
// figure is the best of three passes, so that compilation and neighbours do not count.
import { readFileSync } from 'node:fs'
import path from 'node:path'
import type { CompressionName, ZstdLevelName } from '../src/codec/codec.ts'
import { extensionOf } from '../src/codec/extensions.ts'
import { openCodec } from '../src/codec/open-codec.ts'
import { openHasher } from '../src/kit/hash.ts'
import { createLinearMemory } from '../src/kit/linear-memory.ts'
import { seededRandom } from '../test/support/seeded-random.ts'

const PASSES = 3
const METHODS: readonly { name: CompressionName; level?: ZstdLevelName; contentBytesMax?: number }[] = [
  { name: 'none' },
  { name: 'lz4' },
  { name: 'zstd', level: 'fastest' },
  { name: 'zstd' },
  { name: 'zstd', level: 'better' },
  { name: 'zstd', level: 'best', contentBytesMax: 4 << 20 },
  { name: 'brotli' },
  { name: 'lzma', contentBytesMax: 4 << 20 },
]

interface DataSet {
  readonly name: string
  readonly content: Uint8Array
}

const megabytesPerSecond = (bytes: number, ms: number): string => (bytes / ms / 1000).toFixed(0)

async function measure(method: (typeof METHODS)[number], data: DataSet): Promise<string[]> {
  const content = data.content.subarray(0, method.contentBytesMax ?? data.content.length)
  const codec = openCodec({
    compression: method.name,
    ...(method.level === undefined ? {} : { zstdLevel: method.level }),
  })
  const room = new Uint8Array(content.length + (content.length >> 5) + 65_536)
  let stored = room
  let sealMs = Number.POSITIVE_INFINITY
  let openMs = Number.POSITIVE_INFINITY
  for (let pass = 0; pass < PASSES; pass++) {
    let storedBytes = 0
    const sink = {
      write(bytes: Uint8Array): void {
        room.set(bytes, storedBytes)
        storedBytes += bytes.length
      },
      end(): void {},
    }
    const writer = await codec.seal(sink, 'part')
    let begin = performance.now()
    for (let at = 0; at < content.length; at += writer.capacityBytes) {
      const block = content.subarray(at, at + writer.capacityBytes)
      writer.memory.set(block, writer.base)
      const flushed = writer.flush(block.length)
      if (flushed instanceof Promise) await flushed
    }
    await writer.end()
    sealMs = Math.min(sealMs, performance.now() - begin)
    stored = room.subarray(0, storedBytes)
    let at = 0
    begin = performance.now()
    const reader = await codec.open(
      {
        read(into) {
          const piece = stored.subarray(at, at + into.length)
          into.set(piece)
          at += piece.length
          return piece.length
        },
        close() {},
      },
      extensionOf(method.name),
    )
    let opened = 0
    for (;;) {
      const pending = reader.next()
      const block = pending instanceof Promise ? await pending : pending
      if (block === null) break
      opened += block.length
    }
    await reader.close()
    openMs = Math.min(openMs, performance.now() - begin)
    if (opened !== content.length) throw new Error(`${method.name}: ${opened} bytes came back`)
  }
  const name = method.level === undefined ? method.name : `${method.name} ${method.level}`
  const ratio = ((stored.length / content.length) * 100).toFixed(2)
  return [
    data.name,
    name,
    String(stored.length),
    `${ratio} %`,
    megabytesPerSecond(content.length, sealMs),
    megabytesPerSecond(content.length, openMs),
  ]
}

function measureHash(spanBytes: number): string[] {
  const memory = createLinearMemory()
  const hasher = openHasher(memory)
  const at = memory.allocate(spanBytes)
  const inside = memory.bytes.subarray(at, at + spanBytes)
  const outside = new Uint8Array(spanBytes)
  const rounds = Math.ceil((1 << 30) / spanBytes)
  const speeds = [inside, outside].map(bytes => {
    let bestMs = Number.POSITIVE_INFINITY
    for (let pass = 0; pass < PASSES; pass++) {
      const begin = performance.now()
      for (let i = 0; i < rounds; i++) hasher.update(bytes)
      bestMs = Math.min(bestMs, performance.now() - begin)
    }
    return megabytesPerSecond(rounds * spanBytes, bestMs)
  })
  return [`xxh3-128, spans of ${spanBytes} bytes`, ...speeds]
}

/** Rows in pages: `rowOf` fills tuples of 128 bytes behind a small header. */
function pages(sizeBytes: number, rowOf: (row: number) => Uint8Array): Uint8Array {
  const content = Buffer.alloc(sizeBytes)
  let row = 0
  for (let page = 0; page + 8192 <= sizeBytes; page += 8192) {
    content.writeUInt32LE(page, page + 4)
    for (let at = page + 8192 - 128; at >= page + 512; at -= 128) {
      content.writeUInt32LE(row, at + 8)
      content.set(rowOf(row++), at + 24)
    }
  }
  return content
}

function madeData(): DataSet[] {
  const sizeBytes = 32 << 20
  const random = seededRandom('bench codec')
  const words = Array.from({ length: 5_000 }, () =>
    Buffer.from(random.bytes(2 + random.int(8)).map(byte => 97 + (byte % 26))),
  )
  const spaces = Buffer.alloc(84, ' ')
  const sentence = (): Uint8Array =>
    Buffer.concat(Array.from({ length: 16 }, () => random.pick(words))).subarray(0, 100)
  return [
    {
      name: 'rows like pgbench',
      content: pages(sizeBytes, row => Buffer.concat([Buffer.of(row, row >> 8), spaces])),
    },
    { name: 'rows of words', content: pages(sizeBytes, sentence) },
    { name: 'rows of noise', content: pages(sizeBytes, () => random.bytes(64)) },
    { name: 'noise', content: random.bytes(sizeBytes) },
  ]
}

function printTable(head: readonly string[], rows: readonly (readonly string[])[]): void {
  console.log(`| ${head.join(' | ')} |`)
  console.log(`|${head.map(() => '---').join('|')}|`)
  for (const row of rows) console.log(`| ${row.join(' | ')} |`)
  console.log('')
}

const files = process.argv.slice(2)
const sets =
  files.length === 0
    ? madeData()
    : files.map(file => ({ name: path.basename(file), content: new Uint8Array(readFileSync(file)) }))
const rows: string[][] = []
for (const data of sets) for (const method of METHODS) rows.push(await measure(method, data))
printTable(['data', 'method', 'stored bytes', 'of content', 'seal MB/s', 'open MB/s'], rows)
printTable(
  ['hash', 'in the linear memory, MB/s', 'outside, MB/s'],
  [100, 8192, 1 << 20, 4 << 20].map(measureHash),
)
