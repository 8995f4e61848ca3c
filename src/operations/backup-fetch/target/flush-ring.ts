/**
 * Descriptors on their way from the threads that write files to those that flush them, in shared memory: descriptors
 * belong to the process, so any thread may flush and close what another one wrote. One producer per lane, any number
 * of flushing threads; nothing is sent as a message, because a million small files would be a million messages.
 */

/** Entries of a lane. A producer never has more under way. */
export const LANE_ENTRIES = 32

/** Plain data that crosses threads. */
export interface FlushRingData {
  readonly words: SharedArrayBuffer
}

/** What a flushing thread is to do. */
export interface FlushTask {
  readonly lane: number
  readonly sequence: number
  readonly fd: number
  /** Flush and go on: the file is still being written. Otherwise flush and close. */
  readonly isEarly: boolean
}

/** The first failure of a lane. */
export interface FlushFailure {
  readonly sequence: number
  /** Negative, as in system errors. */
  readonly errno: number
}

const PUSHED_TOTAL = 0
const STOP = 1
const LANES_AT = 4
/** Of a lane: pushed, taken, done, errno and sequence of the first failure; then the entries. */
const PUSHED = 0
const TAKEN = 1
const DONE = 2
const FAILED_ERRNO = 3
const FAILED_SEQUENCE = 4
const ENTRIES = 5
const LANE_WORDS: number = ENTRIES + LANE_ENTRIES
const WAIT_MS = 500

/** Shared memory for so many producers. */
export function createFlushRing(lanesCount: number): FlushRingData {
  return { words: new SharedArrayBuffer((LANES_AT + lanesCount * LANE_WORDS) * 4) }
}

export class FlushRing {
  readonly #words: Int32Array
  readonly #lanesCount: number

  constructor({ words }: FlushRingData) {
    this.#words = new Int32Array(words)
    this.#lanesCount = (this.#words.length - LANES_AT) / LANE_WORDS
  }

  /** Tasks of a lane that are not done. */
  underWay(lane: number): number {
    const at = this.#laneAt(lane)
    return (Atomics.load(this.#words, at + PUSHED) - Atomics.load(this.#words, at + DONE)) | 0
  }

  /** Returns the number of the task. The lane must have room. */
  push(lane: number, fd: number, isEarly: boolean): number {
    const at = this.#laneAt(lane)
    const sequence = Atomics.load(this.#words, at + PUSHED)
    Atomics.store(this.#words, at + ENTRIES + (sequence & (LANE_ENTRIES - 1)), isEarly ? -1 - fd : fd)
    Atomics.add(this.#words, at + PUSHED, 1)
    Atomics.add(this.#words, PUSHED_TOTAL, 1)
    Atomics.notify(this.#words, PUSHED_TOTAL, 1)
    return sequence
  }

  /** Blocks this thread until a task of the lane is done, or for a while. */
  waitForDone(lane: number): void {
    const at = this.#laneAt(lane)
    const done = Atomics.load(this.#words, at + DONE)
    if (Atomics.load(this.#words, at + PUSHED) !== done) Atomics.wait(this.#words, at + DONE, done, WAIT_MS)
  }

  failure(lane: number): FlushFailure | undefined {
    const at = this.#laneAt(lane)
    const errno = Atomics.load(this.#words, at + FAILED_ERRNO)
    return errno === 0 ? undefined : { errno, sequence: Atomics.load(this.#words, at + FAILED_SEQUENCE) }
  }

  /** The next task for a flushing thread; blocks until there is one. Undefined when all is stopped. */
  take(): FlushTask | undefined {
    for (;;) {
      if (Atomics.load(this.#words, STOP) !== 0) return undefined
      const pushed = Atomics.load(this.#words, PUSHED_TOTAL)
      for (let lane = 0; lane < this.#lanesCount; lane++) {
        const task = this.#takeFrom(lane)
        if (task !== undefined) return task
      }
      Atomics.wait(this.#words, PUSHED_TOTAL, pushed, WAIT_MS)
    }
  }

  /** `errno` 0 = it is on disk. */
  done({ lane, sequence }: FlushTask, errno: number): void {
    const at = this.#laneAt(lane)
    if (errno !== 0 && Atomics.load(this.#words, at + FAILED_ERRNO) === 0) {
      Atomics.store(this.#words, at + FAILED_SEQUENCE, sequence)
      Atomics.compareExchange(this.#words, at + FAILED_ERRNO, 0, errno)
    }
    Atomics.add(this.#words, at + DONE, 1)
    Atomics.notify(this.#words, at + DONE)
  }

  /** A lane begins anew: an earlier failure is forgotten. Only when nothing is under way. */
  reset(lane: number): void {
    Atomics.store(this.#words, this.#laneAt(lane) + FAILED_ERRNO, 0)
  }

  /** Lets all flushing threads end. */
  stop(): void {
    Atomics.store(this.#words, STOP, 1)
    Atomics.add(this.#words, PUSHED_TOTAL, 1)
    Atomics.notify(this.#words, PUSHED_TOTAL)
  }

  #laneAt(lane: number): number {
    return LANES_AT + lane * LANE_WORDS
  }

  #takeFrom(lane: number): FlushTask | undefined {
    const at = this.#laneAt(lane)
    for (;;) {
      const sequence = Atomics.load(this.#words, at + TAKEN)
      if (sequence === Atomics.load(this.#words, at + PUSHED)) return undefined
      // an entry is overwritten only when it is done, so it is good if the exchange succeeds
      const entry = Atomics.load(this.#words, at + ENTRIES + (sequence & (LANE_ENTRIES - 1)))
      if (Atomics.compareExchange(this.#words, at + TAKEN, sequence, (sequence + 1) | 0) !== sequence)
        continue
      return { lane, sequence, fd: entry < 0 ? -1 - entry : entry, isEarly: entry < 0 }
    }
  }
}
