import fs from 'node:fs'
import path from 'node:path'
import type { LinearMemory } from '../../../kit/linear-memory.ts'

/**
 * Files of this size and more are written past the page cache (O_DIRECT): the kernel need not copy, and nothing is left to be flushed. A
 * smaller one is flushed while others are written.
 */
export const DIRECT_FILE_BYTES_MIN: number = 16 << 20
/** Addresses, places and lengths of direct writes are multiples of this: no disk asks for more. */
const ALIGN_BYTES = 4096
const STAGING_BYTES = 1 << 20
/** `f_type` of ext4 and XFS (statfs(2)). Others take O_DIRECT for a wish, or write every piece through a network. */
const DIRECT_FILE_SYSTEMS: ReadonlySet<number> = new Set([0xef53, 0x58465342])

/** True where a file beside `file` can be written past the page cache. */
export function hasDirectWrites(file: string | Buffer): boolean {
  try {
    return DIRECT_FILE_SYSTEMS.has(fs.statfsSync(path.dirname(String(file))).type)
  } catch {
    // a name that is not UTF-8: opening it tells what else is wrong
    return false
  }
}

/** Where a thread collects the bytes of one file until they make a direct write. Takes memory when it is first used. */
export class Staging {
  readonly #memory: LinearMemory
  #bytes: Uint8Array | undefined
  #used = 0

  constructor(memory: LinearMemory) {
    this.#memory = memory
  }

  /** Forgets what an earlier file has left. */
  clear(): void {
    this.#used = 0
  }

  /** Takes as many bytes as there is room for; returns how many. */
  take(bytes: Uint8Array): number {
    const into = this.#area()
    const count = Math.min(into.length - this.#used, bytes.length)
    into.set(bytes.subarray(0, count), this.#used)
    this.#used += count
    return count
  }

  get isFull(): boolean {
    return this.#used === STAGING_BYTES
  }

  get usedBytes(): number {
    return this.#used
  }

  /** What is there. */
  get content(): Uint8Array {
    return this.#area().subarray(0, this.#used)
  }

  /** What is there, with zeros up to a length that can be written. */
  get padded(): Uint8Array {
    const length = Math.ceil(this.#used / ALIGN_BYTES) * ALIGN_BYTES
    return this.#area().fill(0, this.#used, length).subarray(0, length)
  }

  #area(): Uint8Array {
    if (this.#bytes === undefined) {
      const at = this.#memory.allocate(STAGING_BYTES, ALIGN_BYTES)
      this.#bytes = this.#memory.bytes.subarray(at, at + STAGING_BYTES)
    }
    return this.#bytes
  }
}
