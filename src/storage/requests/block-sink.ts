import type { Awaitable } from '../../kit/bytes.ts'
import { throwIfCancelled } from '../../kit/clock.ts'
import type { MemoryLimiter } from '../../kit/limits.ts'
import { sinkClosed } from '../lifetime.ts'
import type { ObjectSink } from '../storage.ts'

/** How one object travels: whole when it fits into one block, else block by block. A driver's side of a `BlockSink`. */
export interface BlockUpload {
  /** The whole object in one request. Only the first and last call of an object. */
  putWhole(bytes: Uint8Array): Promise<void>
  /** A full block that others will follow; `index` counts from 0. */
  putBlock(index: number, bytes: Uint8Array): Promise<void>
  /** The last block, once every other has arrived: the object becomes visible. */
  finish(index: number, bytes: Uint8Array): Promise<void>
  /** Nothing stays, and nothing was visible. After it no other call is made. */
  discard(): Promise<void>
}

export interface BlockSinkOptions {
  readonly key: string
  readonly storage: string
  readonly blockSizeBytes: number
  /** Block buffers, the one being filled included; at least 1. */
  readonly blocksMax: number
  /** Every so many blocks they become twice as large (default 10,000). */
  readonly blocksOfASize?: number
  /** false: one block arrives before the next one sets out. */
  readonly isParallel: boolean
  /** What the object will probably have. */
  readonly expectedSizeBytes?: number | undefined
  /** What all threads together may hold. */
  readonly memory?: MemoryLimiter | undefined
  readonly signal: AbortSignal | undefined
}

/** Every so many blocks they become twice as large, unless said otherwise: services count the blocks of an object. */
const BLOCKS_OF_A_SIZE = 10_000
/** What an object begins with before it is known to be a large one. */
const BUFFER_BYTES_FIRST = 256 * 1024

/** The size of block `index`, when the first has `firstBytes`. */
export function blockSizeAt(
  index: number,
  firstBytes: number,
  blocksOfASize: number = BLOCKS_OF_A_SIZE,
): number {
  return firstBytes * 2 ** Math.floor(index / blocksOfASize)
}

/**
 * Gathers bytes into blocks and sends them while the next is filled. Memory: at most `blocksMax` buffers, used again and
 * again; the first is waited for, the others are taken when there is room. A block sets out when the byte after it comes, so that the last one, full or not, goes with `finish`.
 */
export class BlockSink implements ObjectSink {
  readonly #upload: BlockUpload
  readonly #options: BlockSinkOptions
  readonly #free: Uint8Array[] = []
  readonly #underWay = new Set<Promise<void>>()
  readonly #takenBytes: number[] = []
  #buffer: Uint8Array = new Uint8Array(0)
  #filledBytes = 0
  #index = 0
  #failure: { readonly error: unknown } | undefined
  #state: 'open' | 'ended' | 'aborted' = 'open'

  constructor(upload: BlockUpload, options: BlockSinkOptions) {
    this.#upload = upload
    this.#options = options
  }

  write(bytes: Uint8Array): Awaitable<void> {
    this.#checkOpen()
    if (this.#filledBytes + bytes.length <= this.#buffer.length) return this.#fill(bytes)
    return this.#writeAcross(bytes)
  }

  /** Ends as `abort` when it fails. */
  async end(): Promise<void> {
    this.#checkOpen()
    this.#state = 'ended'
    try {
      await Promise.all(this.#underWay)
      if (this.#failure !== undefined) throw this.#failure.error
      throwIfCancelled(this.#options.signal)
      const rest = this.#buffer.subarray(0, this.#filledBytes)
      if (this.#index === 0) await this.#upload.putWhole(rest)
      else await this.#upload.finish(this.#index, rest)
    } catch (error) {
      this.#failure ??= { error }
      await this.#discard()
      throw this.#failure.error
    } finally {
      this.#release()
    }
  }

  async abort(): Promise<void> {
    if (this.#state !== 'open') return
    this.#state = 'aborted'
    await this.#discard()
    this.#release()
  }

  get #blockBytes(): number {
    return blockSizeAt(this.#index, this.#options.blockSizeBytes, this.#options.blocksOfASize)
  }

  #fill(bytes: Uint8Array): void {
    this.#buffer.set(bytes, this.#filledBytes)
    this.#filledBytes += bytes.length
  }

  async #writeAcross(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      if (this.#filledBytes === this.#blockBytes) await this.#send()
      else if (this.#filledBytes === this.#buffer.length) await this.#grow(bytes.length - at)
      const part = bytes.subarray(at, at + this.#buffer.length - this.#filledBytes)
      this.#fill(part)
      at += part.length
    }
  }

  /** Once to what is expected, then to a whole block. */
  async #grow(neededBytes: number): Promise<void> {
    const { expectedSizeBytes = BUFFER_BYTES_FIRST, memory, signal } = this.#options
    const isFirst = this.#buffer.length === 0
    const wanted = isFirst ? Math.max(expectedSizeBytes, neededBytes) : this.#blockBytes
    const larger = new Uint8Array(Math.min(wanted, this.#blockBytes))
    const missingBytes = larger.length - this.#buffer.length
    await memory?.take(missingBytes, signal)
    this.#takenBytes.push(missingBytes)
    larger.set(this.#buffer.subarray(0, this.#filledBytes))
    this.#buffer = larger
  }

  /** Sends the full buffer, and waits until there is another to fill. */
  async #send(): Promise<void> {
    const block = this.#buffer
    const index = this.#index++
    this.#filledBytes = 0
    if (!this.#options.isParallel) await Promise.all(this.#underWay)
    this.#checkFailure()
    const sent = this.#upload
      .putBlock(index, block)
      .catch(error => {
        this.#failure ??= { error }
      })
      .then(() => {
        this.#underWay.delete(sent)
        this.#free.push(block)
      })
    this.#underWay.add(sent)
    this.#buffer = await this.#nextBuffer()
    this.#checkFailure()
  }

  async #nextBuffer(): Promise<Uint8Array> {
    const { blocksMax, memory } = this.#options
    for (;;) {
      const free = this.#free.pop()
      if (free?.length === this.#blockBytes) return free
      const isAllowed = this.#underWay.size < blocksMax
      // blocks that have become larger replace those that were free
      if (free !== undefined || (isAllowed && (memory?.tryTake(this.#blockBytes) ?? true))) {
        if (free === undefined) this.#takenBytes.push(this.#blockBytes)
        return new Uint8Array(this.#blockBytes)
      }
      await Promise.race(this.#underWay)
    }
  }

  async #discard(): Promise<void> {
    await Promise.all(this.#underWay)
    // what was never visible stays so; the failure that led here is the one to report
    await this.#upload.discard().catch(() => {})
  }

  #release(): void {
    for (const bytes of this.#takenBytes.splice(0)) this.#options.memory?.give(bytes)
    this.#free.length = 0
    this.#buffer = new Uint8Array(0)
    this.#filledBytes = 0
  }

  #checkFailure(): void {
    if (this.#failure !== undefined) throw this.#failure.error
    throwIfCancelled(this.#options.signal)
  }

  #checkOpen(): void {
    this.#checkFailure()
    if (this.#state !== 'open') throw sinkClosed(this.#options.key, this.#options.storage)
  }
}
