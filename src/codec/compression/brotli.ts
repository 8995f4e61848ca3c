import zlib from 'node:zlib'
import type { LinearMemory } from '../../kit/linear-memory.ts'
import type { Compression, CompressionOptions } from '../codec.ts'
import { openZlibReader, openZlibWriter, takesNoMore, type ZlibFormat } from './zlib-blocks.ts'
import { openZlibEngine } from './zlib-engine.ts'

const { BROTLI_OPERATION_FINISH, BROTLI_PARAM_LGWIN, BROTLI_PARAM_QUALITY } = zlib.constants
const FORMAT: ZlibFormat = { name: 'brotli', isWhole: takesNoMore }

/** One brotli stream per object, as the original writes it: quality 3, window 2^22, no large window (storage-format 5). */
export function openBrotli(memory: () => LinearMemory): Compression {
  const params = { [BROTLI_PARAM_QUALITY]: 3, [BROTLI_PARAM_LGWIN]: 22 }
  return {
    name: 'brotli',
    extension: 'br',
    openWriter: (sink, options: CompressionOptions) =>
      openZlibWriter(() => openZlibEngine(() => zlib.createBrotliCompress({ params })), sink, memory(), {
        blockBytes: options.use === 'wal' ? 256 << 10 : 1 << 20,
        outputBytes: options.use === 'wal' ? 64 << 10 : 256 << 10,
        endOperation: BROTLI_OPERATION_FINISH,
      }),
    openReader: source =>
      openZlibReader(
        openZlibEngine(() => zlib.createBrotliDecompress()),
        source,
        memory(),
        FORMAT,
      ),
  }
}
