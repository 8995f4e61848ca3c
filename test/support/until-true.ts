/** Asks `check` again and again until it holds; after `timeoutMs` throws, naming `what` and the last error. */
export async function untilTrue(
  check: () => boolean | Promise<boolean>,
  timeoutMs = 30_000,
  what = 'the condition',
): Promise<void> {
  const deadline = performance.now() + timeoutMs
  let lastError: unknown
  for (let pauseMs = 5; ; pauseMs = Math.min(pauseMs * 1.5, 100)) {
    try {
      if (await check()) return
      lastError = undefined
    } catch (error) {
      lastError = error
    }
    if (performance.now() > deadline) {
      throw new Error(`${what} did not hold within ${timeoutMs} ms`, { cause: lastError })
    }
    await new Promise(resolve => setTimeout(resolve, pauseMs))
  }
}
