import type { Awaitable, ByteSink, ByteSource } from '../../kit/bytes.ts'
import { WalgError } from '../../kit/errors.ts'
import type { LinearMemory } from '../../kit/linear-memory.ts'
import type { BlockReader, BlockWriter, Compression } from '../codec.ts'

const BLOCK_BYTES = 1 << 20
/** A process per WAL segment touches no more memory than it needs. */
const READ_BYTES = 256 << 10

/** Stored as it is. The form has no end mark: what is cut cannot be told here, only that nothing is there. */
export function openNone(memory: () => LinearMemory): Compression {
  return {
    name: 'none',
    extension: '',
    openWriter: sink => openNoneWriter(sink, memory()),
    openReader: source => openNoneReader(source, memory()),
  }
}

function openNoneWriter(sink: ByteSink, memory: LinearMemory): BlockWriter {
  const base = memory.allocate(BLOCK_BYTES)
  let isOpen = true
  const close = (): void => {
    if (isOpen) memory.release(base, BLOCK_BYTES)
    isOpen = false
  }
  return {
    get memory(): Uint8Array {
      return memory.bytes
    },
    base,
    capacityBytes: BLOCK_BYTES,
    flush: count => (count === 0 ? undefined : sink.write(memory.bytes.subarray(base, base + count))),
    end(): Awaitable<void> {
      close()
      return sink.end()
    },
    close,
  }
}

function openNoneReader(source: ByteSource, memory: LinearMemory): BlockReader {
  const base = memory.allocate(READ_BYTES)
  let isOpen = true
  let isEmpty = true
  const lend = (count: number): Uint8Array | null => {
    if (count === 0 && isEmpty) throw new WalgError('FORMAT_TRUNCATED', 'the stored object is empty')
    if (count === 0) return null
    isEmpty = false
    return memory.bytes.subarray(base, base + count)
  }
  const skipped = (count: number): number => {
    if (count > 0) isEmpty = false
    return count
  }
  return {
    next(): Awaitable<Uint8Array | null> {
      const count = source.read(memory.bytes.subarray(base, base + READ_BYTES))
      return count instanceof Promise ? count.then(lend) : lend(count)
    },
    skip(bytesMax: number): Awaitable<number> {
      const count = source.read(memory.bytes.subarray(base, base + Math.min(bytesMax, READ_BYTES)))
      return count instanceof Promise ? count.then(skipped) : skipped(count)
    },
    close(): Awaitable<void> {
      if (!isOpen) return
      isOpen = false
      memory.release(base, READ_BYTES)
      return source.close()
    },
  }
}
