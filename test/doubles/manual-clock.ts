import { type Clock, cancelled } from '../../src/kit/clock.ts'

/** A clock whose sleeps end at once and are written down; time moves only by sleeping and by `advance`. */
export interface ManualClock extends Clock {
  readonly sleptMs: readonly number[]
  advance(byMs: number): void
}

export function manualClock(): ManualClock {
  let nowMs = 0
  const sleptMs: number[] = []
  return {
    sleptMs,
    nowMs: () => nowMs,
    advance(byMs) {
      nowMs += byMs
    },
    async sleep(delayMs, signal) {
      if (signal?.aborted === true) throw cancelled(signal)
      sleptMs.push(delayMs)
      nowMs += delayMs
    },
  }
}
