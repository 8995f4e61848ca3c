import { WalgError } from './errors.ts'

/** Time as something that is handed in, so that tests turn the hands themselves. */
export interface Clock {
  /** Milliseconds that never run backwards; only differences mean anything. */
  nowMs(): number
  /** Throws CANCELLED when `signal` is aborted, before or during the sleep. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>
}

export const systemClock: Clock = {
  nowMs: () => performance.now(),
  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) return reject(cancelled(signal))
      const stop = (): void => {
        clearTimeout(timer)
        reject(cancelled(signal))
      }
      const timer = setTimeout(() => {
        signal?.removeEventListener('abort', stop)
        resolve()
      }, delayMs)
      signal?.addEventListener('abort', stop, { once: true })
    })
  },
}

/** The error of work that was told to stop. A WalgError given as the reason of the abort is used as it is. */
export function cancelled(signal?: AbortSignal): WalgError {
  if (signal?.reason instanceof WalgError) return signal.reason
  return new WalgError('CANCELLED', 'the work was interrupted', { cause: signal?.reason })
}

/** Throws CANCELLED when `signal` is aborted. */
export function throwIfCancelled(signal: AbortSignal | undefined): void {
  if (signal?.aborted === true) throw cancelled(signal)
}

/** Lets the other events of this thread have their turn: work that never waits would keep them out. */
export function eventTurn(): Promise<void> {
  return new Promise(resolve => setImmediate(resolve))
}
