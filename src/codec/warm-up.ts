import { createLinearMemory } from '../kit/linear-memory.ts'
import type { CodecDescription } from './codec.ts'
import { HASH_STATE_BYTES, openLz4Module } from './compression/lz4-module.ts'

/** Loops enough for the runtime to think of compiling; more only takes longer. */
const WARM_UP_BYTES = 4096

/**
 * To be called early by a process that will open one object and end. The runtime interprets a WebAssembly function
 * until it has looped for a while, and compiles it in another thread meanwhile; the first megabyte of a segment would
 * be interpreted. A few KiB now let it be compiled while this thread is still looking for the object. Makes a
 * wal-fetch of LZ4 shorter by a twentieth or more, and takes less of the processor; other methods have nothing to compile.
 */
export function warmUpOpening({ compression }: Pick<CodecDescription, 'compression'>): void {
  if (compression !== 'lz4') return
  const memory = createLinearMemory(2 * WARM_UP_BYTES)
  const lz4 = openLz4Module(memory)
  const state = memory.allocate(HASH_STATE_BYTES)
  const block = memory.allocate(WARM_UP_BYTES)
  lz4.resetHash(state)
  lz4.updateHash(state, block, WARM_UP_BYTES)
  // a length that never ends: all loops, and refused before a byte is written
  memory.bytes.fill(255, block, block + WARM_UP_BYTES)
  lz4.decompressBlock(block, WARM_UP_BYTES, block, 0, 0)
}
