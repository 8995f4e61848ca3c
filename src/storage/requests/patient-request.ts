import { type Clock, systemClock, throwIfCancelled } from '../../kit/clock.ts'
import { WalgError } from '../../kit/errors.ts'
import { isPassing } from '../../kit/retry.ts'

export interface PatienceOptions {
  /** Tries in total, the first one included; at least 1. */
  readonly attemptsMax: number
  /** No wait begins that would end later than this after the first try. */
  readonly deadlineMs: number
  /** Longest single try; its end counts as STORAGE_UNAVAILABLE. */
  readonly tryTimeoutMs: number
  readonly clock?: Clock
  readonly random?: () => number
}

const DELAY_MS_FIRST = 200
const DELAY_MS_MAX = 15_000
/** A server that asks for a longer pause than this is not waited for. */
const RETRY_AFTER_MS_MAX = 120_000

/**
 * Makes a request that can be replayed until it succeeds, fails for good or the bounds are reached; then throws the last
 * error. Waits grow and half of each is drawn by lot; a server's Retry-After (`facts.retryAfterMs`) is honoured.
 * `attempt` counts from 1: from the second on, an earlier try may have done its work although its answer was lost.
 */
export async function patientRequest<T>(
  request: (signal: AbortSignal, attempt: number) => Promise<T>,
  options: PatienceOptions,
  signal?: AbortSignal,
): Promise<T> {
  const clock = options.clock ?? systemClock
  const beganMs = clock.nowMs()
  for (let attempt = 1; ; attempt++) {
    throwIfCancelled(signal)
    try {
      return await oneTry(bounded => request(bounded, attempt), options.tryTimeoutMs, signal)
    } catch (error) {
      throwIfCancelled(signal)
      if (attempt >= options.attemptsMax || !isPassing(error)) throw error
      const delayMs = delayAfter(error, attempt, options.random ?? Math.random)
      if (clock.nowMs() - beganMs + delayMs > options.deadlineMs) throw error
      await clock.sleep(delayMs, signal)
    }
  }
}

/** One try: aborted by `signal`, or as STORAGE_UNAVAILABLE when it has lasted `timeoutMs`. */
async function oneTry<T>(
  request: (signal: AbortSignal) => Promise<T>,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<T> {
  const stop = new AbortController()
  const forward = (): void => stop.abort(signal?.reason)
  signal?.addEventListener('abort', forward, { once: true })
  const timer = setTimeout(() => {
    stop.abort(
      new WalgError('STORAGE_UNAVAILABLE', `no answer came for ${Math.round(timeoutMs / 1000)} s`, {
        facts: { timeoutMs },
      }),
    )
  }, timeoutMs)
  try {
    return await request(stop.signal)
  } finally {
    clearTimeout(timer)
    signal?.removeEventListener('abort', forward)
  }
}

/** The pause before the next try; pure but for `random`. */
export function delayAfter(error: unknown, attempt: number, random: () => number): number {
  const whole = Math.min(DELAY_MS_FIRST * 2 ** Math.min(attempt - 1, 20), DELAY_MS_MAX)
  const jittered = whole / 2 + (whole / 2) * random()
  const asked = error instanceof WalgError ? Number(error.facts['retryAfterMs'] ?? 0) : 0
  return Math.max(jittered, asked)
}

/** A `Retry-After` header, in milliseconds from `nowMs` on; undefined without one that can be read. */
export function retryAfterMs(
  header: string | null | undefined,
  nowMs: number = Date.now(),
): number | undefined {
  if (header === null || header === undefined || header.trim() === '') return undefined
  const seconds = Number(header)
  const ms = Number.isFinite(seconds) ? seconds * 1000 : Date.parse(header) - nowMs
  return Number.isFinite(ms) ? Math.min(Math.max(ms, 0), RETRY_AFTER_MS_MAX) : undefined
}
