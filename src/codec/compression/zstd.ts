import zlib from 'node:zlib'
import type { Awaitable, ByteSink, ByteSource } from '../../kit/bytes.ts'
import type { LinearMemory } from '../../kit/linear-memory.ts'
import type { BlockReader, BlockWriter, Compression, CompressionOptions, ZstdLevelName } from '../codec.ts'
import { openZlibReader, openZlibWriter, type ZlibFormat } from './zlib-blocks.ts'
import { openZlibEngine } from './zlib-engine.ts'
import { followFrames } from './zstd-frames.ts'

const C = zlib.constants

/** `default` is the fastest that stores no more than the original does (docs/decisions/zstd-default-level.md). */
const LEVELS: Readonly<Record<ZstdLevelName, number>> = { fastest: 1, default: 3, better: 7, best: 19 }
/** The library's tables for that level and a small input: faster, and many small files come out smaller. */
const DEFAULT_TABLES = { [C.ZSTD_c_hashLog]: 17, [C.ZSTD_c_chainLog]: 15 }
/** The original's own window. Copies of one catalogue in several databases lie that far apart. */
const PART_WINDOW_LOG = 23
/** A WAL segment gains nothing from more, and its process is to stay small. */
const WAL_WINDOW_LOG = 21
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
  const params = compressionParameters(LEVELS[options.zstdLevel ?? 'default'], isWal)
  return openZlibWriter(
    openZlibEngine(() => zlib.createZstdCompress({ params })),
    sink,
    memory,
    {
      blockBytes: isWal ? 256 << 10 : 1 << 20,
      outputBytes: isWal ? 64 << 10 : 256 << 10,
      endOperation: C.ZSTD_e_end,
    },
  )
}

function compressionParameters(level: number, isWal: boolean): Record<number, number> {
  const windowLog = isWal ? WAL_WINDOW_LOG : PART_WINDOW_LOG
  const params = {
    [C.ZSTD_c_compressionLevel]: level,
    [C.ZSTD_c_checksumFlag]: 1,
    [C.ZSTD_c_windowLog]: windowLog,
  }
  return level === LEVELS.default ? { ...params, ...DEFAULT_TABLES } : params
}

function openZstdReader(source: ByteSource, memory: LinearMemory): Awaitable<BlockReader> {
  const params = { [C.ZSTD_d_windowLogMax]: READ_WINDOW_LOG_MAX }
  const engine = openZlibEngine(() => zlib.createZstdDecompress({ params }))
  return openZlibReader(engine, followFrames(source), memory, FORMAT)
}
