import { createLinearMemory, type LinearMemory, openModule } from '../kit/linear-memory.ts'
import { buildCrc32cTables } from './crc32c.ts'
import modulePath from './crc32c.wasm' with { type: 'file' }

/** CRC-32C in WebAssembly, about twice as fast as `updateCrc32c`, for whole files. Same running value. */
export interface Crc32cEngine {
  /** Continues `crc` over `bytes`; no copy is made of bytes that lie in the linear memory it was opened on. */
  update(crc: number, bytes: Uint8Array): number
}

interface Crc32cExports {
  update(crc: number, address: number, count: number, tables: number): number
}

const TABLE_COUNT = 16
const STAGE_BYTES = 65_536

/** Opens an engine, on the thread's linear memory when the bytes lie there. */
export function openCrc32c(memory: LinearMemory = createLinearMemory()): Crc32cEngine {
  const exports = openModule<Crc32cExports>(memory, modulePath)
  const source = new Uint8Array(buildCrc32cTables(TABLE_COUNT).buffer)
  const tables = memory.allocate(source.length)
  memory.bytes.set(source, tables)
  let stage: number | undefined
  return {
    update(crc: number, bytes: Uint8Array): number {
      if (bytes.buffer === memory.memory.buffer) {
        return exports.update(crc, bytes.byteOffset, bytes.length, tables)
      }
      stage ??= memory.allocate(STAGE_BYTES)
      let value = crc
      for (let at = 0; at < bytes.length; at += STAGE_BYTES) {
        const piece = bytes.subarray(at, at + STAGE_BYTES)
        memory.bytes.set(piece, stage)
        value = exports.update(value, stage, piece.length, tables)
      }
      return value
    },
  }
}
