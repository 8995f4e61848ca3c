import { type ZeroRuns, ZeroRunsBuilder } from '../../../delta/zero-runs.ts'
import { isZero } from '../../../kit/bytes.ts'
import type { FileObserver } from './part-packer.ts'

/** A byte of every page header that is not zero: of the page's size and version. */
const VERSION_AT = 18

/** Finds out which pages of a file are nothing but zeros, while it is packed in pieces of any length. */
export class ZeroPages implements FileObserver {
  readonly #pageBytes: number
  readonly #runs = new ZeroRunsBuilder()
  #block = 0
  #inPage = 0
  #isZero = true
  #usedBlocks = 0

  constructor(pageBytes: number) {
    this.#pageBytes = pageBytes
  }

  begin(): void {
    this.#runs.begin()
    this.#block = 0
    this.#inPage = 0
    this.#isZero = true
    this.#usedBlocks = 0
  }

  observe(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const end = Math.min(bytes.length, at + this.#pageBytes - this.#inPage)
      if (this.#isZero && !this.#isZeroPiece(bytes, at, end)) this.#isZero = false
      this.#inPage += end - at
      at = end
      if (this.#inPage === this.#pageBytes) this.#endPage()
    }
  }

  /** Blocks up to the last one that is not zero. */
  get usedBlocks(): number {
    return this.#inPage > 0 && !this.#isZero ? this.#block + 1 : this.#usedBlocks
  }

  /** Those before the last one that is not zero. */
  get runs(): ZeroRuns {
    return this.#runs.before(this.usedBlocks)
  }

  #isZeroPiece(bytes: Uint8Array, from: number, to: number): boolean {
    const probe = from + VERSION_AT - this.#inPage
    if (probe >= from && probe < to && bytes[probe] !== 0) return false
    return isZero(bytes, from, to)
  }

  #endPage(): void {
    if (this.#isZero) this.#runs.add(this.#block)
    else this.#usedBlocks = this.#block + 1
    this.#block += 1
    this.#inPage = 0
    this.#isZero = true
  }
}
