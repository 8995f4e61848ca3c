import type { CodecDescription } from '../../../codec/codec.ts'
import { cancelled, throwIfCancelled } from '../../../kit/clock.ts'
import { decodeError } from '../../../kit/error-transport.ts'
import { WalgError } from '../../../kit/errors.ts'
import { type RateLimit, stopRateLimit } from '../../../kit/limits.ts'
import type { Progress } from '../../../kit/progress.ts'
import type { StorageDescription } from '../../../storage/description.ts'
import { type StorageStallWatch, watchStorageStalls } from '../../../storage/open-storage.ts'
import type { FeedAnswer } from './file-feed.ts'
import type { NumberedPart, PackReport, PartsTask } from './pack-task.ts'
import type { PackedFiles } from './packed-files.ts'
import { PartControl } from './part-control.ts'
import type { WorkerReply, WorkerRequest } from './part-worker.ts'

export interface PartWorkersOptions {
  readonly workersCount: number
  readonly storage: StorageDescription
  readonly codec: CodecDescription
}

export interface PackOptions {
  readonly signal: AbortSignal
  readonly progress: Progress
  /** A worker without a sign of life for so long ends the push. */
  readonly stallTimeoutMs: number
  /** How long the other workers may take to put away their open parts once one has failed; default 10 s. */
  readonly stopGraceMs?: number
  /** Everything but `part done`, which is in the result. */
  readonly onReport: (report: PackReport) => void
}

const TICK_MS = 200
const STOP_GRACE_MS = 10_000
const EXIT_GRACE_MS = 1000

/** One worker's turn at a task. */
interface Run {
  readonly finished: Promise<void>
  isFinished: boolean
}

/** Threads that pack parts side by side. Start them early: they are ready when the walk is. */
export class PartWorkers implements AsyncDisposable {
  readonly count: number
  readonly #workers: Worker[]
  readonly #stalls: StorageStallWatch
  readonly #networkLimit: RateLimit | undefined

  constructor(options: PartWorkersOptions) {
    this.count = options.workersCount
    this.#networkLimit = options.storage.networkLimit
    this.#stalls = watchStorageStalls(options.storage, options.workersCount)
    this.#workers = Array.from({ length: options.workersCount }, (_, index) => {
      const worker = new Worker(new URL('./part-worker.ts', import.meta.url))
      // A worker that dies before anybody asks for work is met again by `pack`.
      worker.addEventListener('error', event => event.preventDefault())
      this.#send(worker, {
        kind: 'open',
        worker: index,
        storage: this.#stalls.describe(index),
        codec: options.codec,
      })
      return worker
    })
  }

  /**
   * Packs `files` into parts, returned in the order of their numbers. The first failure (of a worker, by a
   * silent or dead one, by the signal) stops all; it is thrown when the others have put their open parts away.
   */
  async pack(task: PartsTask, files: PackedFiles, options: PackOptions): Promise<NumberedPart[]> {
    throwIfCancelled(options.signal)
    const control = new PartControl(task.control)
    const parts: NumberedPart[] = []
    const onReport = (report: PackReport): void => {
      if (report.kind === 'part done') parts.push(report.part)
      options.onReport(report)
    }
    const runs = this.#workers.map(worker => this.#run(worker, task, files, onReport))
    const watch = watchPacking(task, files, runs, options)
    try {
      const all = Promise.all(runs.map(run => run.finished))
      await Promise.race([all, watch.failed, this.#stalls.stalled])
    } catch (error) {
      control.stop()
      for (const limit of [task.diskLimit, this.#networkLimit]) if (limit !== undefined) stopRateLimit(limit)
      await settleWithin(runs, options.stopGraceMs ?? STOP_GRACE_MS)
      throw error
    } finally {
      watch.end()
    }
    return parts.sort((a, b) => a.number - b.number)
  }

  /** Ends the threads; idempotent. Temporaries of parts that were still open are the storage's to remove. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#stalls.close()
    const workers = this.#workers.splice(0)
    const exits = workers.map(worker => new Promise(resolve => worker.addEventListener('close', resolve)))
    for (const worker of workers) worker.terminate()
    await Promise.race([Promise.all(exits), sleep(EXIT_GRACE_MS)])
  }

  #send(worker: Worker, request: WorkerRequest): void {
    worker.postMessage(request)
  }

  #sendFiles(worker: Worker, answer: FeedAnswer): void {
    const transfer = typeof answer === 'object' ? [answer.rows, answer.names] : []
    worker.postMessage({ kind: 'files', answer } satisfies WorkerRequest, transfer)
  }

  #run(worker: Worker, task: PartsTask, files: PackedFiles, onReport: (report: PackReport) => void): Run {
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const run: Run = { finished: promise.finally(() => settle()), isFinished: false }
    const onMessage = ({ data: reply }: MessageEvent<WorkerReply>): void => {
      if (reply.kind === 'done') resolve()
      else if (reply.kind === 'failed') reject(decodeError(reply.error))
      else if (reply.kind === 'files done') files.record(reply.batch)
      else if (reply.kind === 'more files')
        this.#sendFiles(worker, files.nextBatch(reply.isAhead, this.count))
      else onReport(reply)
    }
    const onError = (event: ErrorEvent): void => {
      event.preventDefault()
      reject(new Error(`a part worker died: ${event.message}`, { cause: event.error }))
    }
    const onClose = (): void => reject(new Error('a part worker ended before its work was done'))
    const settle = (): void => {
      run.isFinished = true
      worker.removeEventListener('message', onMessage)
      worker.removeEventListener('error', onError)
      worker.removeEventListener('close', onClose)
    }
    run.finished.catch(() => {})
    worker.addEventListener('message', onMessage)
    worker.addEventListener('error', onError)
    worker.addEventListener('close', onClose)
    this.#send(worker, { kind: 'pack', task })
    return run
  }
}

/** Reports progress and looks for signs of life; `failed` rejects when there are none, or by the signal. */
function watchPacking(
  task: PartsTask,
  files: PackedFiles,
  runs: readonly Run[],
  options: PackOptions,
): { readonly failed: Promise<never>; end(): void } {
  const control = new PartControl(task.control)
  const { promise, reject } = Promise.withResolvers<never>()
  promise.catch(() => {})
  const beats = runs.map(() => ({ count: -1, sinceMs: performance.now() }))
  let doneBytes = 0
  const advance = (): void => {
    const bytes = control.doneBytes
    options.progress.advance(bytes - doneBytes)
    doneBytes = bytes
  }
  const tick = (): void => {
    advance()
    const nowMs = performance.now()
    for (const [worker, run] of runs.entries()) {
      const last = beats[worker]!
      const count = control.beatsOf(worker)
      if (count !== last.count) beats[worker] = { count, sinceMs: nowMs }
      else if (!run.isFinished && nowMs - last.sinceMs > options.stallTimeoutMs) {
        reject(stalled(control, files, worker, options.stallTimeoutMs))
      }
    }
  }
  const timer = setInterval(tick, TICK_MS)
  const onAbort = (): void => reject(cancelled(options.signal))
  options.signal.addEventListener('abort', onAbort, { once: true })
  return {
    failed: promise,
    end(): void {
      clearInterval(timer)
      options.signal.removeEventListener('abort', onAbort)
      advance()
    },
  }
}

function stalled(control: PartControl, files: PackedFiles, worker: number, timeoutMs: number): WalgError {
  const turn = control.turnOf(worker)
  const file = turn === undefined ? 'the first file' : `"${files.path(files.indexOfTurn(turn))}"`
  return new WalgError('TIMEOUT', `packing ${file} has not moved for ${Math.round(timeoutMs / 1000)} s`, {
    facts: { timeoutMs },
    hint: 'the disk or the storage hangs; look at the system log, then run the command again',
  })
}

async function settleWithin(runs: readonly Run[], timeoutMs: number): Promise<void> {
  await Promise.race([Promise.allSettled(runs.map(run => run.finished)), sleep(timeoutMs)])
}

function sleep(delayMs: number): Promise<void> {
  return new Promise(resolve => {
    setTimeout(resolve, delayMs).unref()
  })
}
