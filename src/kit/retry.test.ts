import { expect, test } from 'bun:test'
import { manualClock } from '../../test/doubles/manual-clock.ts'
import { WalgError } from './errors.ts'
import { type RetryOptions, retry } from './retry.ts'

const passing = new WalgError('STORAGE_UNAVAILABLE', 'the server is away')

function options(
  given: Partial<RetryOptions> = {},
): RetryOptions & { clock: ReturnType<typeof manualClock> } {
  return { attemptsMax: 4, delayMs: 100, random: () => 1, ...given, clock: manualClock() }
}

function failing(
  times: number,
  error: Error = passing,
): { run: (attempt: number) => Promise<string>; attempts: number[] } {
  const attempts: number[] = []
  return {
    attempts,
    run: async attempt => {
      attempts.push(attempt)
      if (attempts.length <= times) throw error
      return 'done'
    },
  }
}

test('an action that works at once is done once and waits for nothing', async () => {
  const action = failing(0)
  const given = options()
  expect(await retry(action.run, given)).toBe('done')
  expect(action.attempts).toEqual([1])
  expect(given.clock.sleptMs).toEqual([])
})

test('waits double from try to try, up to the longest', async () => {
  const action = failing(5)
  const given = options({ attemptsMax: 6, delayMsMax: 350 })
  expect(await retry(action.run, given)).toBe('done')
  expect(action.attempts).toEqual([1, 2, 3, 4, 5, 6])
  expect(given.clock.sleptMs).toEqual([100, 200, 350, 350, 350])
})

test('half of a wait is drawn by lot', async () => {
  const given = options({ random: () => 0 })
  await retry(failing(2).run, given)
  expect(given.clock.sleptMs).toEqual([50, 100])
})

test('the last error is thrown as it was when the tries are used up', async () => {
  const action = failing(100)
  await expect(retry(action.run, options())).rejects.toBe(passing)
  expect(action.attempts).toHaveLength(4)
})

test('an error that will not pass is not tried again', async () => {
  const lasting = new WalgError('ACCESS_DENIED', 'no')
  const action = failing(100, lasting)
  await expect(retry(action.run, options())).rejects.toBe(lasting)
  expect(action.attempts).toEqual([1])
})

test('the caller may say which errors pass, and is told of each retry', async () => {
  const error = new Error('odd')
  const told: unknown[] = []
  const given = options({
    isRetryable: seen => seen === error,
    onRetry: (seen, attempt, delayMs) => told.push([seen, attempt, delayMs]),
  })
  await retry(failing(2, error).run, given)
  expect(told).toEqual([
    [error, 1, 100],
    [error, 2, 200],
  ])
})

test('no wait begins that would end after the deadline', async () => {
  const action = failing(100)
  const given = options({ attemptsMax: 50, deadlineMs: 1000 })
  await expect(retry(action.run, given)).rejects.toBe(passing)
  expect(given.clock.sleptMs).toEqual([100, 200, 400])
})

test('an abort ends the waiting with CANCELLED', async () => {
  const stop = new AbortController()
  const given = options({ signal: stop.signal, onRetry: () => stop.abort() })
  const action = failing(100)
  await expect(retry(action.run, given)).rejects.toMatchObject({ code: 'CANCELLED' })
  expect(action.attempts).toEqual([1])
})
