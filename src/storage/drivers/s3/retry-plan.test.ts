import { afterEach, expect, test } from 'bun:test'
import fc from 'fast-check'
import { seed } from '../../../../test/support/seeded-random.ts'
import { onNotice } from '../../../kit/log.ts'
import { S3Fault } from './fault.ts'
import { RetryPlan, type RetryPlanOptions } from './retry-plan.ts'

const FAULT = new S3Fault({ status: 500, code: 'InternalError', message: 'internal error' })

function plan(given: Partial<RetryPlanOptions> = {}): RetryPlan {
  return new RetryPlan({
    retriesMax: 15,
    throttledDelayMsMin: 500,
    throttledDelayMsMax: 300_000,
    deadlineMs: () => 300_000,
    what: 'https://h: put "key"',
    ...given,
  })
}

afterEach(() => onNotice(() => {}))

test('waits grow, are never the same for everybody, and end by number and by time', () => {
  fc.assert(
    fc.property(fc.double({ min: 0, max: 1, noNaN: true }), fc.boolean(), (lot, isThrottled) => {
      let nowMs = 0
      const retries = plan({ nowMs: () => nowMs, random: () => lot })
      let count = 0
      for (;;) {
        const delayMs = retries.next(FAULT, isThrottled)
        if (delayMs === undefined) break
        const whole = isThrottled ? Math.min(500 * 2 ** count, 300_000) : Math.min(100 * 2 ** count, 20_000)
        expect(delayMs).toBeGreaterThanOrEqual(whole / 2)
        expect(delayMs).toBeLessThanOrEqual(whole)
        nowMs += delayMs
        count++
      }
      expect(count).toBeGreaterThan(5)
      expect(count).toBeLessThanOrEqual(15)
      expect(nowMs).toBeLessThanOrEqual(300_000)
    }),
    { seed },
  )
})

test('a store is left alone for as long as it asks', () => {
  const busy = new S3Fault({ status: 503, code: 'SlowDown', message: 'slow down', retryAfterMs: 30_000 })
  expect(plan().next(busy, true)).toBe(30_000)
  expect(plan({ deadlineMs: () => 20_000 }).next(busy, true)).toBeUndefined()
})

test('every wait is said when it begins: what failed, when it is tried again, for how long yet', () => {
  const notices: string[] = []
  onNotice(text => notices.push(text))
  plan({ random: () => 1 }).next(FAULT, false)
  expect(notices).toEqual([
    'https://h: put "key": internal error; trying again in 0.1 s (1 of 15, for 300 s at most)',
  ])
})
