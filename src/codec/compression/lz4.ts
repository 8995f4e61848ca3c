import type { Awaitable, ByteSink } from '../../kit/bytes.ts'
import { assert } from '../../kit/errors.ts'
import type { LinearMemory } from '../../kit/linear-memory.ts'
import type { BlockCompressor, BlockCrew, LentBlock } from '../block-crew.ts'
import type { BlockWriter, Compression } from '../codec.ts'
import { runSteps, type Steps } from '../steps.ts'
import { HASH_STATE_BYTES, type Lz4Module, openLz4Module, TABLE_BYTES } from './lz4-module.ts'
import { openLz4Reader } from './lz4-reader.ts'

/** As large as the frame header allows. */
const PART_BLOCK_BYTES = 4 << 20
/** Costs WAL a quarter of a percent in size, and saves its process 3 MiB of memory to touch. */
const WAL_BLOCK_BYTES = 1 << 20
const SLACK_BYTES = 64
/** Version 1, independent blocks, content checksum; blocks of 4 MiB; and the descriptor's own check byte. */
const FRAME_HEADER = [0x04, 0x22, 0x4d, 0x18, 0x64, 0x70, 0xb9] as const
const STORED_BLOCK = 0x8000_0000

/** LZ4 frames (storage-format 5), worked on in place in linear memory. */
export function openLz4(memory: () => LinearMemory): Compression {
  let opened: Lz4Module | undefined
  const module = (): Lz4Module => {
    opened ??= openLz4Module(memory())
    return opened
  }
  return {
    name: 'lz4',
    extension: 'lz4',
    sharing: 'crew',
    openWriter: (sink, { use, crew }) =>
      openLz4Writer(sink, memory(), module(), use === 'wal' ? WAL_BLOCK_BYTES : PART_BLOCK_BYTES, crew),
    openReader: source => openLz4Reader(source, memory(), module()),
    openBlockCompressor: () => openLz4BlockCompressor(memory(), module()),
  }
}

/**
 * Areas: the block with room in front for a header, so that a block that does not compress is handed on as it
 * lies there; the compressed block likewise, behind one page with table and hash state.
 */
function layOut(memory: LinearMemory, blockBytes: number) {
  const headerBytes = FRAME_HEADER.length + 4
  const inputBytes = blockBytes + SLACK_BYTES * 2
  const input = memory.allocate(inputBytes)
  const outputBytes = blockBytes + SLACK_BYTES * 2
  const output = memory.allocate(outputBytes)
  const scratchBytes = TABLE_BYTES + HASH_STATE_BYTES
  const scratch = memory.allocate(scratchBytes)
  assert(headerBytes <= SLACK_BYTES, 'the headers fit before a block')
  return {
    block: input + SLACK_BYTES,
    compressed: output + SLACK_BYTES,
    table: scratch,
    hash: scratch + TABLE_BYTES,
    release(): void {
      memory.release(input, inputBytes)
      memory.release(output, outputBytes)
      memory.release(scratch, scratchBytes)
    },
  }
}

function openLz4Writer(
  sink: ByteSink,
  memory: LinearMemory,
  lz4: Lz4Module,
  blockBytes: number,
  crew: BlockCrew | undefined,
): BlockWriter {
  const areas = layOut(memory, blockBytes)
  /** Blocks that others work on, in the order of the content. */
  const lent: LentBlock[] = []
  let isOpen = true
  let hasHeader = false
  let isLast = false
  lz4.resetHash(areas.hash)

  const close = (): void => {
    if (isOpen) areas.release()
    isOpen = false
  }
  /** Puts the headers in front of `at`; returns where the bytes to write begin. */
  const withHeaders = (at: number, word: number): number => {
    storeWord(memory.bytes, at - 4, word)
    if (hasHeader) return at - 4
    hasHeader = true
    memory.bytes.set(FRAME_HEADER, at - 4 - FRAME_HEADER.length)
    return at - 4 - FRAME_HEADER.length
  }
  const write = (at: number, sizeBytes: number, isStored: boolean): Awaitable<void> => {
    const begin = withHeaders(at, isStored ? sizeBytes + STORED_BLOCK : sizeBytes)
    return sink.write(memory.bytes.subarray(begin, at + sizeBytes))
  }
  /** `area` is free: what others have compressed passes through it. */
  function* collectLent(area: number): Steps<void> {
    for (let block = lent.shift(); block !== undefined; block = lent.shift()) {
      const into = memory.bytes.subarray(area, area + blockBytes)
      const { sizeBytes, isCompressed } = block.collect(into)
      yield write(area, sizeBytes, !isCompressed)
    }
  }
  function* writeBehindLent(count: number, size: number): Steps<void> {
    const isStored = size === 0
    yield* collectLent(isStored ? areas.compressed : areas.block)
    yield write(isStored ? areas.block : areas.compressed, isStored ? count : size, isStored)
  }
  function* end(): Steps<void> {
    assert(isOpen, 'a writer is ended once')
    const at = areas.compressed
    yield* collectLent(at)
    const begin = withHeaders(at, 0)
    storeWord(memory.bytes, at, lz4.digestHash(areas.hash))
    yield sink.write(memory.bytes.subarray(begin, at + 4))
    close()
    yield sink.end()
  }
  return {
    get memory(): Uint8Array {
      return memory.bytes
    },
    base: areas.block,
    capacityBytes: blockBytes,
    flush(count: number): Awaitable<void> {
      assert(isOpen && !isLast && count <= blockBytes, 'full blocks, then at most one short one')
      isLast = count < blockBytes
      if (count === 0) return
      lz4.updateHash(areas.hash, areas.block, count)
      const handedOut = isLast
        ? undefined
        : crew?.lend(memory.bytes.subarray(areas.block, areas.block + count))
      if (handedOut !== undefined) {
        lent.push(handedOut)
        return
      }
      const size = lz4.compressBlock(areas.block, count, areas.compressed, count - 1, areas.table)
      const isStored = size === 0
      if (lent.length === 0) return write(isStored ? areas.block : areas.compressed, size || count, isStored)
      return runSteps(writeBehindLent(count, size))
    },
    end: () => runSteps(end()),
    close,
  }
}

/** Blocks of parts for others; takes the areas that this thread's own parts had. */
function openLz4BlockCompressor(memory: LinearMemory, lz4: Lz4Module): BlockCompressor {
  const areas = layOut(memory, PART_BLOCK_BYTES)
  return {
    compress(block: Uint8Array, count: number): number {
      memory.bytes.set(block.subarray(0, count), areas.block)
      const size = lz4.compressBlock(areas.block, count, areas.compressed, count - 1, areas.table)
      block.set(memory.bytes.subarray(areas.compressed, areas.compressed + size))
      return size
    },
    close: areas.release,
  }
}

function storeWord(bytes: Uint8Array, at: number, word: number): void {
  bytes[at] = word
  bytes[at + 1] = word >>> 8
  bytes[at + 2] = word >>> 16
  bytes[at + 3] = word >>> 24
}
