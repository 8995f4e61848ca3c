/**
 * Threads that have nothing left to do compress blocks for one that still has: the last large file of a backup would
 * otherwise keep one processor busy while all others are idle. Owners and members meet in shared memory; a block waits for
 * nobody: it is lent when a member is free at that moment, or compressed by its owner.
 */
import { assert } from '../kit/errors.ts'

/** Plain data that crosses threads: one slot for each member there can be. */
export interface BlockCrewData {
  /** Count of threads that may still lend, count of blocks lent, then the words of each slot. */
  readonly words: SharedArrayBuffer
  /** A block, and what became of it. Untouched memory costs nothing. */
  readonly slots: readonly SharedArrayBuffer[]
}

const LENDERS = 0
const LENT = 1
const SLOTS_AT = 2
/** Words of a slot. */
const SLOT_WORDS = 3
const STATE = 0
const COUNT = 1
const SIZE = 2

/** States of a slot: nobody there; a member waits; an owner fills it; a member works on it; done. */
const ABSENT = 0
const IDLE = 1
const CLAIMED = 2
const FULL = 3
const DONE = 4

/** As much as the largest block of any format. */
const SLOT_BYTES = 4 << 20
/** Waits are cut into pieces, and between them somebody gives a sign of life. */
const WAIT_MS = 100

/** Compresses one block after the other in the memory of its thread. */
export interface BlockCompressor {
  /** In place: returns the size, or 0 when the block does not become smaller and was left as it is. */
  compress(block: Uint8Array, count: number): number
  close(): void
}

/** For `threadsCount` threads that all begin with work of their own. */
export function createBlockCrew(threadsCount: number): BlockCrewData {
  const membersMax = threadsCount - 1
  const words = new SharedArrayBuffer((SLOTS_AT + membersMax * SLOT_WORDS) * 4)
  new Int32Array(words)[LENDERS] = threadsCount
  return { words, slots: Array.from({ length: membersMax }, () => new SharedArrayBuffer(SLOT_BYTES)) }
}

/** A block that somebody else works on. Collected once. */
export interface LentBlock {
  /** Waits; then `into` holds what is stored: the block as it was unless it is compressed. */
  collect(into: Uint8Array): { readonly sizeBytes: number; readonly isCompressed: boolean }
}

/** One thread's end. `onWait` is called in every pause, and throws to stop. */
export class BlockCrew {
  readonly #words: Int32Array
  readonly #slots: readonly Uint8Array[]
  readonly #onWait: () => void

  constructor(data: BlockCrewData, onWait: () => void) {
    this.#words = new Int32Array(data.words)
    this.#slots = data.slots.map(slot => new Uint8Array(slot))
    this.#onWait = onWait
  }

  /** Blocks that have been lent by anybody so far. */
  get lentCount(): number {
    return Atomics.load(this.#words, LENT)
  }

  /** Copies `block` to a member that is free; undefined when nobody is. */
  lend(block: Uint8Array): LentBlock | undefined {
    for (const [slot, bytes] of this.#slots.entries()) {
      const at = wordsAt(slot)
      if (block.length > bytes.length) return undefined
      if (Atomics.compareExchange(this.#words, at + STATE, IDLE, CLAIMED) !== IDLE) continue
      bytes.set(block)
      this.#words[at + COUNT] = block.length
      Atomics.add(this.#words, LENT, 1)
      this.#turn(at, FULL)
      return { collect: into => this.#collect(slot, into) }
    }
    return undefined
  }

  #collect(slot: number, into: Uint8Array): { sizeBytes: number; isCompressed: boolean } {
    const at = wordsAt(slot)
    while (Atomics.load(this.#words, at + STATE) === FULL) this.#wait(at, FULL)
    assert(Atomics.load(this.#words, at + STATE) === DONE, 'a lent block is collected once')
    const size = this.#words[at + SIZE]!
    const sizeBytes = size === 0 ? this.#words[at + COUNT]! : size
    into.set(this.#slots[slot]!.subarray(0, sizeBytes))
    this.#turn(at, IDLE)
    return { sizeBytes, isCompressed: size !== 0 }
  }

  /**
   * Says that this thread will lend nothing any more, and works for the others until the last of them has said so. Blocks
   * the thread. Without a free slot (more threads than announced) it returns at once.
   */
  serve(compressor: BlockCompressor): void {
    if (this.#leave() === 0) return
    const slot = this.#enter()
    if (slot === undefined) return
    const at = wordsAt(slot)
    const bytes = this.#slots[slot]!
    for (;;) {
      const state = Atomics.load(this.#words, at + STATE)
      if (state === FULL) {
        this.#words[at + SIZE] = compressor.compress(bytes, this.#words[at + COUNT]!)
        this.#turn(at, DONE)
        this.#onWait()
      } else if (state === IDLE && Atomics.load(this.#words, LENDERS) === 0) return
      else this.#wait(at, state)
    }
  }

  /** Returns how many may still lend; the last one wakes all members, so that they end. */
  #leave(): number {
    const lenders = Atomics.sub(this.#words, LENDERS, 1) - 1
    if (lenders === 0)
      for (const slot of this.#slots.keys()) Atomics.notify(this.#words, wordsAt(slot) + STATE)
    return lenders
  }

  #enter(): number | undefined {
    for (const slot of this.#slots.keys()) {
      const was = Atomics.compareExchange(this.#words, wordsAt(slot) + STATE, ABSENT, IDLE)
      if (was === ABSENT) return slot
    }
    return undefined
  }

  #turn(at: number, state: number): void {
    Atomics.store(this.#words, at + STATE, state)
    Atomics.notify(this.#words, at + STATE)
  }

  #wait(at: number, state: number): void {
    Atomics.wait(this.#words, at + STATE, state, WAIT_MS)
    this.#onWait()
  }
}

function wordsAt(slot: number): number {
  return SLOTS_AT + slot * SLOT_WORDS
}
