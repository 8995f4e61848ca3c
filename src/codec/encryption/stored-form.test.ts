import { expect, test } from 'bun:test'
import { formOfHead, looksPlain } from './stored-form.ts'

function bytes(...parts: (string | number[])[]): Uint8Array {
  return Buffer.concat(
    parts.map(part => (typeof part === 'string' ? Buffer.from(part) : Uint8Array.from(part))),
  )
}

test('every form with a mark of its own is told by its beginning', () => {
  expect(formOfHead(bytes('yckms', [1, 0, 0, 0, 0]))).toBe('yckms')
  expect(formOfHead(bytes('envelope-yc-kms', [1]))).toBe('envelope-openpgp')
  expect(formOfHead(bytes(Array(184).fill(7), [0x20, 0]))).toBe('awskms')
  const newFormat = [0xc1, 0x5e, 3, 1, 2, 3, 4, 5, 6, 7, 8, 18]
  const oldFormat = [0x85, 0x01, 0x0c, 3, 1, 2, 3, 4, 5, 6, 7, 8, 1]
  for (const head of [newFormat, oldFormat]) expect(formOfHead(bytes(head))).toBe('openpgp')
  expect(formOfHead(bytes([0xc1, 0x5e, 3, 1, 2, 3, 4, 5, 6, 7, 8, 99]))).toBeUndefined()
  expect(formOfHead(bytes([]))).toBeUndefined()
})

test('an object without encryption is told by the mark of its compression, tar, WAL or text', () => {
  expect(looksPlain(bytes([0x04, 0x22, 0x4d, 0x18]), 'lz4')).toBe(true)
  expect(looksPlain(bytes([0x28, 0xb5, 0x2f, 0xfd]), 'zst')).toBe(true)
  expect(looksPlain(bytes([0x50, 0x2a, 0x4d, 0x18]), 'zst')).toBe(true)
  expect(looksPlain(bytes(Array(257).fill(0), 'ustar'), '')).toBe(true)
  expect(looksPlain(bytes('1\t0/5000000\tno reason\n'), '')).toBe(true)
  const noise = Array.from({ length: 600 }, (_, index) => (index * 151 + 200) & 0xff)
  for (const extension of ['lz4', 'zst', 'lzma', 'gz', ''])
    expect(looksPlain(bytes(noise), extension)).toBe(false)
})
