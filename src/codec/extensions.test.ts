import { expect, test } from 'bun:test'
import {
  compressionByExtension,
  EXTENSIONS_BY_LOOKUP_ORDER,
  extensionOf,
  splitExtension,
} from './extensions.ts'

test('a payload is looked for in the order of the original, the bare name last', () => {
  const suffixes = EXTENSIONS_BY_LOOKUP_ORDER.map(lookup => lookup.suffix)
  expect(suffixes).toEqual(['.lz4', '.lzma', '.gz', '.', '.br', '.lzo', '.zst', ''])
})

test('every extension names its compression, and a foreign one names none', () => {
  expect(['lz4', 'lzma', 'gz', '', 'br', 'lzo', 'zst'].map(compressionByExtension)).toEqual([
    'lz4',
    'lzma',
    'gzip',
    'none',
    'brotli',
    'lzo',
    'zstd',
  ])
  expect(compressionByExtension('xz')).toBeUndefined()
  expect(extensionOf('brotli')).toBe('br')
  expect(extensionOf('none')).toBe('')
})

test('a stored name is split at a known extension only, the dangling dot included', () => {
  expect(splitExtension('part_001.tar.lz4')).toEqual({ name: 'part_001.tar', extension: 'lz4' })
  expect(splitExtension('part_001.tar.')).toEqual({ name: 'part_001.tar', extension: '' })
  expect(splitExtension('part_001.tar')).toEqual({ name: 'part_001.tar', extension: undefined })
  expect(splitExtension('00000002.history.br')).toEqual({ name: '00000002.history', extension: 'br' })
  expect(splitExtension('a.lz4/b')).toEqual({ name: 'a.lz4/b', extension: undefined })
})
