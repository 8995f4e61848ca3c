import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { createLinearMemory } from '../kit/linear-memory.ts'
import { CRC32C_BEGIN, crc32c, endCrc32c, updateCrc32c } from './crc32c.ts'
import { openCrc32c } from './crc32c-engine.ts'

const seed = Number(process.env['SEED'] ?? 20261122)

test('has the check values of the standard', () => {
  expect(crc32c(new TextEncoder().encode('123456789'))).toBe(0xe3069283)
  expect(crc32c(new Uint8Array(0))).toBe(0)
  expect(crc32c(new Uint8Array(32))).toBe(0x8a9136aa)
  expect(crc32c(new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43)
})

test(`is the same over one piece and over many (SEED=${seed})`, () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(300), fc.nat(300), (bytes, first, second) => {
      const [low, high] = [Math.min(first, second), Math.max(first, second)].map(at =>
        Math.min(at, bytes.length),
      )
      let crc = updateCrc32c(CRC32C_BEGIN, bytes, 0, low)
      crc = updateCrc32c(crc, bytes, low, high)
      crc = updateCrc32c(crc, bytes.subarray(high))
      expect(endCrc32c(crc)).toBe(crc32c(bytes))
    }),
    { seed, numRuns: 300 },
  )
})

test(`is the same in WebAssembly, inside the linear memory and outside of it (SEED=${seed})`, () => {
  const memory = createLinearMemory()
  const at = memory.allocate(200_000)
  const engine = openCrc32c(memory)
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 300 }),
      fc.constantFrom(1, 3, 500),
      fc.nat(20),
      (piece, times, skip) => {
        const bytes = new Uint8Array(piece.length * times)
        for (let turn = 0; turn < times; turn++) bytes.set(piece, turn * piece.length)
        const expected = updateCrc32c(CRC32C_BEGIN, bytes)
        expect(engine.update(CRC32C_BEGIN, bytes)).toBe(expected)
        memory.bytes.set(bytes, at + skip)
        expect(engine.update(CRC32C_BEGIN, memory.bytes.subarray(at + skip, at + skip + bytes.length))).toBe(
          expected,
        )
      },
    ),
    { seed, numRuns: 200 },
  )
})
