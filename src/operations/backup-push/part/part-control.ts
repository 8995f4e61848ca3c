import { WalgError } from '../../../kit/errors.ts'

/**
 * What the part workers and the main thread tell each other through shared memory while parts are packed: the
 * next part number, signs of life, and the word to stop. No message is needed for any of it.
 */
const PARTS = 0
const STOP = 1
const WORKERS_AT = 4
/** For each worker: count of signs of life, and the turn of the file it is at plus 1. */
const WORKER_WORDS = 2
const DONE_BYTES_AT = 0

/** Plain data that crosses threads. */
export interface PartControlData {
  readonly words: SharedArrayBuffer
  readonly longs: SharedArrayBuffer
}

export function createPartControl(workersCount: number): PartControlData {
  return {
    words: new SharedArrayBuffer((WORKERS_AT + workersCount * WORKER_WORDS) * 4),
    longs: new SharedArrayBuffer(8),
  }
}

export class PartControl {
  readonly #words: Int32Array
  readonly #longs: BigInt64Array

  constructor(data: PartControlData) {
    this.#words = new Int32Array(data.words)
    this.#longs = new BigInt64Array(data.longs)
  }

  /** The number of the next part, from 1. */
  takePartNumber(): number {
    return Atomics.add(this.#words, PARTS, 1) + 1
  }

  /** Parts begun so far. */
  get partsCount(): number {
    return Atomics.load(this.#words, PARTS)
  }

  /** Tells all workers to stop at their next sign of life. */
  stop(): void {
    Atomics.store(this.#words, STOP, 1)
  }

  get isStopped(): boolean {
    return Atomics.load(this.#words, STOP) !== 0
  }

  /** A sign of life of a worker, with the bytes of files read since the last. Throws CANCELLED when told to stop. */
  beat(worker: number, turn: number, bytes: number): void {
    const at = WORKERS_AT + worker * WORKER_WORDS
    Atomics.add(this.#words, at, 1)
    this.#words[at + 1] = turn + 1
    if (bytes > 0) Atomics.add(this.#longs, DONE_BYTES_AT, BigInt(bytes))
    if (this.isStopped) throw new WalgError('CANCELLED', 'packing was stopped')
  }

  beatsOf(worker: number): number {
    return Atomics.load(this.#words, WORKERS_AT + worker * WORKER_WORDS)
  }

  /** The turn of the file a worker was at by its last sign of life; undefined before the first. */
  turnOf(worker: number): number | undefined {
    const turn = this.#words[WORKERS_AT + worker * WORKER_WORDS + 1]!
    return turn === 0 ? undefined : turn - 1
  }

  /** Bytes of files read by all workers together. */
  get doneBytes(): number {
    return Number(Atomics.load(this.#longs, DONE_BYTES_AT))
  }
}
