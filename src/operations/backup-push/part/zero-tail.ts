import type { FileObserver } from './part-packer.ts'

const STEP_BYTES = 8192
const zeroes = new Uint8Array(STEP_BYTES)

/** Finds out where a file ends in nothing but zeros, while it is packed. */
export class ZeroTail implements FileObserver {
  #position = 0
  #usedBytes = 0

  begin(): void {
    this.#position = 0
    this.#usedBytes = 0
  }

  observe(bytes: Uint8Array): void {
    let end = bytes.length
    while (end > 0) {
      const begin = Math.max(0, end - STEP_BYTES)
      const piece = bytes.subarray(begin, end)
      if (Buffer.compare(piece, zeroes.subarray(0, piece.length)) !== 0) break
      end = begin
    }
    while (end > 0 && bytes[end - 1] === 0) end--
    if (end > 0) this.#usedBytes = this.#position + end
    this.#position += bytes.length
  }

  /** Blocks up to the last one that is not zero. */
  usedBlocks(pageBytes: number): number {
    return Math.ceil(this.#usedBytes / pageBytes)
  }
}
