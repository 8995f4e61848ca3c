import { WalgError } from '../../../kit/errors.ts'
import { notice } from '../../../kit/log.ts'
import { S3Fault } from './fault.ts'

export interface RetryPlanOptions {
  readonly retriesMax: number
  readonly throttledDelayMsMin: number
  readonly throttledDelayMsMax: number
  /** No wait begins that would end later than this after the last progress; asked anew for every wait. */
  readonly deadlineMs: () => number
  /** For notices: `https://host: put "key"`. */
  readonly what: string
  readonly nowMs?: () => number
  readonly random?: () => number
}

const DELAY_MS_MIN = 100
const DELAY_MS_MAX = 20_000

/** Decides how long to wait before the next attempt, and says so at once: nobody shall wait without a word. */
export class RetryPlan {
  readonly #options: RetryPlanOptions
  #beganMs: number
  #retries = 0

  constructor(options: RetryPlanOptions) {
    this.#options = options
    this.#beganMs = this.#nowMs()
  }

  /** Milliseconds to wait; undefined: enough tried. Half of each wait is drawn by lot. */
  next(error: Error, isThrottled: boolean): number | undefined {
    const { retriesMax, throttledDelayMsMin, throttledDelayMsMax, what } = this.#options
    const deadlineMs = this.#options.deadlineMs()
    if (this.#retries >= retriesMax) return undefined
    const [min, max] = isThrottled ? [throttledDelayMsMin, throttledDelayMsMax] : [DELAY_MS_MIN, DELAY_MS_MAX]
    const whole = Math.min(min * 2 ** Math.min(this.#retries, 30), max)
    const random = this.#options.random ?? Math.random
    const asked = error instanceof S3Fault ? (error.retryAfterMs ?? 0) : 0
    const delayMs = Math.max(whole / 2 + (whole / 2) * random(), asked)
    const passedMs = this.#nowMs() - this.#beganMs
    if (passedMs + delayMs > deadlineMs) return undefined
    this.#retries++
    const left = Math.max(1, Math.round((deadlineMs - passedMs) / 1000))
    const seconds = (delayMs / 1000).toFixed(1)
    notice(
      `${what}: ${error.message}; trying again in ${seconds} s (${this.#retries} of ${retriesMax}, for ${left} s at most)`,
    )
    return delayMs
  }

  /** Something got further: retries and time begin anew. */
  renew(): void {
    this.#retries = 0
    this.#beganMs = this.#nowMs()
  }

  /** The last error, with how much was tried. */
  explain(error: WalgError): WalgError {
    if (this.#retries === 0) return error
    const seconds = Math.round((this.#nowMs() - this.#beganMs) / 1000)
    return new WalgError(error.code, `${error.message}; tried ${this.#retries + 1} times in ${seconds} s`, {
      facts: { ...error.facts, attempts: this.#retries + 1 },
      cause: error.cause,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    })
  }

  #nowMs(): number {
    return (this.#options.nowMs ?? (() => performance.now()))()
  }
}
