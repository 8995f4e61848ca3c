import type { Awaitable, ByteSink, ByteSource, ByteTransform } from '../kit/bytes.ts'
import type { BlockCompressor, BlockCrew } from './block-crew.ts'
import type { EncryptionDescription } from './encryption/description.ts'

export type CompressionName = 'lz4' | 'zstd' | 'brotli' | 'lzma' | 'none' | 'gzip' | 'lzo'
export type ZstdLevelName = 'fastest' | 'default' | 'better' | 'best'

/**
 * The input side of a compressor in the hot row: the caller writes its bytes straight into
 * `memory[base … base+capacityBytes)` and calls `flush(count)` when the block is full. `memory` may be WASM
 * linear memory; read the property again after every flush (it never moves while a block is being filled).
 */
export interface BlockWriter {
  readonly memory: Uint8Array
  readonly base: number
  readonly capacityBytes: number
  /** Compresses and hands on the first `count` bytes of the block. Every block but the last must be full. */
  flush(count: number): Awaitable<void>
  /** Ends the frame (after at most one short block) and the sink behind it. Exactly one frame per object. */
  end(): Awaitable<void>
  /** Frees memory without ending anything; idempotent. */
  close(): void
}

/** The output side of a decompressor in the hot row. */
export interface BlockReader {
  /** The next decompressed bytes, lent until the next call; null at the verified end of the object. */
  next(): Awaitable<Uint8Array | null>
  /**
   * Passes over up to `bytesMax` of the decompressed bytes that come next without making them; returns how many, which may
   * be 0. Only for objects whose stored bytes are verified otherwise and that `seal` has made: their own checksum is
   * not compared any more, and every block of them but the last is full. Absent: everything has to be read.
   */
  skip?(bytesMax: number): Awaitable<number>
  /** Idempotent; closes the source. */
  close(): Awaitable<void>
}

/** One compression method; knows no encryption. Formats: storage-format 5. */
export interface Compression {
  readonly name: CompressionName
  /** Without dot; `''` for none. */
  readonly extension: string
  /** Absent for methods that are only read (gzip, lzo). */
  openWriter?(sink: ByteSink, options: CompressionOptions): Awaitable<BlockWriter>
  /**
   * Accepts several frames. Damage is always an error: FORMAT_TRUNCATED for a stream cut anywhere (an empty
   * object included), FORMAT_INVALID for garbage, trailing bytes included, CHECKSUM_MISMATCH where the
   * format has a checksum.
   */
  openReader(source: ByteSource): Awaitable<BlockReader>
  /** How one object can be compressed by several threads; absent: not at all. */
  readonly sharing?: 'threads' | 'crew'
  /** For a member of a crew. */
  openBlockCompressor?(): BlockCompressor
}

/** Who compresses one object beside its own thread; each method takes what it can use. */
export interface CompressionHelp {
  /** Threads of the library, fixed when the object is begun. */
  readonly threadsCount?: number
  /** Whoever is free when a block is full. */
  readonly crew?: BlockCrew
}

export interface CompressionOptions extends CompressionHelp {
  readonly zstdLevel?: ZstdLevelName
  /** A hint: `wal` favours latency and small memory, `part` throughput, `small files` knows a part of many alike. */
  readonly use: 'wal' | 'part' | 'small files'
}

/** Encryption of objects; knows no compression. The pipeline: plaintext -> compress -> encrypt -> storage. */
export interface Encryption {
  readonly name: string
  encrypt(sink: ByteSink): Awaitable<ByteSink>
  /** `extension` is that of the object: it tells how one looks that is not encrypted. Throws DECRYPT_FAILED. */
  decrypt(source: ByteSource, extension: string): Awaitable<ByteSource>
}

/** Plain data from which a thread opens its own codec. Holds secrets when it has keys. */
export interface CodecDescription {
  readonly compression: CompressionName
  readonly zstdLevel?: ZstdLevelName
  /** Absent: nothing is sealed, and what is encrypted cannot be read. */
  readonly encryption?: EncryptionDescription
}

/** Sealing and opening of payload objects: compress + encrypt, decrypt + decompress. */
export interface Codec {
  readonly compression: Compression
  /** Extension of new objects, without dot. */
  readonly extension: string
  /** False: nothing is sealed with a key, and what is cannot be opened. */
  readonly hasKeys: boolean
  /** What looks as if it were not encrypted is read as it is: without keys, or where the settings allow it. */
  readonly readsPlain: boolean
  seal(sink: ByteSink, use: CompressionOptions['use'], help?: CompressionHelp): Awaitable<BlockWriter>
  /** `extension` tells the compression of the object that is read (`lz4`, `zst`, …, `''`). FORMAT_UNSUPPORTED for an unknown one. */
  open(source: ByteSource, extension: string): Awaitable<BlockReader>
  /** Stream forms of the two, for small objects and tools. */
  sealStream(use: CompressionOptions['use']): ByteTransform
  openStream(extension: string): ByteTransform
}
