import { describe, expect, test } from 'bun:test'
import type { Clock } from '../../kit/clock.ts'
import { WalgError } from '../../kit/errors.ts'
import { delayAfter, type PatienceOptions, patientRequest, retryAfterMs } from './patient-request.ts'

function patience(slept: number[], more: Partial<PatienceOptions> = {}): PatienceOptions {
  let nowMs = 0
  const clock: Clock = {
    nowMs: () => nowMs,
    async sleep(delayMs) {
      slept.push(delayMs)
      nowMs += delayMs
    },
  }
  return { attemptsMax: 4, deadlineMs: 60_000, tryTimeoutMs: 5000, clock, random: () => 1, ...more }
}

const down = (facts = {}): WalgError => new WalgError('STORAGE_UNAVAILABLE', 'down', { facts, hint: 'wait' })

describe('a patient request', () => {
  test('is made again with growing pauses, and says in the end how much was tried', async () => {
    const slept: number[] = []
    let attempts = 0
    const work = patientRequest(async () => {
      attempts++
      throw down()
    }, patience(slept))
    const error = (await work.catch(caught => caught)) as WalgError
    expect(attempts).toBe(4)
    expect(slept).toEqual([200, 400, 800])
    expect(error.message).toBe('down; tried 4 times in 1 s')
    expect(error).toMatchObject({ code: 'STORAGE_UNAVAILABLE', hint: 'wait', facts: { attempts: 4 } })
  })

  test('waits as long as the server asks, unless that is beyond the deadline', async () => {
    const slept: number[] = []
    const answers = [down({ retryAfterMs: 7000 }), down({ retryAfterMs: 90_000 })]
    const work = patientRequest(async () => {
      throw answers.shift()!
    }, patience(slept))
    expect(await work.catch(caught => caught.facts.attempts)).toBe(2)
    expect(slept).toEqual([7000])
  })

  test('is not made again after a refusal', async () => {
    let attempts = 0
    const work = patientRequest(async () => {
      attempts++
      throw new WalgError('ACCESS_DENIED', 'no')
    }, patience([]))
    expect(await work.catch(caught => caught.message)).toBe('no')
    expect(attempts).toBe(1)
  })

  test('is given up and made again when nothing comes back, even if it does not hear', async () => {
    let attempts = 0
    const work = patientRequest(
      () => {
        attempts++
        return attempts === 1 ? new Promise<string>(() => {}) : Promise.resolve('answer')
      },
      patience([], { stallTimeoutMs: 30 }),
    )
    expect(await work).toBe('answer')
    expect(attempts).toBe(2)
  })
})

test('half of each pause is drawn by lot, and none is longer than 15 s', () => {
  expect(delayAfter(down(), 1, () => 0)).toBe(100)
  expect(delayAfter(down(), 30, () => 1)).toBe(15_000)
})

test('Retry-After is a number of seconds or a date, never negative, never endless', () => {
  const nowMs = Date.parse('2026-11-22T10:00:00Z')
  expect(retryAfterMs('3')).toBe(3000)
  expect(retryAfterMs('Sun, 22 Nov 2026 10:00:09 GMT', nowMs)).toBe(9000)
  expect(retryAfterMs('Sun, 22 Nov 2026 09:00:00 GMT', nowMs)).toBe(0)
  expect(retryAfterMs('86400')).toBe(120_000)
  for (const nothing of [undefined, null, '', 'soon']) expect(retryAfterMs(nothing)).toBeUndefined()
})
