import { cancelled } from './clock.ts'

export interface DeadlineOptions {
  readonly timeoutMs: number
  readonly signal?: AbortSignal
  /** How long the work may go on after an abort, to clean up behind itself (default 0). */
  readonly graceMs?: number
  /** Makes the error; called only when the time is up. */
  readonly onTimeout: () => Error
}

/** A timer that is wound up again while the work shows signs of life. */
export interface Deadline {
  /** The work has advanced: the whole time is there again, and `extraMs` once more than that. */
  renew(extraMs?: number): void
  /** The work waits for somebody else: the time stands still until `renew`. */
  pause(): void
  /** Settles with `work`, or rejects when the time is up. Begins with the whole time. */
  race<T>(work: Promise<T>): Promise<T>
}

/** A longer timer would go off at once. */
const TIMER_MS_MAX = 2 ** 31 - 1

/**
 * Bounds a wait. The work itself is not stopped by this (a hung system call cannot be): who calls, aborts it
 * too and expects nothing more from it. A late failure of abandoned work is not an unhandled rejection.
 */
export function openDeadline(options: DeadlineOptions): Deadline {
  let renewedMs = performance.now()
  let isPaused = false
  const renew = (extraMs: number = 0): void => {
    renewedMs = performance.now() + extraMs
    isPaused = false
  }
  const pause = (): void => {
    isPaused = true
  }
  const race = <T>(work: Promise<T>): Promise<T> => {
    // Not `renew`: the work may have begun, and have paused the time, before it came here.
    renewedMs = performance.now()
    return new Promise<T>((resolve, reject) => {
      let timer: ReturnType<typeof setTimeout>
      const settle = (): void => {
        clearTimeout(timer)
        options.signal?.removeEventListener('abort', onAbort)
      }
      const giveUp = (error: Error): void => {
        settle()
        reject(error)
      }
      const onTimer = (): void => {
        const leftMs = isPaused ? options.timeoutMs : renewedMs + options.timeoutMs - performance.now()
        if (leftMs > 0) timer = setTimeout(onTimer, Math.min(leftMs, TIMER_MS_MAX))
        else giveUp(options.onTimeout())
      }
      const onAbort = (): void => {
        clearTimeout(timer)
        timer = setTimeout(() => giveUp(cancelled(options.signal)), options.graceMs ?? 0)
      }
      timer = setTimeout(onTimer, Math.min(options.timeoutMs, TIMER_MS_MAX))
      work.then(
        value => {
          settle()
          resolve(value)
        },
        error => {
          settle()
          reject(error)
        },
      )
      if (options.signal?.aborted === true) onAbort()
      else options.signal?.addEventListener('abort', onAbort, { once: true })
    })
  }
  return { renew, pause, race }
}

/** `openDeadline` for a single wait. */
export function withDeadline<T>(work: Promise<T>, options: DeadlineOptions): Promise<T> {
  return openDeadline(options).race(work)
}
