const leftovers = new Set<() => unknown>()

/**
 * Registers what must not stay behind when a test forgets or fails: run after the last test of a file at the latest
 * (`bunfig.toml` preloads this; `bun test` runs no exit handlers). Returns the way to take it back.
 */
export function cleanUpAtEnd(action: () => unknown): () => void {
  leftovers.add(action)
  return () => void leftovers.delete(action)
}

/** Runs and forgets everything registered, the latest first. */
export async function cleanUpNow(): Promise<void> {
  for (const action of [...leftovers].reverse()) await action()
  leftovers.clear()
}
