import { type Clock, systemClock, throwIfCancelled } from './clock.ts'
import { hasCode, type WalgError } from './errors.ts'

export interface RetryOptions {
  /** Tries in total, the first one included; at least 1. */
  readonly attemptsMax: number
  /** Wait after the first failure; doubles with every further one. Half of each wait is drawn by lot. */
  readonly delayMs: number
  /** No single wait is longer (default 30 s). */
  readonly delayMsMax?: number
  /** No wait begins that would end later than this after the start. */
  readonly deadlineMs?: number
  /** Default: STORAGE_UNAVAILABLE and STORAGE_THROTTLED. */
  readonly isRetryable?: (error: unknown) => boolean
  /** Ends waiting with CANCELLED. */
  readonly signal?: AbortSignal
  /** Called before each wait: says what is tried again. */
  readonly onRetry?: (error: unknown, attempt: number, delayMs: number) => void
  readonly clock?: Clock
  readonly random?: () => number
}

/**
 * Runs `action` until it succeeds, fails for good, or the bounds are reached; then throws the last error as
 * it was. Only for what can be replayed: never around a stream. `attempt` counts from 1.
 */
export async function retry<T>(action: (attempt: number) => Promise<T>, options: RetryOptions): Promise<T> {
  const clock = options.clock ?? systemClock
  const isRetryable = options.isRetryable ?? isPassing
  const beganMs = clock.nowMs()
  for (let attempt = 1; ; attempt++) {
    throwIfCancelled(options.signal)
    try {
      return await action(attempt)
    } catch (error) {
      if (attempt >= options.attemptsMax || !isRetryable(error)) throw error
      const delayMs = delayBefore(attempt, options)
      if (options.deadlineMs !== undefined && clock.nowMs() - beganMs + delayMs > options.deadlineMs) {
        throw error
      }
      options.onRetry?.(error, attempt, delayMs)
      await clock.sleep(delayMs, options.signal)
    }
  }
}

/** True for trouble that may pass by itself. */
export function isPassing(error: unknown): error is WalgError {
  return hasCode(error, 'STORAGE_UNAVAILABLE', 'STORAGE_THROTTLED')
}

function delayBefore(attempt: number, options: RetryOptions): number {
  const random = options.random ?? Math.random
  const whole = Math.min(options.delayMs * 2 ** Math.min(attempt - 1, 30), options.delayMsMax ?? 30_000)
  return whole / 2 + (whole / 2) * random()
}
