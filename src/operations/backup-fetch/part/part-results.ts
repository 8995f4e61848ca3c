import type { PartResult, TargetNameData } from './part-protocol.ts'

/** One restored file of a part. */
export interface ResultFile {
  /** -1 without table. */
  readonly row: number
  readonly name: string
  readonly nameBytes: Uint8Array | undefined
  readonly sizeBytes: number
  readonly mtimeUs: number
  readonly tarTime: number
  readonly isPatched: boolean
}

/** One increment of a part. */
export interface ResultIncrement {
  readonly row: number
  readonly fileSizeBytes: number
  readonly finalSizeBytes: number
  readonly blocks: Uint32Array
}

/** Collects what a part brought, in columns that are handed to the main thread without copying. */
export class PartResults {
  readonly #checksumBytes: number
  #count = 0
  #rows: Uint32Array = new Uint32Array(64)
  #sizes: Float64Array = new Float64Array(64)
  #mtimes: Float64Array = new Float64Array(64)
  #tarTimes: Float64Array = new Float64Array(64)
  #isPatched: Uint8Array = new Uint8Array(64)
  #checksums: Uint8Array
  #incrementsCount = 0
  #incrementRows: Uint32Array = new Uint32Array(16)
  #incrementSizes: Float64Array = new Float64Array(16)
  #incrementFinalSizes: Float64Array = new Float64Array(16)
  #incrementEnds: Uint32Array = new Uint32Array(16)
  #incrementBlocks: Uint32Array = new Uint32Array(64)
  #seen: Uint32Array = new Uint32Array(64)
  #seenCount = 0
  readonly #names: (string | Uint8Array)[] = []
  readonly directories: { readonly name: TargetNameData; readonly mode: number }[] = []
  readonly ignored: string[] = []
  memberBytes = 0

  constructor(checksumBytes: number) {
    this.#checksumBytes = checksumBytes
    this.#checksums = new Uint8Array(64 * checksumBytes)
  }

  /** Returns where the checksum of this file is to be written. */
  add(file: ResultFile): { readonly into: Uint8Array; readonly at: number } {
    if (this.#count === this.#rows.length) this.#grow()
    const index = this.#count++
    if (file.row < 0) this.#names.push(file.nameBytes ?? file.name)
    this.#rows[index] = Math.max(0, file.row)
    this.#sizes[index] = file.sizeBytes
    this.#mtimes[index] = file.mtimeUs
    this.#tarTimes[index] = file.tarTime
    this.#isPatched[index] = file.isPatched ? 1 : 0
    return { into: this.#checksums, at: index * this.#checksumBytes }
  }

  addIncrement({ row, fileSizeBytes, finalSizeBytes, blocks }: ResultIncrement): void {
    const index = this.#incrementsCount++
    if (index === this.#incrementRows.length) {
      this.#incrementRows = doubled(this.#incrementRows)
      this.#incrementSizes = doubled(this.#incrementSizes)
      this.#incrementFinalSizes = doubled(this.#incrementFinalSizes)
      this.#incrementEnds = doubled(this.#incrementEnds)
    }
    const begin = index === 0 ? 0 : this.#incrementEnds[index - 1]!
    while (begin + blocks.length > this.#incrementBlocks.length) {
      this.#incrementBlocks = doubled(this.#incrementBlocks)
    }
    this.#incrementBlocks.set(blocks, begin)
    this.#incrementRows[index] = row
    this.#incrementSizes[index] = fileSizeBytes
    this.#incrementFinalSizes[index] = finalSizeBytes
    this.#incrementEnds[index] = begin + blocks.length
  }

  addSeen(row: number): void {
    if (row < 0) return
    if (this.#seenCount === this.#seen.length) this.#seen = doubled(this.#seen)
    this.#seen[this.#seenCount++] = row
  }

  /** The columns are handed over as they are: a copy that is cut to size would double them. */
  finish(storedBytes: number, storedHash: string | null): PartResult {
    return {
      count: this.#count,
      rows: this.#rows,
      names: this.#names,
      sizes: this.#sizes,
      mtimes: this.#mtimes,
      tarTimes: this.#tarTimes,
      checksums: this.#checksums,
      isPatched: this.#isPatched,
      incrementsCount: this.#incrementsCount,
      incrementRows: this.#incrementRows,
      incrementSizes: this.#incrementSizes,
      incrementFinalSizes: this.#incrementFinalSizes,
      incrementEnds: this.#incrementEnds,
      incrementBlocks: this.#incrementBlocks,
      seen: this.#seen,
      seenCount: this.#seenCount,
      directories: this.directories,
      ignored: this.ignored,
      memberBytes: this.memberBytes,
      storedBytes,
      storedHash,
    }
  }

  #grow(): void {
    this.#rows = doubled(this.#rows)
    this.#sizes = doubled(this.#sizes)
    this.#mtimes = doubled(this.#mtimes)
    this.#tarTimes = doubled(this.#tarTimes)
    this.#isPatched = doubled(this.#isPatched)
    this.#checksums = doubled(this.#checksums)
  }
}

type Column = Uint8Array | Uint32Array | Float64Array

/** A column of twice the length with the same beginning. */
export function doubled<T extends Column>(column: T): T {
  const larger = new (column.constructor as new (length: number) => T)(2 * column.length)
  larger.set(column as never)
  return larger
}
