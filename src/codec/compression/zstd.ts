import zlib from 'node:zlib'
import type { Awaitable, ByteSink, ByteSource } from '../../kit/bytes.ts'
import type { LinearMemory } from '../../kit/linear-memory.ts'
import type { BlockReader, BlockWriter, Compression, CompressionOptions } from '../codec.ts'
import { openZlibReader, openZlibWriter, type ZlibFormat } from './zlib-blocks.ts'
import { openZlibEngine, type ZlibEngine } from './zlib-engine.ts'
import { followFrames } from './zstd-frames.ts'
import { zstdParameters } from './zstd-parameters.ts'

const C = zlib.constants

/** What the library allows at most: any window that a header can ask for below 2 GiB and that exactly. */
const READ_WINDOW_LOG_MAX = 31

/** The source is followed frame by frame: when it ends without an error, everything is whole. */
const FORMAT: ZlibFormat = {
  name: 'zstd',
  // biome-ignore lint/correctness/useYield: nothing to wait for
  *isWhole() {
    return true
  },
}

/** Zstandard (storage-format 5): one frame with content checksum per object; any number of frames is read. */
export function openZstd(memory: () => LinearMemory): Compression {
  return {
    name: 'zstd',
    extension: 'zst',
    openWriter: (sink, options) => openZstdWriter(sink, memory(), options),
    openReader: source => openZstdReader(source, memory()),
  }
}

function openZstdWriter(sink: ByteSink, memory: LinearMemory, options: CompressionOptions): BlockWriter {
  const isWal = options.use === 'wal'
  const openEngine = (beginning: Uint8Array): ZlibEngine => {
    const params = zstdParameters(options, beginning)
    return openZlibEngine(() => zlib.createZstdCompress({ params }))
  }
  return openZlibWriter(openEngine, sink, memory, {
    blockBytes: isWal ? 256 << 10 : 1 << 20,
    outputBytes: isWal ? 64 << 10 : 256 << 10,
    endOperation: C.ZSTD_e_end,
  })
}

function openZstdReader(source: ByteSource, memory: LinearMemory): Awaitable<BlockReader> {
  const params = { [C.ZSTD_d_windowLogMax]: READ_WINDOW_LOG_MAX }
  const engine = openZlibEngine(() => zlib.createZstdDecompress({ params }))
  return openZlibReader(engine, followFrames(source), memory, FORMAT)
}
