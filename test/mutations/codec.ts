import type { Mutation } from './mutation.ts'

const CONTRACT = 'test/contract/compression.test.ts'
const ORACLES = 'test/contract/compression-oracles.test.ts'
const LZ4 = 'src/codec/compression/lz4-reader.ts'
const ZSTD = 'src/codec/compression/zstd-frames.ts'
const ZLIB = 'src/codec/compression/zlib-blocks.ts'
const GZIP = 'src/codec/compression/gzip.ts'
const LZMA = 'src/codec/compression/lzma-reader.ts'
const LZO = 'src/codec/compression/lzo.ts'

/** The guards of the codec room and of the content hash. */
export const mutations: readonly Mutation[] = [
  {
    guard: 'blocks that others have compressed come before those of their owner, in order',
    file: 'src/codec/compression/lz4.ts',
    find: 'let block = lent.shift(); block !== undefined; block = lent.shift()',
    replace: 'let block = lent.pop(); block !== undefined; block = lent.pop()',
    test: 'src/operations/backup-push/part/part-workers.test.ts',
    title: 'come out in their order',
  },
  {
    guard: 'an lz4 object without a frame is a cut one',
    file: LZ4,
    find: 'if (count < 4 && !this.#hasFrame) throw',
    replace: 'if (count === 0) return undefined\n      if (count < 4 && !this.#hasFrame) throw',
    test: CONTRACT,
    title: 'lz4 damage an object without a byte',
  },
  {
    guard: 'the end mark of an lz4 frame is required',
    file: LZ4,
    find: '    yield* this.#need(4)\n    const word = this.#word(0)',
    replace: '    if ((yield* input.fill(4)) < 4) return undefined\n    const word = this.#word(0)',
    test: ORACLES,
    title: 'cuts at every block boundary',
  },
  {
    guard: 'the block checksums of lz4 are compared',
    file: LZ4,
    find: 'if (frame.hasBlockChecksums) this.#checkBlock(storedBytes)',
    replace: '',
    test: ORACLES,
    title: 'damage that only a checksum shows',
  },
  {
    guard: 'linked lz4 blocks see the content before them',
    file: LZ4,
    find: 'if (frame.isLinked) this.#keepHistory(span.count)',
    replace: '',
    test: ORACLES,
    title: 'read: lz4 -B5 -BD',
  },
  {
    guard: 'a cut zstd frame is noticed',
    file: ZSTD,
    find: 'throw cutData(FORMAT, this.#seenBytes)',
    replace: 'void cutData',
    test: CONTRACT,
    title: 'zstd damage a cut anywhere',
  },
  {
    guard: 'a brotli stream that is cut is noticed',
    file: ZLIB,
    find: 'return engine.consumed === 0 && engine.written === 0',
    replace: 'return true',
    test: CONTRACT,
    title: 'brotli damage a cut anywhere',
  },
  {
    guard: 'bytes behind a brotli stream are damage',
    file: ZLIB,
    find: "if (count > 0) throw badData(format.name, 'bytes follow its end', input.consumedBytes)",
    replace: '',
    test: CONTRACT,
    title: 'brotli damage bytes behind the end',
  },
  {
    guard: 'the checksum of a gzip member is compared',
    file: GZIP,
    find: 'trailer.readUInt32LE(0) !== this.#crc ||',
    replace: '',
    test: CONTRACT,
    title: 'gzip damage a changed byte',
  },
  {
    guard: 'bytes behind a .lzma stream are damage',
    file: LZMA,
    find: "if ((yield* input.fill(1)) > 0) throw badData(FORMAT, 'bytes follow its end', input.consumedBytes)",
    replace: '',
    test: CONTRACT,
    title: 'lzma damage bytes behind the end',
  },
  {
    guard: 'the checksums of lzo blocks are compared',
    file: LZO,
    find: 'if (sum !== wanted) throw wrongChecksum(FORMAT, this.#input.consumedBytes)',
    replace: 'void [sum, wanted]',
    test: ORACLES,
    title: 'lzop tool a changed block',
  },
  {
    guard: 'an object of no compression without a byte is damage',
    file: 'src/codec/compression/none.ts',
    find: 'if (count === 0 && isEmpty)',
    replace: 'if (count < 0 && isEmpty)',
    test: CONTRACT,
    title: 'none damage an object without a byte',
  },
  {
    guard: 'memory that is given back is used again',
    file: 'src/kit/linear-memory.ts',
    find: 'const reused = takeAligned(free.get(wantedBytes), alignBytes)',
    replace: 'const reused = takeAligned(undefined, alignBytes)',
    test: CONTRACT,
    title: 'lz4 resources closing early',
  },
]
