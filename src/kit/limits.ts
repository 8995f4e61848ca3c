import type { Awaitable } from './bytes.ts'
import { isWorkerThread } from './thread.ts'

/** A rate as plain data that can be sent to workers: all of them share it. */
export interface RateLimit {
  readonly bytesPerSecond: number
  /** [0] time in ns at which the last reserved byte has gone; [1] cost in ns of the reservations still waited for. */
  readonly shared: SharedArrayBuffer
}

/** One thread's door to a rate. */
export interface RateLimiter {
  /**
   * Returns, or settles, when `bytes` more may pass. Blocks the thread in a worker; a promise on the main
   * thread whenever there is something to wait for.
   */
  take(bytes: number): Awaitable<void>
}

/** What a pause may be caught up with afterwards; also the most that passes at once after idle time. */
const BURST_NS = 100_000_000n
/** A clock that is off by more than this against the reservations has jumped. */
const CLOCK_JUMP_NS = 2_000_000_000n

/** Creates the shared state of one rate. Throws RangeError unless `bytesPerSecond` is a positive number. */
export function createRateLimit(bytesPerSecond: number): RateLimit {
  if (!(bytesPerSecond > 0)) throw new RangeError('a rate must be a positive number of bytes per second')
  return { bytesPerSecond, shared: new SharedArrayBuffer(16) }
}

export interface RateLimiterOptions {
  /** Default: what the thread is; a worker blocks, the main thread does not. */
  readonly mayBlock?: boolean
  readonly nowNs?: () => bigint
  readonly sleep?: (delayMs: number) => Promise<void>
}

/**
 * Opens a rate in this thread. Bytes are let through at the moment the last of them is due, so over any time T
 * no more than rate x (T + 0.1 s) pass, for all threads together.
 */
export function openRateLimit(limit: RateLimit, options: RateLimiterOptions = {}): RateLimiter {
  const state = new BigInt64Array(limit.shared)
  const nowNs = options.nowNs ?? systemNowNs
  const sleep = options.sleep ?? (delayMs => new Promise<void>(resolve => setTimeout(resolve, delayMs)))
  const mayBlock = options.mayBlock ?? isWorkerThread()
  const pause = mayBlock ? new Int32Array(new SharedArrayBuffer(4)) : undefined
  return {
    take(bytes: number): Awaitable<void> {
      if (bytes <= 0) return
      const costNs = BigInt(Math.ceil((bytes * 1e9) / limit.bytesPerSecond))
      const waitNs = reserve(state, costNs, nowNs())
      const waitMs = Number(waitNs) / 1e6
      if (waitMs < 1) {
        Atomics.sub(state, 1, costNs)
        return
      }
      if (pause !== undefined) {
        Atomics.wait(pause, 0, 0, waitMs)
        Atomics.sub(state, 1, costNs)
        return
      }
      return sleep(waitMs).then(() => {
        Atomics.sub(state, 1, costNs)
      })
    },
  }
}

/** Books `costNs` behind what is booked already; returns how long to wait. */
function reserve(state: BigInt64Array, costNs: bigint, nowNs: bigint): bigint {
  const pendingNs = Atomics.add(state, 1, costNs)
  for (;;) {
    const bookedNs = Atomics.load(state, 0)
    let beginNs = bookedNs > nowNs - BURST_NS ? bookedNs : nowNs - BURST_NS
    if (beginNs > nowNs + pendingNs + CLOCK_JUMP_NS) beginNs = nowNs
    const endNs = beginNs + costNs
    if (Atomics.compareExchange(state, 0, bookedNs, endNs) === bookedNs) return endNs - nowNs
  }
}

/** The wall clock of the thread's start, then monotonic: the only time that threads agree on. */
function systemNowNs(): bigint {
  return BigInt(Math.round((performance.timeOrigin + performance.now()) * 1e6))
}
