import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { CRC32C_BEGIN, crc32c, endCrc32c, updateCrc32c } from './crc32c.ts'

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
