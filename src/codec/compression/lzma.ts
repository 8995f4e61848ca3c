import type { LinearMemory } from '../../kit/linear-memory.ts'
import type { Compression } from '../codec.ts'
import { openLzmaReader } from './lzma-reader.ts'

/** `.lzma` (the "alone" form, not `.xz`; storage-format 5): read by an own decoder, written by liblzma, loaded on first use. */
export function openLzma(memory: () => LinearMemory): Compression {
  return {
    name: 'lzma',
    extension: 'lzma',
    openWriter: async (sink, options) =>
      (await import('./lzma-writer.ts')).openLzmaWriter(sink, memory(), options),
    openReader: source => openLzmaReader(source, memory()),
  }
}
