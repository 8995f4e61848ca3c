import { PageSelector, type Selection } from '../../../delta/page-selection.ts'
import type { Awaitable } from '../../../kit/bytes.ts'
import { isZero } from '../../../kit/bytes.ts'
import { openRateLimit, type RateLimit, type RateLimiter } from '../../../kit/limits.ts'
import type { LinearMemory } from '../../../kit/linear-memory.ts'
import type { BatchFile, FileOrder } from './file-batch.ts'
import { limitedReadBytes, type ReadPlace, readInto } from './file-reading.ts'
import type { PageObserver } from './page-check.ts'

/** How changed pages are found; plain data for the workers. */
export interface ScanOptions {
  readonly pageBytes: number
  /** Start LSN of the parent. */
  readonly sinceLsn: bigint
}

export interface PageScanRoom {
  readonly memory: LinearMemory
  readonly diskLimit?: RateLimit
  /** A sign of life after every read; throws to stop. */
  readonly onRead: (bytes: number) => void
}

const READ_BYTES = 1 << 20

type PagePlace = ReadPlace & { readonly position: number }

/**
 * Finds the changed pages of files: reads all of a file, or just the blocks that a map names, into memory of its own, where
 * pages are judged and verified in place. One per thread.
 */
export class PageScan {
  readonly #pageBytes: number
  readonly #selector: PageSelector
  readonly #limiter: RateLimiter | undefined
  readonly #readBytes: number
  readonly #onRead: (bytes: number) => void
  readonly #buffer: Uint8Array

  constructor(options: ScanOptions, room: PageScanRoom) {
    const { pageBytes, sinceLsn } = options
    this.#pageBytes = pageBytes
    this.#selector = new PageSelector(pageBytes, sinceLsn)
    this.#limiter = room.diskLimit === undefined ? undefined : openRateLimit(room.diskLimit)
    const wanted = room.diskLimit === undefined ? READ_BYTES : limitedReadBytes(room.diskLimit)
    this.#readBytes = Math.max(pageBytes, wanted - (wanted % pageBytes))
    this.#onRead = room.onRead
    const at = room.memory.allocate(this.#readBytes)
    this.#buffer = room.memory.bytes.subarray(at, at + this.#readBytes)
  }

  /** Looks at the file behind `fd`. `observer` is given what is read, in order. */
  async find(
    file: BatchFile,
    fd: number,
    order: FileOrder,
    observer: PageObserver | undefined,
  ): Promise<Selection> {
    this.#selector.begin(order.parent, order.method === 'scan visible')
    if (order.blocks === undefined) await this.#scan(file, fd, observer)
    else {
      await this.#lookAt(file, fd, order.blocks, observer)
      if (order.parent === undefined) await this.#lookAtEnd(file, fd, order.blocks)
    }
    return this.#selector.end(order.blocks !== undefined)
  }

  async #scan(file: BatchFile, fd: number, observer: PageObserver | undefined): Promise<void> {
    for (let position = 0; position < file.sizeBytes && !this.#selector.isWhole; ) {
      const wanted = Math.min(this.#readBytes, file.sizeBytes - position)
      const read = this.#read({ fd, path: file.path, position }, wanted)
      const bytes = read instanceof Promise ? await read : read
      observer?.observe(bytes)
      this.#selector.judge(bytes, position / this.#pageBytes)
      position += bytes.length
      // cut since the walk: WAL replay cuts the restored file too
      if (bytes.length < wanted) break
    }
  }

  async #lookAt(
    file: BatchFile,
    fd: number,
    blocks: Uint32Array,
    observer: PageObserver | undefined,
  ): Promise<void> {
    const perRead = this.#readBytes / this.#pageBytes
    const end = Math.floor(file.sizeBytes / this.#pageBytes)
    for (let from = 0; from < blocks.length && blocks[from]! < end && !this.#selector.isWhole; ) {
      let to = from + 1
      while (to < blocks.length && to - from < perRead && isNext(blocks, to, end)) to++
      const position = blocks[from]! * this.#pageBytes
      const read = this.#read({ fd, path: file.path, position }, (to - from) * this.#pageBytes)
      const bytes = read instanceof Promise ? await read : read
      observer?.seek(blocks[from]!)
      observer?.observe(bytes)
      this.#selector.take(bytes, blocks[from]!)
      from = to
    }
  }

  /**
   * Of a file whose size in the parent is not known: no map names pages that were added and not filled yet. They are at the end, among
   * named ones: what else is there and not zero was there before.
   */
  async #lookAtEnd(file: BatchFile, fd: number, blocks: Uint32Array): Promise<void> {
    const named = new Set(blocks)
    let block = Math.floor(file.sizeBytes / this.#pageBytes) - 1
    while (block >= 0 && named.has(block)) block--
    if (block < 0 || this.#selector.isWhole) return
    const position = block * this.#pageBytes
    const bytes = await this.#read({ fd, path: file.path, position }, this.#pageBytes)
    if (bytes.length > 0 && isZero(bytes)) this.#selector.take(bytes, block)
  }

  /**
   * Whole pages; less than `wanted` only at the end of the file. At once unless a rate limit holds: a delta has ten thousands of
   * pieces.
   */
  #read(place: PagePlace, wanted: number): Awaitable<Uint8Array> {
    const taken = this.#limiter?.take(wanted)
    return taken === undefined ? this.#readNow(place, wanted) : taken.then(() => this.#readNow(place, wanted))
  }

  #readNow({ fd, path, position }: PagePlace, wanted: number): Uint8Array {
    let got = 0
    while (got < wanted) {
      const count = readInto({ fd, path, position: position + got }, this.#buffer, got, wanted - got)
      if (count === 0) break
      got += count
    }
    this.#onRead(got)
    return this.#buffer.subarray(0, got - (got % this.#pageBytes))
  }
}

function isNext(blocks: Uint32Array, at: number, end: number): boolean {
  return blocks[at] === blocks[at - 1]! + 1 && blocks[at]! < end
}
