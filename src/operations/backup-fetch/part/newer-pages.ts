/**
 * What the newer backups of a chain have written into each file: kept by the main thread, in shared memory for the
 * threads that unpack an older one. It changes only between two backups, so a part that is read twice, or two parts
 * with pages of one file, see the same.
 */
import type { NewerPages } from '../../../delta/beneath.ts'
import type { NewerPagesData, PartResult } from './part-protocol.ts'

const WHOLE = -1
const ENTRY_LENGTH = 5

/** A file that has newer increments only. */
export interface NewerFile extends NewerPages {
  /** What its size is, and stays. */
  readonly sizeBytes: number
}

/** As a thread sees it. */
export class NewerPagesView {
  readonly #slots: Int32Array
  readonly #entries: Float64Array
  readonly #bits: Uint8Array

  constructor({ slots, entries, bits }: NewerPagesData) {
    this.#slots = new Int32Array(slots)
    this.#entries = new Float64Array(entries)
    this.#bits = new Uint8Array(bits)
  }

  /** `nothing`, `whole`: every older copy is void; or the file as far as it is written. */
  of(row: number): 'nothing' | 'whole' | NewerFile {
    const slot = this.#slots[row] ?? 0
    if (slot === 0) return 'nothing'
    if (slot === WHOLE) return 'whole'
    const at = (slot - 1) * ENTRY_LENGTH
    const [limitBytes, coverBytes, sizeBytes, from, length] = this.#entries.subarray(at, at + ENTRY_LENGTH)
    const bits = this.#bits.subarray(from!, from! + length!)
    return {
      limitBytes: limitBytes!,
      coverBytes: coverBytes!,
      sizeBytes: sizeBytes!,
      has: block => (bits[block >>> 3]! & (1 << (block & 7))) !== 0,
    }
  }
}

interface Entry {
  limitBytes: number
  /** Of the newest increment. */
  readonly coverBytes: number
  sizeBytes: number
  bits: Uint8Array
}

/** One bit per block of every file that is incremented: 16 MiB for 1 TiB. */
export class NewerPagesBuilder {
  readonly #pageBytes: number
  readonly #slots: Int32Array<SharedArrayBuffer>
  readonly #entries: Entry[] = []
  #waiting: PartResult[] = []

  constructor(rowsCount: number, pageBytes: number) {
    this.#pageBytes = pageBytes
    this.#slots = new Int32Array(new SharedArrayBuffer(rowsCount * 4))
  }

  /** A part of the backup under way is complete. */
  add(result: PartResult): void {
    this.#waiting.push(result)
  }

  /** The backup under way is complete: what it brought is newer than all that follows. */
  settle(): NewerPagesData {
    const limits = new Map<number, number>()
    const isIncrement = new Set<number>()
    for (const result of this.#waiting) {
      for (let index = 0; index < result.incrementsCount; index++) {
        const row = result.incrementRows[index]!
        isIncrement.add(row)
        this.#addIncrement(row, result, index, limits)
      }
    }
    for (const { rows, count } of this.#waiting) {
      for (let index = 0; index < count; index++) {
        if (!isIncrement.has(rows[index]!)) this.#slots[rows[index]!] = WHOLE
      }
    }
    for (const [row, limitBytes] of limits) {
      const entry = this.#entries[this.#slots[row]! - 1]!
      entry.limitBytes = Math.min(entry.limitBytes, limitBytes)
    }
    this.#waiting = []
    return this.#share()
  }

  /** Pages of one backup are measured against the limit of those before it, not by each other's sizes. */
  #addIncrement(row: number, result: PartResult, index: number, limits: Map<number, number>): void {
    const fileSizeBytes = result.incrementSizes[index]!
    const blocks = result.incrementBlocks.subarray(
      index === 0 ? 0 : result.incrementEnds[index - 1]!,
      result.incrementEnds[index]!,
    )
    const isNewest = this.#slots[row] === 0
    if (isNewest) {
      this.#entries.push({
        limitBytes: fileSizeBytes,
        coverBytes: fileSizeBytes,
        sizeBytes: 0,
        bits: new Uint8Array(0),
      })
      this.#slots[row] = this.#entries.length
    }
    const slot = this.#slots[row]!
    if (slot === WHOLE) return
    const entry = this.#entries[slot - 1]!
    entry.sizeBytes = Math.max(entry.sizeBytes, result.incrementFinalSizes[index]!)
    limits.set(row, Math.min(limits.get(row) ?? fileSizeBytes, fileSizeBytes))
    mark(entry, blocks, Math.ceil(entry.limitBytes / this.#pageBytes))
  }

  #share(): NewerPagesData {
    const entries = new Float64Array(new SharedArrayBuffer(this.#entries.length * ENTRY_LENGTH * 8))
    const bitsBytes = this.#entries.reduce((sum, { bits }) => sum + bits.length, 0)
    const bits = new Uint8Array(new SharedArrayBuffer(bitsBytes))
    let from = 0
    for (const [index, entry] of this.#entries.entries()) {
      const { limitBytes, coverBytes, sizeBytes } = entry
      entries.set([limitBytes, coverBytes, sizeBytes, from, entry.bits.length], index * ENTRY_LENGTH)
      bits.set(entry.bits, from)
      from += entry.bits.length
    }
    return { slots: this.#slots.buffer, entries: entries.buffer, bits: bits.buffer }
  }
}

/** Blocks from `end` on need no bit: nothing older gets there. */
function mark(entry: Entry, blocks: Uint32Array, end: number): void {
  let last = -1
  for (const block of blocks) if (block < end && block > last) last = block
  const bytesCount = Math.ceil((last + 1) / 8)
  if (bytesCount > entry.bits.length) {
    const larger = new Uint8Array(Math.max(bytesCount, Math.min(2 * entry.bits.length, Math.ceil(end / 8))))
    larger.set(entry.bits)
    entry.bits = larger
  }
  for (const block of blocks) if (block < end) entry.bits[block >>> 3]! |= 1 << (block & 7)
}
