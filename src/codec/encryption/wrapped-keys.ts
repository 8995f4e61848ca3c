/** Data keys by their wrapped form: the objects of one thread share few. */
export interface WrappedKeys {
  /** Unwraps, or answers from memory. */
  unwrap(wrapped: Uint8Array): Promise<Uint8Array>
  /** A key that this process has wrapped itself. */
  remember(wrapped: Uint8Array, key: Uint8Array): void
}

const KEYS_MAX = 256

/** Asks `ask` at most once for each wrapped key while it is remembered. */
export function openWrappedKeys(ask: (wrapped: Uint8Array) => Promise<Uint8Array>): WrappedKeys {
  const keys = new Map<string, Promise<Uint8Array>>()
  const nameOf = (wrapped: Uint8Array): string => Buffer.from(wrapped).toString('base64')
  const keep = (name: string, key: Promise<Uint8Array>): void => {
    if (keys.size >= KEYS_MAX) keys.delete(keys.keys().next().value!)
    keys.set(name, key)
  }
  return {
    async unwrap(wrapped): Promise<Uint8Array> {
      const name = nameOf(wrapped)
      const known = keys.get(name)
      if (known !== undefined) return known
      const asked = ask(wrapped)
      keep(name, asked)
      try {
        return await asked
      } catch (error) {
        keys.delete(name)
        throw error
      }
    },
    remember: (wrapped, key) => keep(nameOf(wrapped), Promise.resolve(key)),
  }
}
