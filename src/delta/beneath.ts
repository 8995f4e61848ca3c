/**
 * Older bytes beneath newer pages: what lets a chain be restored from the newest backup to the oldest, each block
 * written once. What counts is which blocks newer increments brought and where they cut the file, never what a page
 * looks like: a page that became zero is as new as any other.
 */

/** What the increments of newer backups have settled about a file. */
export interface NewerPages {
  /** Older bytes at or beyond it are void: the file was cut there since. */
  readonly limitBytes: number
  /** Size of the file in the newest increment. Beyond it nothing older can be, nor anything left over. */
  readonly coverBytes: number
  /** Whether a newer increment brought this block. Asked for blocks below `coverBytes` only. */
  has(block: number): boolean
}

/** An open file that has its newer pages and final size already. */
export interface BeneathTarget {
  writeAt(bytes: Uint8Array, position: number): void
  /** Reads to fill `into`; the count is smaller at the end of the file. */
  readAt(into: Uint8Array, position: number): number
}

const READ_BYTES = 256 << 10

/** Writes what an older backup has of a file wherever nothing newer is. Doing it twice does no harm. */
export class BeneathWriter {
  readonly #target: BeneathTarget
  readonly #newer: NewerPages
  readonly #pageBytes: number

  constructor(target: BeneathTarget, newer: NewerPages, pageBytes: number) {
    this.#target = target
    this.#newer = newer
    this.#pageBytes = pageBytes
  }

  /** Bytes of neighbouring blocks that are both missing go into one write. */
  write(bytes: Uint8Array, position: number): void {
    const end = Math.min(position + bytes.length, this.#newer.limitBytes)
    for (let at = position; at < end; ) {
      const isNewer = this.#newer.has(Math.floor(at / this.#pageBytes))
      const until = this.#runEnd(at, end, isNewer)
      if (!isNewer) this.#target.writeAt(bytes.subarray(at - position, until - position), at)
      at = until
    }
  }

  /** Bytes from `position` on that would not be written, out of those before `end`. */
  unneededBytes(position: number, end: number): number {
    const { limitBytes } = this.#newer
    if (position >= limitBytes) return end - position
    if (!this.isNewer(Math.floor(position / this.#pageBytes))) return 0
    const until = this.#runEnd(position, Math.min(end, limitBytes), true)
    return (until === limitBytes ? end : until) - position
  }

  /** Whether nothing older is wanted of this block. */
  isNewer(block: number): boolean {
    return block * this.#pageBytes >= this.#newer.limitBytes || this.#newer.has(block)
  }

  /** Makes sure of zeros from the end of the older file on: there may be bytes of a try that broke off. */
  clear(fromBytes: number): void {
    const { limitBytes, coverBytes } = this.#newer
    for (let at = Math.min(fromBytes, limitBytes); at < coverBytes; ) {
      const isNewer = this.#newer.has(Math.floor(at / this.#pageBytes))
      const until = this.#runEnd(at, coverBytes, isNewer)
      if (!isNewer) this.#clearRange(at, until)
      at = until
    }
  }

  /** Where the run of blocks ends that are newer, or are not, like the one at `from`. */
  #runEnd(from: number, end: number, isNewer: boolean): number {
    let block = Math.floor(from / this.#pageBytes) + 1
    while (block * this.#pageBytes < end && this.#newer.has(block) === isNewer) block++
    return Math.min(block * this.#pageBytes, end)
  }

  /** A hole stays a hole: only what is not zero is written. */
  #clearRange(from: number, to: number): void {
    const piece = new Uint8Array(Math.min(READ_BYTES, to - from))
    for (let at = from; at < to; ) {
      const count = this.#target.readAt(piece.subarray(0, Math.min(piece.length, to - at)), at)
      if (count === 0) return
      const found = piece.subarray(0, count)
      if (found.some(byte => byte !== 0)) this.#target.writeAt(new Uint8Array(count), at)
      at += count
    }
  }
}
