import { type MemoryBudget, type MemoryLimiter, openMemoryBudget } from '../kit/limits.ts'

/** One allocation: small enough to be taken one by one, large enough to be sent in one go. */
export const BLOCK_BYTES: number = 1 << 20
/** Blocks that stay with a thread for its next object. */
const KEPT_BLOCKS_MAX = 40
/** What an object may begin with before it is known to be a large one. */
const FIRST_BYTES = 256 << 10

/** Memory of one thread for bytes on their way to a network storage, within the budget of the process. */
export class BlockPool {
  readonly #limiter: MemoryLimiter | undefined
  readonly #kept: Uint8Array[] = []
  /** The most that the budget allows altogether. */
  readonly limitBytes: number

  constructor(budget: MemoryBudget | undefined) {
    this.#limiter = budget === undefined ? undefined : openMemoryBudget(budget)
    this.limitBytes = budget?.limitBytes ?? Number.POSITIVE_INFINITY
  }

  /** Waits for room for a part of `bytesMax`; `sizeBytes`, when known, is what it will really have. */
  async openPart(bytesMax: number, sizeBytes?: number, signal?: AbortSignal): Promise<PartBlocks> {
    const firstBytes = Math.min(bytesMax, sizeBytes ?? FIRST_BYTES)
    await this.reserve(firstBytes, signal)
    return new PartBlocks(this, bytesMax, firstBytes)
  }

  /** A whole part, when there is room for it now. */
  tryOpenPart(bytesMax: number): PartBlocks | undefined {
    if (this.#limiter !== undefined && !this.#limiter.tryTake(bytesMax)) return undefined
    return new PartBlocks(this, bytesMax, bytesMax)
  }

  reserve(bytes: number, signal?: AbortSignal): Promise<void> | void {
    return this.#limiter?.take(bytes, signal)
  }

  giveBack(bytes: number): void {
    this.#limiter?.give(bytes)
  }

  takeBlock(): Uint8Array {
    return this.#kept.pop() ?? new Uint8Array(BLOCK_BYTES)
  }

  keepBlock(block: Uint8Array): void {
    if (block.length === BLOCK_BYTES && this.#kept.length < KEPT_BLOCKS_MAX) this.#kept.push(block)
  }
}

/** The bytes of one part: filled, sent (as often as it takes), emptied and filled again. */
export class PartBlocks {
  readonly bytesMax: number
  readonly #pool: BlockPool
  readonly #blocks: Uint8Array[] = []
  #reservedBytes: number
  #sizeBytes = 0

  constructor(pool: BlockPool, bytesMax: number, reservedBytes: number) {
    this.#pool = pool
    this.bytesMax = bytesMax
    this.#reservedBytes = reservedBytes
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  get isFull(): boolean {
    return this.#sizeBytes === this.bytesMax
  }

  /** Copies as much of `bytes` as has been reserved for; returns how much that was. */
  fill(bytes: Uint8Array): number {
    const count = Math.min(bytes.length, this.#reservedBytes - this.#sizeBytes)
    for (let at = 0; at < count; ) {
      const offset = this.#sizeBytes % BLOCK_BYTES
      if (offset === 0 && this.#blocks.length * BLOCK_BYTES === this.#sizeBytes) {
        this.#blocks.push(this.#pool.takeBlock())
      }
      const block = this.#blocks[this.#blocks.length - 1]!
      const piece = Math.min(count - at, BLOCK_BYTES - offset)
      block.set(bytes.subarray(at, at + piece), offset)
      at += piece
      this.#sizeBytes += piece
    }
    return count
  }

  /** Reserves the whole part: it has turned out larger than thought. */
  async grow(signal?: AbortSignal): Promise<void> {
    const missing = this.bytesMax - this.#reservedBytes
    if (missing <= 0) return
    await this.#pool.reserve(missing, signal)
    this.#reservedBytes = this.bytesMax
  }

  /** What was filled in, as it lies in memory. */
  bytes(): Uint8Array[] {
    return this.#blocks.map((block, index) =>
      block.subarray(0, Math.min(BLOCK_BYTES, this.#sizeBytes - index * BLOCK_BYTES)),
    )
  }

  /** Empty again; what was reserved stays reserved. */
  clear(): void {
    for (const block of this.#blocks.splice(0)) this.#pool.keepBlock(block)
    this.#sizeBytes = 0
  }

  /** Gives everything back; idempotent. */
  release(): void {
    this.clear()
    this.#pool.giveBack(this.#reservedBytes)
    this.#reservedBytes = 0
  }
}
