/** Runs `work` for every item, at most `atATimeMax` of them at a time; the first failure ends it, once those under way have ended. */
export async function forEachOf<T>(
  items: readonly T[],
  atATimeMax: number,
  work: (item: T) => Promise<void>,
): Promise<void> {
  let at = 0
  let failure: { readonly error: unknown } | undefined
  const lane = async (): Promise<void> => {
    while (at < items.length && failure === undefined) {
      const item = items[at++] as T
      try {
        await work(item)
      } catch (error) {
        failure ??= { error }
      }
    }
  }
  await Promise.all(Array.from({ length: Math.min(atATimeMax, items.length) }, lane))
  if (failure !== undefined) throw failure.error
}
