import { expect, test } from 'bun:test'
import { openDeadline, withDeadline } from './deadline.ts'

const late = new Error('too late')
const never = new Promise<never>(() => {})

test('work that settles in time is not disturbed', async () => {
  const options = { timeoutMs: 60_000, onTimeout: () => late }
  expect(await withDeadline(Promise.resolve(7), options)).toBe(7)
  const own = new Error('own')
  await expect(withDeadline(Promise.reject(own), options)).rejects.toBe(own)
})

test('work that never settles ends with the error that was prepared', async () => {
  await expect(withDeadline(never, { timeoutMs: 5, onTimeout: () => late })).rejects.toBe(late)
})

test('a late failure of abandoned work is nobody’s', async () => {
  const { promise, reject } = Promise.withResolvers<never>()
  await expect(withDeadline(promise, { timeoutMs: 1, onTimeout: () => late })).rejects.toBe(late)
  reject(new Error('much later'))
  await new Promise(resolve => setTimeout(resolve, 1))
})

test('work that advances, or waits for somebody else, has the whole time again', async () => {
  const deadline = openDeadline({ timeoutMs: 40, onTimeout: () => late })
  const { promise, resolve } = Promise.withResolvers<string>()
  const race = deadline.race(promise)
  deadline.pause()
  await new Promise(done => setTimeout(done, 100))
  deadline.renew()
  resolve('done')
  expect(await race).toBe('done')
})

test('an abort ends the wait, after a grace for cleaning up', async () => {
  const stop = new AbortController()
  const options = { timeoutMs: 60_000, graceMs: 1, signal: stop.signal, onTimeout: () => late }
  const race = withDeadline(never, options)
  stop.abort()
  await expect(race).rejects.toMatchObject({ code: 'CANCELLED' })
  await expect(withDeadline(never, options)).rejects.toMatchObject({ code: 'CANCELLED' })
})
