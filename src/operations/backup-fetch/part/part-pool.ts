import { Worker } from 'node:worker_threads'
import { cancelled, throwIfCancelled } from '../../../kit/clock.ts'
import { decodeError } from '../../../kit/error-transport.ts'
import { assert } from '../../../kit/errors.ts'
import type { Progress } from '../../../kit/progress.ts'
import type { StorageDescription } from '../../../storage/description.ts'
import { type StorageStallWatch, watchStorageStalls } from '../../../storage/open-storage.ts'
import type {
  ChecksumJob,
  ChecksumResult,
  FetchSetup,
  PartJob,
  PartResult,
  WorkerReply,
  WorkerRequest,
} from './part-protocol.ts'

const TICK_MS = 200
/** How long the other threads may take to stop once one has failed. */
const STOP_GRACE_MS = 5000

export interface PartPoolOptions {
  readonly workersCount: number
  readonly storage: StorageDescription
  readonly setup: Omit<FetchSetup, 'storage' | 'signals'>
  readonly signal: AbortSignal
  readonly progress: Progress
}

/** Begins something that is not urgent in the thread of `run`; undefined when there is nothing. */
export type SpareWork = (run: RunJob) => Promise<void> | undefined

interface Lane {
  readonly worker: Worker
  /** Work that was begun because others were busy, until it is done. */
  spare: Promise<void> | undefined
  settle: ((reply: WorkerReply) => void) | undefined
  fail: ((error: Error) => void) | undefined
}

/** Threads that unpack parts side by side, each one at a time. An abort ends everything at once. */
export class PartPool implements AsyncDisposable {
  readonly #lanes: Lane[]
  readonly #stop = new Int32Array(new SharedArrayBuffer(4))
  readonly #readBytes = new BigInt64Array(new SharedArrayBuffer(8))
  readonly #watch: StorageStallWatch
  readonly #signal: AbortSignal
  readonly #progress: Progress
  readonly #timer: ReturnType<typeof setInterval>
  #toldBytes = 0
  #jobs = 0

  constructor(options: PartPoolOptions) {
    this.#signal = options.signal
    this.#progress = options.progress
    this.#watch = watchStorageStalls(options.storage, options.workersCount)
    const signals = { stop: this.#stop.buffer, readBytes: this.#readBytes.buffer }
    this.#lanes = Array.from({ length: options.workersCount }, (_, index) =>
      openLane({ ...options.setup, storage: this.#watch.describe(index), signals }),
    )
    this.#timer = setInterval(() => this.#advance(), TICK_MS)
  }

  get workersCount(): number {
    return this.#lanes.length
  }

  /**
   * Runs `action` for every item, one per thread at a time, in order. The first failure stops all, and is thrown when
   * the others have stopped. A thread for which no item is left while others are at work is given `spare` work, if there is any;
   * that goes on beyond the call, and its failure is thrown by the next one.
   */
  async forEach<T>(
    items: readonly T[],
    action: (item: T, run: RunJob) => Promise<void>,
    spare: SpareWork = () => undefined,
  ): Promise<void> {
    let next = 0
    let working = 0
    const allTaken = Promise.withResolvers<void>()
    if (items.length === 0) allTaken.resolve()
    const lanes = this.#lanes.map(async lane => {
      const run: RunJob = job => this.#run(lane, job)
      // the others may be through with everything before this thread is free
      await Promise.race([lane.spare, allTaken.promise])
      working += 1
      while (next < items.length && !this.#isStopped) {
        const item = items[next++]!
        if (next === items.length) allTaken.resolve()
        await action(item, run)
      }
      working -= 1
      if (lane.spare === undefined)
        beginSpare(lane, () => (working > 0 && !this.#isStopped ? spare(run) : undefined))
    })
    await this.until(Promise.all(lanes), lanes)
  }

  /**
   * Waits for work that threads have begun. When it fails, or by an abort or a storage that hangs, all threads are stopped, and
   * the error is thrown when `lanes` and what is spare have settled.
   */
  async until(work: Promise<unknown>, lanes: readonly Promise<unknown>[] = []): Promise<void> {
    const { promise: aborted, reject } = Promise.withResolvers<never>()
    const onAbort = (): void => reject(cancelled(this.#signal))
    this.#signal.addEventListener('abort', onAbort, { once: true })
    try {
      throwIfCancelled(this.#signal)
      await Promise.race([work, aborted, this.#watch.stalled])
    } catch (error) {
      Atomics.store(this.#stop, 0, 1)
      if (!this.#signal.aborted)
        await settleWithin([...lanes, ...this.#lanes.map(({ spare }) => spare)], STOP_GRACE_MS)
      throw error
    } finally {
      this.#signal.removeEventListener('abort', onAbort)
      for (const promise of [work, aborted, ...lanes]) promise.catch(() => {})
      this.#advance()
    }
  }

  get #isStopped(): boolean {
    return Atomics.load(this.#stop, 0) !== 0
  }

  /** Ends the threads; idempotent. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer)
    this.#watch.close()
    for (const { worker } of this.#lanes.splice(0)) void worker.terminate()
  }

  #run<J extends PartJob | ChecksumJob>(lane: Lane, job: J): Promise<ResultOf<J>> {
    assert(lane.settle === undefined, 'a thread has one job at a time')
    const id = ++this.#jobs
    return new Promise<ResultOf<J>>((resolve, reject) => {
      const done = (): void => {
        lane.settle = undefined
        lane.fail = undefined
      }
      lane.fail = error => {
        done()
        reject(error)
      }
      lane.settle = reply => {
        assert(reply.id === id, 'a reply belongs to the job under way')
        done()
        if ('failure' in reply) reject(decodeError(reply.failure))
        else resolve(reply.result as ResultOf<J>)
      }
      lane.worker.postMessage({ id, job } satisfies WorkerRequest)
    })
  }

  #advance(): void {
    const bytes = Number(Atomics.load(this.#readBytes, 0))
    this.#progress.advance(bytes - this.#toldBytes)
    this.#toldBytes = bytes
  }
}

export type ResultOf<J> = J extends PartJob ? PartResult : ChecksumResult
export type RunJob = <J extends PartJob | ChecksumJob>(job: J) => Promise<ResultOf<J>>

function openLane(setup: FetchSetup): Lane {
  const worker = new Worker(new URL('./part-worker.ts', import.meta.url))
  const lane: Lane = { worker, spare: undefined, settle: undefined, fail: undefined }
  worker.on('message', (reply: WorkerReply) => lane.settle?.(reply))
  worker.on('error', error => lane.fail?.(new Error('a part worker died', { cause: error })))
  worker.on('exit', () => lane.fail?.(new Error('a part worker ended before its work was done')))
  worker.postMessage({ kind: 'setup', setup } satisfies WorkerRequest)
  return lane
}

/** One piece after the other for as long as `take` has any. A failure is thrown by the next `forEach`. */
function beginSpare(lane: Lane, take: () => Promise<void> | undefined): void {
  const first = take()
  if (first === undefined) return
  const work = async (): Promise<void> => {
    for (let piece: Promise<void> | undefined = first; piece !== undefined; piece = take()) await piece
    lane.spare = undefined
  }
  lane.spare = work()
  lane.spare.catch(() => {})
}

async function settleWithin(
  work: readonly (Promise<unknown> | undefined)[],
  timeoutMs: number,
): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise(resolve => {
    timer = setTimeout(resolve, timeoutMs)
  })
  await Promise.race([Promise.allSettled(work), late])
  clearTimeout(timer)
}
