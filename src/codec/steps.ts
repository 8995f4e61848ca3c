import type { Awaitable } from '../kit/bytes.ts'

/** Work in steps: whatever is yielded is waited for, its value comes back. */
export type Steps<T> = Generator<Awaitable<unknown>, T, unknown>

/**
 * Runs steps to their end without a turn of the event loop for as long as nothing that is yielded is a promise,
 * so that one reader serves synchronous and asynchronous sources.
 */
export function runSteps<T>(steps: Steps<T>): Awaitable<T> {
  let result = steps.next()
  while (result.done !== true) {
    if (result.value instanceof Promise) return runStepsLater(steps, result.value)
    result = steps.next(result.value)
  }
  return result.value
}

async function runStepsLater<T>(steps: Steps<T>, first: Promise<unknown>): Promise<T> {
  let pending: Awaitable<unknown> = first
  for (;;) {
    let result: IteratorResult<Awaitable<unknown>, T>
    try {
      const value = await pending
      result = steps.next(value)
    } catch (error) {
      result = steps.throw(error)
    }
    if (result.done === true) return result.value
    pending = result.value
  }
}
