import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { seed } from '../../test/support/seeded-random.ts'
import { hasCode } from './errors.ts'
import {
  createMemoryBudget,
  createRateLimit,
  openMemoryBudget,
  openRateLimit,
  stopRateLimit,
} from './limits.ts'

const MIB = 1 << 20

/** Some takers of one rate on a clock of its own: each takes, then works for a while, and so on. */
async function simulate(
  takers: readonly { chunkBytes: number; workMs: number }[],
  bytesPerSecond: number,
  forMs: number,
): Promise<number> {
  const limit = createRateLimit(bytesPerSecond)
  let passedBytes = 0
  const queue: { atMs: number; taker: number }[] = takers.map((_, taker) => ({ atMs: 0, taker }))
  while (queue.length > 0) {
    queue.sort((a, b) => b.atMs - a.atMs)
    const next = queue.pop()
    if (next === undefined || next.atMs > forMs) continue
    const { chunkBytes = 0, workMs = 0 } = takers[next.taker] ?? {}
    let waitedMs = 0
    const limiter = openRateLimit(limit, {
      mayBlock: false,
      nowNs: () => BigInt(Math.round((1_000_000 + next.atMs) * 1e6)),
      sleep: async delayMs => {
        waitedMs = delayMs
      },
    })
    await limiter.take(chunkBytes)
    const doneMs = next.atMs + waitedMs
    if (doneMs <= forMs) passedBytes += chunkBytes
    queue.push({ atMs: doneMs + workMs, taker: next.taker })
  }
  return passedBytes
}

test('several takers together never pass more than the rate over ten seconds, and use it', async () => {
  const chunk = fc.integer({ min: 1, max: 256 * 1024 })
  const taker = fc.record({ chunkBytes: chunk, workMs: fc.integer({ min: 0, max: 5 }) })
  await fc.assert(
    fc.asyncProperty(fc.array(taker, { minLength: 1, maxLength: 6 }), async takers => {
      const bytesPerSecond = 4 * MIB
      const passed = await simulate(takers, bytesPerSecond, 10_000)
      expect(passed).toBeLessThanOrEqual(bytesPerSecond * 10 * 1.05)
      const possible = takers.reduce(
        (sum, one) => sum + (one.chunkBytes / Math.max(one.workMs, 1e-9)) * 10_000,
        0,
      )
      const wanted = Math.min(bytesPerSecond * 10, possible)
      const slack = takers.reduce((sum, one) => sum + one.chunkBytes, 0)
      expect(passed).toBeGreaterThanOrEqual(wanted * 0.95 - slack)
    }),
    { seed, numRuns: 40 },
  )
})

test('nothing waits while the rate is not reached', () => {
  const limiter = openRateLimit(createRateLimit(1000 * MIB), { mayBlock: false })
  expect(limiter.take(1)).toBeUndefined()
  expect(limiter.take(0)).toBeUndefined()
})

test('idle time is not saved up beyond a tenth of a second', async () => {
  let nowMs = 0
  const waits: number[] = []
  const limiter = openRateLimit(createRateLimit(1000), {
    mayBlock: false,
    nowNs: () => BigInt(nowMs) * 1_000_000n,
    sleep: async delayMs => {
      waits.push(delayMs)
    },
  })
  nowMs = 3_600_000
  await limiter.take(1000)
  expect(waits).toEqual([900])
})

test('a clock that jumps back does not stop the work', async () => {
  let nowMs = 100_000_000
  const waits: number[] = []
  const limiter = openRateLimit(createRateLimit(1000), {
    mayBlock: false,
    nowNs: () => BigInt(nowMs) * 1_000_000n,
    sleep: async delayMs => {
      waits.push(delayMs)
    },
  })
  await limiter.take(1000)
  nowMs = 1_000_000
  await limiter.take(1000)
  expect(waits).toEqual([900, 1000])
})

test('a rate must be a positive number', () => {
  for (const rate of [0, -1, Number.NaN]) expect(() => createRateLimit(rate)).toThrow(RangeError)
})

test('waiting ends when the work is given up, and nothing waits after that', async () => {
  const limit = createRateLimit(1)
  const limiter = openRateLimit(limit, { mayBlock: false })
  const waiting = Promise.all([limiter.take(1000), limiter.take(1000)])
  const beganMs = performance.now()
  setTimeout(() => stopRateLimit(limit), 50)
  const outcome = await waiting.catch(error => error)
  expect(hasCode(outcome, 'CANCELLED')).toBe(true)
  expect(performance.now() - beganMs).toBeLessThan(5000)
  expect(limiter.take(1000)).toBeUndefined()
})

test('workers that block on one rate hold it together', async () => {
  const limit = createRateLimit(8 * MIB)
  const code = `
    import { openRateLimit } from ${JSON.stringify(new URL('./limits.ts', import.meta.url).href)}
    import { beWorkerThread } from ${JSON.stringify(new URL('./thread.ts', import.meta.url).href)}
    beWorkerThread()
    self.onmessage = ({ data }) => {
      const limiter = openRateLimit(data)
      const answers = []
      for (let n = 0; n < 8; n++) answers.push(limiter.take(128 * 1024))
      postMessage(answers.every(answer => answer === undefined))
    }`
  const url = URL.createObjectURL(new Blob([code], { type: 'application/typescript' }))
  const beganMs = performance.now()
  const workers = [1, 2, 3].map(() => new Worker(url))
  const answers = await Promise.all(
    workers.map(
      worker =>
        new Promise<boolean>((resolve, reject) => {
          worker.onmessage = ({ data }) => resolve(data as boolean)
          worker.onerror = reject
          worker.postMessage(limit)
        }),
    ),
  )
  for (const worker of workers) worker.terminate()
  URL.revokeObjectURL(url)
  expect(answers).toEqual([true, true, true])
  // 3 MiB at 8 MiB/s, less the tenth of a second that idle time saves: a bound that no slow machine can break.
  expect(performance.now() - beganMs).toBeGreaterThanOrEqual(3_000 / 8 - 110)
})

test('a memory budget is never exceeded by all its doors together, and who waits gets what is given back', async () => {
  const budget = createMemoryBudget(10 * MIB)
  const doors = [openMemoryBudget(budget), openMemoryBudget(structuredClone(budget))] as const
  let heldBytes = 0
  let mostBytes = 0
  const work = async (index: number): Promise<void> => {
    const door = doors[index % 2]!
    const bytes = (1 + (index % 4)) * MIB
    await door.take(bytes)
    heldBytes += bytes
    mostBytes = Math.max(mostBytes, heldBytes)
    await new Promise(resolve => setTimeout(resolve, 1))
    heldBytes -= bytes
    door.give(bytes)
  }
  await Promise.all(Array.from({ length: 40 }, (_, index) => work(index)))
  expect(mostBytes).toBeLessThanOrEqual(10 * MIB)
  expect(mostBytes).toBeGreaterThan(5 * MIB)
  expect(doors[1].tryTake(10 * MIB)).toBe(true)
  expect(doors[0].tryTake(1)).toBe(false)
})

test('who waits for memory that nobody gives back goes on, and more than all of it waits for all', async () => {
  const budget = createMemoryBudget(4 * MIB)
  const door = openMemoryBudget(budget, { patienceMs: 20 })
  await door.take(3 * MIB)
  await door.take(2 * MIB)
  door.give(3 * MIB)
  door.give(2 * MIB)
  await door.take(100 * MIB)
  expect(door.tryTake(1)).toBe(false)
  door.give(100 * MIB)
  expect(door.tryTake(4 * MIB)).toBe(true)
})

test('a wait for memory ends with its signal', async () => {
  const door = openMemoryBudget(createMemoryBudget(MIB))
  await door.take(MIB)
  const stop = new AbortController()
  const waiting = Promise.resolve(door.take(MIB, stop.signal))
  stop.abort()
  expect(waiting).rejects.toMatchObject({ code: 'CANCELLED' })
})
