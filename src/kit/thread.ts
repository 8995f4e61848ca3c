/**
 * Whether this is the main thread, where nothing may block, or a worker, where blocking is the point. A worker says so
 * itself, as its first statement: asking `node:worker_threads` costs every thread some megabytes.
 */
let isWorker = false

/** Declares this thread a worker. */
export function beWorkerThread(): void {
  isWorker = true
}

export function isWorkerThread(): boolean {
  return isWorker
}

/** How the runtime offers its collector; another one may have none. */
interface CollectingRuntime {
  gc(isForced: boolean): unknown
}

/**
 * Collects garbage now. For loops that make text of hundreds of megabytes out of columns: what they leave behind is small
 * and dead at once, but the runtime lets the heap double before it looks.
 */
export function collectGarbage(): void {
  const { Bun: runtime } = globalThis as { readonly Bun?: CollectingRuntime }
  runtime?.gc(true)
}

/**
 * Counts things that are done, and collects garbage whenever another `count` of them are: a heap that is collected before
 * it has doubled stays small.
 */
export function collectGarbageEvery(count: number): (doneCount: number) => void {
  let sinceCount = 0
  return doneCount => {
    sinceCount += doneCount
    if (sinceCount < count) return
    sinceCount = 0
    collectGarbage()
  }
}
