import { createLinearMemory, type LinearMemory, openModule } from './linear-memory.ts'
import path from './xxh3.wasm' with { type: 'file' }
import scalarPath from './xxh3-scalar.wasm' with { type: 'file' }

/** The name that is written beside every hash, so that another algorithm can follow one day. */
export const HASH_ALGORITHM = 'xxh3-128'

const STATE_BYTES = 704
const SCRATCH_BYTES = 65_536

/** XXH3-128 with seed 0 over any number of pieces. */
export interface Hasher {
  /** Starts a new message. */
  reset(): void
  /** Takes the next bytes; no copy is made of bytes that lie in the linear memory the hasher was opened on. */
  update(bytes: Uint8Array): void
  /** 32 hexadecimal digits, canonical (big-endian) form. The message may go on after it. */
  digest(): string
  /** Gives the memory of the hasher back; it must not be used afterwards. */
  close(): void
}

interface Xxh3Exports {
  reset(state: number): void
  update(state: number, address: number, count: number): void
  digest(state: number, target: number): void
}

/** Opens a hasher, on the thread's linear memory when its bytes lie there. */
export function openHasher(memory: LinearMemory = createLinearMemory(STATE_BYTES)): Hasher {
  const xxh3 = openModule<Xxh3Exports>(memory, path, scalarPath)
  const state = memory.allocate(STATE_BYTES)
  let scratch = 0
  xxh3.reset(state)
  return {
    reset: () => xxh3.reset(state),
    update(bytes: Uint8Array): void {
      if (bytes.buffer === memory.bytes.buffer) {
        xxh3.update(state, bytes.byteOffset, bytes.length)
        return
      }
      if (scratch === 0) scratch = memory.allocate(SCRATCH_BYTES)
      for (let at = 0; at < bytes.length; at += SCRATCH_BYTES) {
        const piece = bytes.subarray(at, at + SCRATCH_BYTES)
        memory.bytes.set(piece, scratch)
        xxh3.update(state, scratch, piece.length)
      }
    },
    digest(): string {
      const target = state + STATE_BYTES - 16
      xxh3.digest(state, target)
      return Buffer.from(memory.bytes.buffer, target, 16).toString('hex')
    },
    close(): void {
      memory.release(state, STATE_BYTES)
      if (scratch !== 0) memory.release(scratch, SCRATCH_BYTES)
    },
  }
}

let threadHasher: Hasher | undefined

/** The hash of a whole piece of memory. */
export function hashBytes(bytes: Uint8Array): string {
  threadHasher ??= openHasher()
  threadHasher.reset()
  threadHasher.update(bytes)
  return threadHasher.digest()
}
