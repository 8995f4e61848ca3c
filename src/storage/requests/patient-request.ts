import { type Clock, systemClock, throwIfCancelled } from '../../kit/clock.ts'
import { WalgError } from '../../kit/errors.ts'
import { notice } from '../../kit/log.ts'
import { isPassing } from '../../kit/retry.ts'

export interface PatienceOptions {
  /** Tries in total, the first one included; at least 1. */
  readonly attemptsMax: number
  /** No wait begins that would end later than this after the first try. */
  readonly deadlineMs: number
  /** Longest single try; its end counts as STORAGE_UNAVAILABLE. */
  readonly tryTimeoutMs: number
  /** A try that sends nothing, and a wait for the next byte, do not last longer; default: `tryTimeoutMs`. */
  readonly stallTimeoutMs?: number
  readonly clock?: Clock
  readonly random?: () => number
}

/** The setting, of which 0 means no limit. */
export function stallTimeoutOf(settingMs: number): number {
  return settingMs === 0 ? Number.POSITIVE_INFINITY : settingMs
}

const DELAY_MS_FIRST = 200
const DELAY_MS_MAX = 15_000
/** A server that asks for a longer pause than this is not waited for. */
const RETRY_AFTER_MS_MAX = 120_000
/** Nobody sees how far a body has got: it is given this rate, 64 KiB/s, beyond the usual time. */
const SLOW_LINE_BYTES_PER_MS = 64
/** What was aborted may take so long to say so in its own words. */
const ABORT_GRACE_MS = 500

/**
 * Makes a request that can be replayed until it succeeds, fails for good or the bounds are reached; then throws the last
 * error, with how much was tried. Waits grow and half of each is drawn by lot; a server's Retry-After
 * (`facts.retryAfterMs`) is honoured; each wait is told (`notice`). `attempt` counts from 1: from the second on, an earlier
 * try may have done its work although its answer was lost.
 */
export async function patientRequest<T>(
  request: (signal: AbortSignal, attempt: number) => Promise<T>,
  options: PatienceOptions,
  signal?: AbortSignal,
  bodyBytes: number = 0,
): Promise<T> {
  const clock = options.clock ?? systemClock
  const beganMs = clock.nowMs()
  const { tryTimeoutMs, stallTimeoutMs = tryTimeoutMs } = options
  const timeoutMs = Math.min(tryTimeoutMs, stallTimeoutMs + bodyBytes / SLOW_LINE_BYTES_PER_MS)
  for (let attempt = 1; ; attempt++) {
    throwIfCancelled(signal)
    try {
      return await oneTry(bounded => request(bounded, attempt), timeoutMs, signal)
    } catch (error) {
      throwIfCancelled(signal)
      const passedMs = clock.nowMs() - beganMs
      const delayMs = delayAfter(error, attempt, options.random ?? Math.random)
      const isEnough = attempt >= options.attemptsMax || passedMs + delayMs > options.deadlineMs
      if (!isPassing(error)) throw error
      if (isEnough) throw explained(error, attempt, passedMs)
      tell(error, attempt, delayMs, options.attemptsMax, options.deadlineMs - passedMs)
      await clock.sleep(delayMs, signal)
    }
  }
}

function tell(error: WalgError, attempt: number, delayMs: number, attemptsMax: number, leftMs: number): void {
  const tries = `${attempt} of ${attemptsMax - 1}, for ${Math.max(1, Math.round(leftMs / 1000))} s at most`
  notice(`${error.message}; trying again in ${(delayMs / 1000).toFixed(1)} s (${tries})`)
}

function explained(error: WalgError, attempts: number, passedMs: number): WalgError {
  if (attempts === 1) return error
  const { code, message, facts, hint, cause } = error
  return new WalgError(code, `${message}; tried ${attempts} times in ${Math.round(passedMs / 1000)} s`, {
    facts: { ...facts, attempts },
    cause,
    ...(hint === undefined ? {} : { hint }),
  })
}

/** One try: aborted by `signal`, or as STORAGE_UNAVAILABLE when it has lasted `timeoutMs`. Over then, whatever it does. */
async function oneTry<T>(
  request: (signal: AbortSignal) => Promise<T>,
  timeoutMs: number,
  signal: AbortSignal | undefined,
): Promise<T> {
  const stop = new AbortController()
  const forward = (): void => stop.abort(signal?.reason)
  const { promise: over, reject } = Promise.withResolvers<never>()
  let grace: ReturnType<typeof setTimeout> | undefined
  stop.signal.addEventListener('abort', () => {
    grace = setTimeout(() => reject(stop.signal.reason), ABORT_GRACE_MS)
  })
  signal?.addEventListener('abort', forward, { once: true })
  const timer = setTimeout(() => stop.abort(silence(timeoutMs)), Math.min(timeoutMs, TIMER_MS_MAX))
  try {
    return await Promise.race([request(stop.signal), over])
  } finally {
    clearTimeout(timer)
    clearTimeout(grace)
    signal?.removeEventListener('abort', forward)
  }
}

/** A longer timer would go off at once. */
const TIMER_MS_MAX = 2 ** 31 - 1

/** The error of a storage that says nothing. */
export function silence(timeoutMs: number): WalgError {
  return new WalgError('STORAGE_UNAVAILABLE', `no answer came for ${Math.round(timeoutMs / 100) / 10} s`, {
    facts: { timeoutMs },
  })
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
