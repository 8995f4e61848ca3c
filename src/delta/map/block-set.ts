/** Blocks per bitmap: 4 KiB of memory stand for 256 MiB of a relation. */
const CHUNK_BLOCKS = 1 << 15
const CHUNK_SHIFT = 15
/** Kept as they come, repetitions included, until there are more. */
const FEW_MAX = 96

/** A set of block numbers (0 … 2^32-1): a short list while it is small, then bitmaps. */
export class BlockSet {
  #few: number[] | undefined = []
  readonly #chunks = new Map<number, Uint32Array>()
  #lastIndex = -1
  #lastChunk: Uint32Array = new Uint32Array(0)

  add(block: number): void {
    const few = this.#few
    if (few === undefined) this.#mark(block)
    else if (few.length < FEW_MAX) {
      if (few[few.length - 1] !== block) few.push(block)
    } else {
      this.#few = undefined
      for (const one of [...few, block]) this.#mark(one)
    }
  }

  addAll(other: BlockSet): void {
    for (const block of other.between(0, 2 ** 32)) this.add(block)
  }

  /** The blocks from `begin` up to and without `end`, ascending. */
  between(begin: number, end: number): Uint32Array {
    if (this.#few !== undefined) {
      const few = this.#few.filter(block => block >= begin && block < end)
      return withoutRepetitions(Uint32Array.from(few).sort())
    }
    const indexes = [...this.#chunks.keys()].filter(index => {
      const first = index * CHUNK_BLOCKS
      return first < end && first + CHUNK_BLOCKS > begin
    })
    const found: number[] = []
    for (const index of indexes.sort((one, other) => one - other)) this.#collect(index, begin, end, found)
    return Uint32Array.from(found)
  }

  #mark(block: number): void {
    const index = block >>> CHUNK_SHIFT
    if (index !== this.#lastIndex) {
      let chunk = this.#chunks.get(index)
      if (chunk === undefined) {
        chunk = new Uint32Array(CHUNK_BLOCKS / 32)
        this.#chunks.set(index, chunk)
      }
      this.#lastIndex = index
      this.#lastChunk = chunk
    }
    const bit = block & (CHUNK_BLOCKS - 1)
    this.#lastChunk[bit >>> 5]! |= 1 << (bit & 31)
  }

  #collect(index: number, begin: number, end: number, found: number[]): void {
    const first = index * CHUNK_BLOCKS
    for (const [position, word] of this.#chunks.get(index)!.entries()) {
      for (let rest = word; rest !== 0; rest &= rest - 1) {
        const block = first + position * 32 + (31 - Math.clz32(rest & -rest))
        if (block >= begin && block < end) found.push(block)
      }
    }
  }
}

function withoutRepetitions(sorted: Uint32Array<ArrayBuffer>): Uint32Array<ArrayBuffer> {
  let count = 0
  for (const block of sorted) {
    if (count === 0 || sorted[count - 1] !== block) sorted[count++] = block
  }
  return sorted.subarray(0, count)
}
