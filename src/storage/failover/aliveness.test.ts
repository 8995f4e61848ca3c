import { describe, expect, test } from 'bun:test'
import {
  type AlivenessLimits,
  isAlive,
  probedStatus,
  type StorageStatus,
  transferWeight,
  withResult,
} from './aliveness.ts'

const LIMITS: AlivenessLimits = {
  aliveLimit: 0.99,
  deadLimit: 0.88,
  alphaAliveMax: 0.05,
  alphaAliveMin: 0.01,
  alphaDeadMax: 0.5,
  alphaDeadMin: 0.1,
}

function after(status: StorageStatus, isSuccess: boolean, count: number, weight = 2000): StorageStatus {
  let at = status
  for (let result = 0; result < count; result++) at = withResult(at, { weight, isSuccess }, LIMITS, 1)
  return at
}

describe('aliveness', () => {
  test('after a probe is its result', () => {
    expect(isAlive(probedStatus(true, 0), LIMITS)).toBe(true)
    expect(isAlive(probedStatus(false, 0), LIMITS)).toBe(false)
  })

  test('moves as that of the original: 13 listings after a probe', () => {
    // Seen in the cache file of the original after as many listings and nothing else.
    expect(after(probedStatus(true, 0), true, 1)).toMatchObject({ potential: 100, actual: 100 })
    const status = after(probedStatus(true, 0), true, 13)
    expect(status.potential).toBeCloseTo(315.86874373935433, 9)
    expect(status.actual).toBeCloseTo(315.86874373935433, 9)
  })

  test('falls by failures until the storage is dead, and rises by successes until it is alive again', () => {
    let status = after(probedStatus(true, 0), true, 50)
    let failures = 0
    while (isAlive(status, LIMITS) && failures < 100) {
      status = after(status, false, 1)
      failures += 1
    }
    expect(failures).toBeGreaterThan(1)
    expect(failures).toBeLessThan(20)
    expect(isAlive(after(status, true, 1), LIMITS)).toBe(false)
    let successes = 0
    while (!isAlive(status, LIMITS) && successes < 1000) {
      status = after(status, true, 1)
      successes += 1
    }
    expect(isAlive(status, LIMITS)).toBe(true)
    // One failure does not throw it back.
    expect(isAlive(after(status, false, 1), LIMITS)).toBe(true)
  })

  test('larger objects weigh more', () => {
    expect(transferWeight(0)).toBe(1000)
    expect(transferWeight(100 << 20)).toBe(3000)
  })
})
