import { expect, test } from 'bun:test'
import * as fc from 'fast-check'
import { seed } from '../../../test/support/seeded-random.ts'
import { createLinearMemory } from '../../kit/linear-memory.ts'
import { openLz4Module, TABLE_BYTES } from './lz4-module.ts'

const CONTENT_BYTES_MAX = 4096
/** What copies in steps may touch behind an area. */
const SLACK_BYTES = 64
const UNTOUCHED = 0xaa

const memory = createLinearMemory()
const lz4 = openLz4Module(memory)
const place = (sizeBytes: number): number => memory.allocate(sizeBytes + 2 * SLACK_BYTES) + SLACK_BYTES
const content = place(CONTENT_BYTES_MAX)
const block = place(CONTENT_BYTES_MAX * 2)
const target = place(CONTENT_BYTES_MAX * 2)
const table = memory.allocate(TABLE_BYTES)

/** Pieces that come again, as pages have them. */
const contents = fc
  .array(
    fc.oneof(fc.uint8Array({ maxLength: 40 }), fc.constantFrom(...['page', 'tuple ', '\0\0\0\0\0\0\0\0'])),
    {
      maxLength: 100,
    },
  )
  .map(pieces => Buffer.concat(pieces.map(piece => Buffer.from(piece))).subarray(0, CONTENT_BYTES_MAX))

function compress(bytes: Uint8Array): Uint8Array {
  memory.bytes.set(bytes, content)
  const size = lz4.compressBlock(content, bytes.length, block, CONTENT_BYTES_MAX * 2, table)
  return memory.bytes.slice(block, block + size)
}

/** -1, or the content; and whether bytes were written where nothing belongs. */
function decompress(
  stored: Uint8Array,
  capacity: number,
): { content: Uint8Array | undefined; isInside: boolean } {
  memory.bytes.fill(UNTOUCHED, target - SLACK_BYTES, target + CONTENT_BYTES_MAX * 2 + SLACK_BYTES)
  memory.bytes.set(stored, block)
  const size = lz4.decompressBlock(block, stored.length, target, capacity, 0)
  const before = memory.bytes.subarray(target - SLACK_BYTES, target)
  const behind = memory.bytes.subarray(target + capacity + SLACK_BYTES, target + CONTENT_BYTES_MAX * 2)
  return {
    content: size < 0 ? undefined : memory.bytes.slice(target, target + size),
    isInside: [before, behind].every(bytes => bytes.every(byte => byte === UNTOUCHED)),
  }
}

test('a block gives back its content, into exactly as much room as that takes', () => {
  fc.assert(
    fc.property(contents, bytes => {
      const stored = compress(bytes)
      expect(decompress(stored, bytes.length)).toEqual({ content: new Uint8Array(bytes), isInside: true })
      if (bytes.length > 0) expect(decompress(stored, bytes.length - 1).content).toBeUndefined()
    }),
    { seed, numRuns: 500 },
  )
})

test('whatever a damaged block says, nothing is written outside of its room', () => {
  const damages = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 })
  fc.assert(
    fc.property(contents, damages, fc.nat(CONTENT_BYTES_MAX), fc.nat(), (bytes, damage, capacity, cut) => {
      const stored = compress(bytes)
      for (const [at, value] of damage) if (stored.length > 0) stored[at % stored.length] = value
      const { content: opened, isInside } = decompress(stored.subarray(cut % 2 === 0 ? 0 : cut % 7), capacity)
      expect(isInside).toBe(true)
      expect(opened?.length ?? 0).toBeLessThanOrEqual(capacity)
    }),
    { seed, numRuns: 3000 },
  )
})
