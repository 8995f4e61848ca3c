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
