import { WalgError } from '../../kit/errors.ts'

/**
 * What the part workers and the main thread tell each other through shared memory while parts are packed: the
 * next file, the next part number, signs of life, and the word to stop. No message is needed for any of it.
 */
const TURN = 0
const PARTS = 1
const STOP = 2
const WORKERS_AT = 4
/** For each worker: count of signs of life, and the row it is at plus 1. */
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

  /** The number of the next file in the order of handing out, from 0; may be beyond the last. */
  takeTurn(): number {
    return Atomics.add(this.#words, TURN, 1)
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
  beat(worker: number, row: number, bytes: number): void {
    const at = WORKERS_AT + worker * WORKER_WORDS
    Atomics.add(this.#words, at, 1)
    this.#words[at + 1] = row + 1
    if (bytes > 0) Atomics.add(this.#longs, DONE_BYTES_AT, BigInt(bytes))
    if (this.isStopped) throw new WalgError('CANCELLED', 'packing was stopped')
  }

  beatsOf(worker: number): number {
    return Atomics.load(this.#words, WORKERS_AT + worker * WORKER_WORDS)
  }

  /** The row a worker was at by its last sign of life; undefined before the first file. */
  rowOf(worker: number): number | undefined {
    const row = this.#words[WORKERS_AT + worker * WORKER_WORDS + 1]!
    return row === 0 ? undefined : row - 1
  }

  /** Bytes of files read by all workers together. */
  get doneBytes(): number {
    return Number(Atomics.load(this.#longs, DONE_BYTES_AT))
  }
}
