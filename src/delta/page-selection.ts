import { isZero } from '../kit/bytes.ts'
import { isAllVisibleAt, judgePageAt, PAGE_HEADER_BYTES } from '../postgres/page-header.ts'
import { changesWithoutWal, UNLOGGED_PROBE_BYTES } from '../postgres/unlogged-page.ts'
import { firstOutside, NO_ZERO_RUNS, type ZeroRuns, zeroBlocksAfter, zeroRunsOf } from './zero-runs.ts'

/** What the parent backup holds of a file, in blocks; a backup of the original does not tell. */
export interface ParentFile {
  readonly blocks: number
  /**
   * Every block from here on is zero, or not there, in the parent and in each older file that the parent's is an increment of: it
   * may lie behind `blocks`, where a file was cut.
   */
  readonly usedBlocks: number
  /** Blocks before those that are zero in all of them; absent: not known. */
  readonly zeroes?: ZeroRuns | undefined
}

/** As many blocks as PostgreSQL can number: what older files of a chain may have used, when nothing is known of them. */
export const BLOCKS_MAX = 0xffff_ffff

/** Why a file is stored whole although the parent has it. */
export type WholeReason =
  /** Something that is no page: its LSN means nothing. */
  | { readonly kind: 'invalid page'; readonly block: number }
  /** A page is zero now and may have been something else in the parent: the original's reverse restore would keep that. */
  | { readonly kind: 'zero page'; readonly block: number }

/** Which pages of a file go into its increment. */
export interface Selection {
  /** Ascending. */
  readonly blocks: Uint32Array
  readonly whole: WholeReason | undefined
  /** As in `ParentFile`, for the next delta; nothing is known of files beneath that the parent does not tell of. */
  readonly usedBlocks: number
  readonly zeroes: ZeroRuns
}

const BLOCKS_MIN = 64
/** A byte of the header that no page in use has 0: of its size. */
const SIZE_AT = 19
const LSN_WORD = 0xffffffffn

/**
 * Chooses the pages of one file that a delta must hold (storage-format 3.4): those that a record at or behind the parent's
 * start LSN has changed, and those that the parent does not have. Pages are judged by their headers, which costs next to nothing
 * beside reading them.
 *
 * Zero pages are never chosen: the original's reverse restore takes them for holes and fills them with what an older backup
 * has. They are left out where that is zero as well: behind the end of the parent's file or of what was used of it, or where
 * the parent's manifest says so. Otherwise the file has to be stored whole: PostgreSQL makes no page zero that lies before one that it has
 * not changed, but a person who mends a damaged page does, and a disk may.
 */
export class PageSelector {
  readonly #pageBytes: number
  readonly #sinceHigh: number
  readonly #sinceLow: number
  #blocks: Uint32Array = new Uint32Array(BLOCKS_MIN)
  #count = 0
  #zeroes: Uint32Array = new Uint32Array(BLOCKS_MIN)
  #zeroCount = 0
  #usedBlocks = 0
  #takesVisible = false
  #parent: ParentFile | undefined
  #whole: WholeReason | undefined

  constructor(pageBytes: number, sinceLsn: bigint) {
    this.#pageBytes = pageBytes
    this.#sinceHigh = Number(sinceLsn >> 32n)
    this.#sinceLow = Number(sinceLsn & LSN_WORD)
  }

  /**
   * Begins with another file. `parent` is undefined when the parent does not tell its sizes. `takesVisible`: old pages that are marked
   * all-visible are chosen as well.
   */
  begin(parent: ParentFile | undefined, takesVisible = false): void {
    this.#parent = parent
    this.#takesVisible = takesVisible
    this.#count = 0
    this.#zeroCount = 0
    this.#usedBlocks = 0
    this.#whole = undefined
  }

  /** The file has to be stored whole: more pages need not be looked at. */
  get isWhole(): boolean {
    return this.#whole !== undefined
  }

  /** Judges the whole pages in `bytes`, which are the file's from `firstBlock` on. Blocks come in ascending order. */
  judge(bytes: Uint8Array, firstBlock: number): void {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const count = Math.floor(bytes.length / this.#pageBytes)
    for (let index = 0; index < count && this.#whole === undefined; index++) {
      this.#judgePage(bytes, view, index * this.#pageBytes, firstBlock + index)
    }
  }

  /** Takes pages that a block map calls changed: they are chosen whatever their LSN is. */
  take(bytes: Uint8Array, firstBlock: number): void {
    const count = Math.floor(bytes.length / this.#pageBytes)
    for (let index = 0; index < count; index++) {
      const at = index * this.#pageBytes
      if (bytes[at + SIZE_AT] !== 0 || !isZero(bytes, at, at + PAGE_HEADER_BYTES))
        this.#add(firstBlock + index)
      else this.#addEmpty(bytes.subarray(at, at + this.#pageBytes), firstBlock + index)
    }
  }

  /** `isMapped`: only pages that a map names were looked at. */
  end(isMapped = false): Selection {
    const parent = this.#parent
    const zeroFrom = parent?.usedBlocks ?? BLOCKS_MAX
    const isDoubtful = (block: number): boolean => block < zeroFrom
    const found = this.#zeroes.subarray(0, this.#zeroCount)
    const parentZeroes = parent?.zeroes ?? NO_ZERO_RUNS
    const block = firstOutside(parentZeroes, found, isDoubtful)
    if (block !== undefined) this.#whole ??= { kind: 'zero page', block }
    const usedBlocks = Math.max(this.#usedBlocks, zeroFrom)
    const blocks = this.#blocks.slice(0, this.#count)
    const zeroes = isMapped ? zeroBlocksAfter(parentZeroes, blocks, found) : found
    return { blocks, whole: this.#whole, usedBlocks, zeroes: zeroRunsOf(zeroes, usedBlocks) }
  }

  #judgePage(bytes: Uint8Array, view: DataView, at: number, block: number): void {
    const state = judgePageAt(view, at, this.#pageBytes)
    if (state === 'invalid') {
      this.#whole = { kind: 'invalid page', block }
    } else if (state === 'new') {
      this.#addEmpty(bytes.subarray(at, at + this.#pageBytes), block)
    } else {
      const high = view.getUint32(at, true)
      const isBehind = this.#parent !== undefined && block >= this.#parent.blocks
      const isChanged =
        isBehind ||
        high > this.#sinceHigh ||
        (high === this.#sinceHigh && view.getUint32(at + 4, true) >= this.#sinceLow)
      const isOutside = block === 0 && changesWithoutWal(bytes.subarray(at, at + UNLOGGED_PROBE_BYTES))
      if (isChanged || isOutside || (this.#takesVisible && isAllVisibleAt(view, at))) this.#add(block)
      else this.#usedBlocks = block + 1
    }
  }

  #add(block: number): void {
    if (this.#count === this.#blocks.length) this.#blocks = doubled(this.#blocks)
    this.#blocks[this.#count++] = block
    this.#usedBlocks = block + 1
  }

  /** A page that says it is new, or begins with zeros: nothing but zeros, or garbage. */
  #addEmpty(page: Uint8Array, block: number): void {
    if (!isZero(page)) {
      this.#whole ??= { kind: 'invalid page', block }
      return
    }
    if (this.#zeroCount === this.#zeroes.length) this.#zeroes = doubled(this.#zeroes)
    this.#zeroes[this.#zeroCount++] = block
  }
}

function doubled(column: Uint32Array): Uint32Array {
  const longer = new Uint32Array(column.length * 2)
  longer.set(column)
  return longer
}
