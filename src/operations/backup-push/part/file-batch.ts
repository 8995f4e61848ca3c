import type { ParentFile } from '../../../delta/page-selection.ts'
import type { ZeroRuns } from '../../../delta/zero-runs.ts'
import type { EntryPlace } from '../../../postgres/walk/data-entries.ts'

/**
 * Some files on their way to a part worker and back, as columns in two buffers that change hands: the worker writes
 * what became of each file into them. A worker never sees more than a few batches, so its memory does not grow with
 * the count of files.
 */

/** What the walk knows of a regular file, its place and name aside. */
export interface FileAttributes {
  readonly sizeBytes: number
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly mtimeNs: bigint
}

/**
 * `whole`: all of it. `scan`: the pages that changed since the parent, found by reading all. `scan visible`: and those
 * that are marked all-visible. `blocks`: the pages that a block map calls changed; nothing else is read.
 */
export type PackMethod = 'whole' | 'scan' | 'scan visible' | 'blocks'
const METHODS: readonly PackMethod[] = ['whole', 'scan', 'scan visible', 'blocks']

/** How a file is packed; without one it is `whole`. */
export interface FileOrder {
  readonly method: PackMethod
  /** What the parent has of it; undefined when that is not known. */
  readonly parent: ParentFile | undefined
  /** For `blocks`: ascending. */
  readonly blocks: Uint32Array | undefined
}

/** One regular file to pack, as the walk found it. */
export interface BatchFile extends FileAttributes {
  readonly path: string
  readonly memberName: string
}

/** Where a batch stands among the others. */
export interface BatchPlace {
  /** Files of different groups never share a part. */
  readonly group: number
  /** One large file that takes longer than all that is left: whoever is done with that has nothing else to do. */
  readonly isLast: boolean
  /** Sum of the sizes of these files and of all that come after them. */
  readonly leftBytes: number
}

/** Plain data; the buffers are transferred, not cloned. */
export interface FileBatchData extends BatchPlace {
  /** Number of the first file in the order of handing out. */
  readonly firstTurn: number
  /** Sum of the sizes of the files. */
  readonly bytes: number
  readonly rows: ArrayBuffer
  readonly names: ArrayBuffer
  readonly places: readonly EntryPlace[]
  /** Blocks by row, for those packed by `blocks`. */
  readonly blocks: ReadonlyMap<number, Uint32Array>
  /** By row, where there are any: on the way out blocks that are zero in the parent, on the way back those of the file. */
  readonly zeroes: Map<number, ZeroRuns>
}

/** `unchanged`: nothing of the file had to be packed, it is the parent's. */
export type FileState = 'waiting' | 'packed' | 'incremented' | 'unchanged' | 'vanished'
const STATES: readonly FileState[] = ['waiting', 'packed', 'incremented', 'unchanged', 'vanished']

const ROW_BYTES = 80
const WORDS = ROW_BYTES / 4
const LONGS = ROW_BYTES / 8
/** Columns, in 32-bit words. */
const NAME_END = 0
const PLACE = 1
const MODE = 6
const UID = 7
const GID = 8
const PART = 9
const STATE = 10
const METHOD = 11
/** Of the parent's file, plus 1; 0: not known. */
const PARENT_BLOCKS = 16
const PARENT_USED = 17
/** Results: pages of the increment; `usedBlocks` of the file, as in `ParentFile`. */
const PAGES = 18
const USED_BLOCKS = 19
/** Columns, in 64-bit words. */
const SIZE = 1
const MTIME = 2
const HASH = 6

const NAMES_BYTES_MIN = 4096
const UTF8_BYTES_MAX = 3
const encoder = new TextEncoder()

/** Collects the files of one batch. */
export class FileBatchBuilder {
  readonly #rows: ArrayBuffer
  readonly #words: Uint32Array
  readonly #sizes: Float64Array
  readonly #times: BigInt64Array
  #names: Uint8Array = new Uint8Array(NAMES_BYTES_MIN)
  #namesBytes = 0
  readonly #places: EntryPlace[] = []
  readonly #blocks = new Map<number, Uint32Array>()
  readonly #zeroes = new Map<number, ZeroRuns>()
  readonly #numbers = new Map<number, number>()
  #count = 0
  #bytes = 0

  constructor(count: number) {
    this.#rows = new ArrayBuffer(count * ROW_BYTES)
    this.#words = new Uint32Array(this.#rows)
    this.#sizes = new Float64Array(this.#rows)
    this.#times = new BigInt64Array(this.#rows)
  }

  /** `placeNumber` tells places apart; equal numbers mean the same `place`. */
  add(
    placeNumber: number,
    place: EntryPlace,
    baseName: string,
    file: FileAttributes,
    order?: FileOrder,
  ): void {
    const row = this.#count++
    const at = row * WORDS
    let number = this.#numbers.get(placeNumber)
    if (number === undefined) {
      number = this.#places.push(place) - 1
      this.#numbers.set(placeNumber, number)
    }
    this.#addName(baseName)
    this.#words[at + NAME_END] = this.#namesBytes
    this.#words[at + PLACE] = number
    this.#words[at + MODE] = file.mode
    this.#words[at + UID] = file.uid
    this.#words[at + GID] = file.gid
    this.#sizes[row * LONGS + SIZE] = file.sizeBytes
    this.#times[row * LONGS + MTIME] = file.mtimeNs
    this.#bytes += file.sizeBytes
    if (order !== undefined) this.#addOrder(row, order)
  }

  #addOrder(row: number, { method, parent, blocks }: FileOrder): void {
    const at = row * WORDS
    this.#words[at + METHOD] = METHODS.indexOf(method)
    if (parent !== undefined) {
      this.#words[at + PARENT_BLOCKS] = parent.blocks + 1
      this.#words[at + PARENT_USED] = parent.usedBlocks
      if (parent.zeroes !== undefined) this.#zeroes.set(row, parent.zeroes)
    }
    if (blocks !== undefined) this.#blocks.set(row, blocks)
  }

  finish(firstTurn: number, place: Partial<BatchPlace> = {}): FileBatchData {
    const { group = 0, isLast = false, leftBytes = this.#bytes } = place
    const names = this.#names.slice(0, this.#namesBytes).buffer as ArrayBuffer
    return {
      firstTurn,
      group,
      bytes: this.#bytes,
      isLast,
      leftBytes,
      rows: this.#rows,
      names,
      places: this.#places,
      blocks: this.#blocks,
      zeroes: this.#zeroes,
    }
  }

  #addName(name: string): void {
    const needed = this.#namesBytes + name.length * UTF8_BYTES_MAX
    if (needed > this.#names.length) {
      const longer = new Uint8Array(Math.max(needed, this.#names.length * 2))
      longer.set(this.#names)
      this.#names = longer
    }
    this.#namesBytes += encoder.encodeInto(name, this.#names.subarray(this.#namesBytes)).written
  }
}

/** A batch as the thread sees it that has it. */
export class FileBatch {
  readonly data: FileBatchData
  readonly count: number
  readonly #words: Uint32Array
  readonly #longs: BigUint64Array
  readonly #times: BigInt64Array
  readonly #sizes: Float64Array
  readonly #names: Buffer

  constructor(data: FileBatchData) {
    this.data = data
    this.count = data.rows.byteLength / ROW_BYTES
    this.#words = new Uint32Array(data.rows)
    this.#longs = new BigUint64Array(data.rows)
    this.#times = new BigInt64Array(data.rows)
    this.#sizes = new Float64Array(data.rows)
    this.#names = Buffer.from(data.names)
  }

  file(row: number): BatchFile {
    const at = row * WORDS
    const nameAt = row === 0 ? 0 : this.#words[at - WORDS + NAME_END]!
    const baseName = this.#names.toString('utf8', nameAt, this.#words[at + NAME_END]!)
    const place = this.data.places[this.#words[at + PLACE]!]!
    return {
      path: `${place.path}/${baseName}`,
      memberName: `${place.member}/${baseName}`,
      sizeBytes: this.sizeBytes(row),
      mode: this.#words[at + MODE]!,
      uid: this.#words[at + UID]!,
      gid: this.#words[at + GID]!,
      mtimeNs: this.#times[row * LONGS + MTIME]!,
    }
  }

  order(row: number): FileOrder {
    const at = row * WORDS
    const parentBlocks = this.#words[at + PARENT_BLOCKS]!
    const usedBlocks = this.#words[at + PARENT_USED]!
    return {
      method: METHODS[this.#words[at + METHOD]!]!,
      parent:
        parentBlocks === 0 ? undefined : { blocks: parentBlocks - 1, usedBlocks, zeroes: this.zeroes(row) },
      blocks: this.data.blocks.get(row),
    }
  }

  sizeBytes(row: number): number {
    return this.#sizes[row * LONGS + SIZE]!
  }

  state(row: number): FileState {
    return STATES[this.#words[row * WORDS + STATE]!]!
  }

  /** Number of the part the file is in; 0 unless packed. */
  part(row: number): number {
    return this.#words[row * WORDS + PART]!
  }

  /** The two halves of the hash of the content as it lies in the tar. */
  hashHalf(row: number, half: 0 | 1): bigint {
    return this.#longs[row * LONGS + HASH + half]!
  }

  /** `hash`: 32 hexadecimal digits. */
  setPacked(row: number, part: number, hash: string): void {
    this.#longs[row * LONGS + HASH] = BigInt(`0x${hash.slice(0, 16)}`)
    this.#longs[row * LONGS + HASH + 1] = BigInt(`0x${hash.slice(16)}`)
    this.#words[row * WORDS + PART] = part
    this.#words[row * WORDS + STATE] = STATES.indexOf('packed')
  }

  /** Packed as an increment of `pages` pages. */
  setIncremented(row: number, part: number, hash: string, pages: number): void {
    this.setPacked(row, part, hash)
    this.#words[row * WORDS + PAGES] = pages
    this.#words[row * WORDS + STATE] = STATES.indexOf('incremented')
  }

  setUnchanged(row: number): void {
    this.#words[row * WORDS + STATE] = STATES.indexOf('unchanged')
  }

  pages(row: number): number {
    return this.#words[row * WORDS + PAGES]!
  }

  /** What the next delta wants to know of a file that is made of pages, as in `ParentFile`. */
  setUsedBlocks(row: number, count: number): void {
    this.#words[row * WORDS + USED_BLOCKS] = count
  }

  usedBlocks(row: number): number {
    return this.#words[row * WORDS + USED_BLOCKS]!
  }

  setZeroes(row: number, zeroes: ZeroRuns): void {
    if (zeroes.length === 0) this.data.zeroes.delete(row)
    else this.data.zeroes.set(row, zeroes)
  }

  zeroes(row: number): ZeroRuns | undefined {
    return this.data.zeroes.get(row)
  }

  setVanished(row: number): void {
    this.#words[row * WORDS + STATE] = STATES.indexOf('vanished')
  }
}
