import type { Awaitable } from './bytes.ts'
import { cancelled, throwIfCancelled } from './clock.ts'
import { isWorkerThread } from './thread.ts'

/** A rate as plain data that can be sent to workers: all of them share it. */
export interface RateLimit {
  readonly bytesPerSecond: number
  /** [0] time in ns at which the last reserved byte has gone; [1] cost in ns of the reservations still waited for. */
  readonly shared: SharedArrayBuffer
  /** [0] 1: the work is given up, nobody is to wait any more. */
  readonly stop: SharedArrayBuffer
}

/** One thread's door to a rate. */
export interface RateLimiter {
  /**
   * Returns, or settles, when `bytes` more may pass. Blocks the thread in a worker; a promise on the main
   * thread whenever there is something to wait for. Throws CANCELLED when the work is given up meanwhile; what comes after
   * that, to clean up, passes at once.
   */
  take(bytes: number): Awaitable<void>
}

/** What a pause may be caught up with afterwards; also the most that passes at once after idle time. */
const BURST_NS = 100_000_000n
/** A clock that is off by more than this against the reservations has jumped. */
const CLOCK_JUMP_NS = 2_000_000_000n
/** How long the main thread waits before it looks whether the work is given up. */
const LOOK_MS = 100

/** Creates the shared state of one rate. Throws RangeError unless `bytesPerSecond` is a positive number. */
export function createRateLimit(bytesPerSecond: number): RateLimit {
  if (!(bytesPerSecond > 0)) throw new RangeError('a rate must be a positive number of bytes per second')
  return { bytesPerSecond, shared: new SharedArrayBuffer(16), stop: new SharedArrayBuffer(4) }
}

/** Ends the waiting of all threads at once, and for good: the work is given up. */
export function stopRateLimit({ stop }: RateLimit): void {
  const word = new Int32Array(stop)
  Atomics.store(word, 0, 1)
  Atomics.notify(word, 0)
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
  const mayBlock = options.mayBlock ?? isWorkerThread()
  const stop = new Int32Array(limit.stop)
  const isStopped = (): boolean => Atomics.load(stop, 0) !== 0
  const sleep = options.sleep ?? (delayMs => sleepUntil(isStopped, delayMs))
  const pause = async (waitMs: number): Promise<void> => {
    await sleep(waitMs)
    if (isStopped()) throw cancelled()
  }
  return {
    take(bytes: number): Awaitable<void> {
      if (bytes <= 0 || isStopped()) return
      const costNs = BigInt(Math.ceil((bytes * 1e9) / limit.bytesPerSecond))
      const waitMs = Number(reserve(state, costNs, nowNs())) / 1e6
      const arrive = (): void => void Atomics.sub(state, 1, costNs)
      if (waitMs < 1) return arrive()
      if (!mayBlock) return pause(waitMs).finally(arrive)
      const end = Atomics.wait(stop, 0, 0, waitMs)
      arrive()
      if (end !== 'timed-out') throw cancelled()
    },
  }
}

/** By timers: `Atomics.waitAsync` does not keep the process alive. */
async function sleepUntil(isStopped: () => boolean, delayMs: number): Promise<void> {
  const endMs = performance.now() + delayMs
  for (let leftMs = delayMs; leftMs > 0 && !isStopped(); leftMs = endMs - performance.now()) {
    await new Promise<void>(resolve => setTimeout(resolve, Math.min(leftMs, LOOK_MS)))
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

/** How much memory all threads together may hold for bytes in flight, as plain data that can be sent to workers. */
export interface MemoryBudget {
  readonly limitBytes: number
  /** [0] units taken; [1] how often something was given back. */
  readonly shared: SharedArrayBuffer
}

/**
 * One thread's door to the budget. A network storage takes what one of its buffers needs before it fills it, and gives
 * it back when the bytes are stored: what is in flight is bounded for the process, however many parts, segments and
 * storages are under way.
 *
 * Two rules keep it from standing still: who holds something must be able to end without taking more (take for a whole
 * part before its first byte, use `tryTake` for what only makes it faster), and who waits although nothing is given
 * back any more (`patienceMs`) goes on without permission: a copy written to two storages at a time holds one buffer
 * while it waits for the other.
 */
export interface MemoryLimiter {
  /** Settles when `bytes` are reserved; a request beyond the whole limit waits until nothing else is taken. */
  take(bytes: number, signal?: AbortSignal): Awaitable<void>
  /** Reserves `bytes` when they are free now. */
  tryTake(bytes: number): boolean
  give(bytes: number): void
}

const BUDGET_UNIT_BYTES = 1 << 16
const BUDGET_POLL_MS = 5

/** Creates the shared state of one budget. Throws RangeError unless `limitBytes` is positive. */
export function createMemoryBudget(limitBytes: number): MemoryBudget {
  if (!(limitBytes > 0)) throw new RangeError('a memory limit must be a positive number of bytes')
  return { limitBytes, shared: new SharedArrayBuffer(8) }
}

/** Opens a budget in this thread. */
export function openMemoryBudget(budget: MemoryBudget, options: { patienceMs?: number } = {}): MemoryLimiter {
  const state = new Int32Array(budget.shared)
  const limitUnits = Math.max(1, Math.floor(budget.limitBytes / BUDGET_UNIT_BYTES))
  const patienceMs = options.patienceMs ?? 5000
  const unitsOf = (bytes: number): number => Math.ceil(bytes / BUDGET_UNIT_BYTES)
  const tryTake = (bytes: number): boolean => {
    const units = Math.min(unitsOf(bytes), limitUnits)
    for (;;) {
      const taken = Atomics.load(state, 0)
      if (taken + units > limitUnits) return false
      if (Atomics.compareExchange(state, 0, taken, taken + unitsOf(bytes)) === taken) return true
    }
  }
  const wait = async (bytes: number, signal: AbortSignal | undefined): Promise<void> => {
    let given = Atomics.load(state, 1)
    for (let waitedMs = 0; !tryTake(bytes); waitedMs += BUDGET_POLL_MS) {
      throwIfCancelled(signal)
      const now = Atomics.load(state, 1)
      if (now !== given) waitedMs = 0
      given = now
      if (waitedMs >= patienceMs) {
        Atomics.add(state, 0, unitsOf(bytes))
        return
      }
      await new Promise<void>(resolve => setTimeout(resolve, BUDGET_POLL_MS))
    }
  }
  return {
    take: (bytes, signal) => (tryTake(bytes) ? undefined : wait(bytes, signal)),
    tryTake,
    give(bytes) {
      Atomics.sub(state, 0, unitsOf(bytes))
      Atomics.add(state, 1, 1)
    },
  }
}
