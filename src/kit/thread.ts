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

/** What the runtime offers beside the language; another one may have none of it. */
interface TunableRuntime {
  gc(isForced: boolean): unknown
  readonly unsafe?: { setJITPolicy?(scale: number): void }
}

function tunableRuntime(): TunableRuntime | undefined {
  return (globalThis as { readonly Bun?: TunableRuntime }).Bun
}

/**
 * The executable starts with its compilers held back (`scripts/build.ts`): right for a process per WAL segment. Work that
 * takes longer than a start lets them do what they usually do.
 */
export function expectLongWork(): void {
  tunableRuntime()?.unsafe?.setJITPolicy?.(1)
}

/**
 * Collects garbage now. For loops that make text of hundreds of megabytes out of columns: what they leave behind is small
 * and dead at once, but the runtime lets the heap double before it looks.
 */
export function collectGarbage(): void {
  tunableRuntime()?.gc(true)
}
