import { type LinearMemory, openModule } from '../../kit/linear-memory.ts'
import path from '../lz4.wasm' with { type: 'file' }

/** Addresses lie in the memory the module was opened on; areas need 64 bytes behind them. */
export interface Lz4Module {
  /** The size, or 0 when it would be more than `limit`. `table` is TABLE_BYTES of scratch. */
  compressBlock(source: number, count: number, target: number, limit: number, table: number): number
  /** The size, or -1 for what is not a block. `history` bytes before `target` may be referred to. */
  decompressBlock(source: number, count: number, target: number, capacity: number, history: number): number
  /** XXH32 with a state of HASH_STATE_BYTES. */
  resetHash(state: number): void
  updateHash(state: number, source: number, count: number): void
  digestHash(state: number): number
}

export const HASH_STATE_BYTES = 64
export const TABLE_BYTES: number = 4 << 16

/** The block codec and XXH32 (assembly/lz4.ts) on a memory. */
export function openLz4Module(memory: LinearMemory): Lz4Module {
  return openModule<Lz4Module>(memory, path)
}
