import type { RenamedFolder } from '../description.ts'
import type { Storage, StorageEntry } from '../storage.ts'

/**
 * A view in which two folders have changed their names: `to` is called `from`, and `from` is called `to`.
 * Errors of the storage name the real keys. Closing it closes the storage.
 */
export function withRenamedFolder(storage: Storage, { from, to }: RenamedFolder): Storage {
  const inside = (key: string): string => swapped(key, from, to)
  const outside = (key: string): string => swapped(key, to, from)
  return {
    name: storage.name,
    features: storage.features,
    checkRoot: options => storage.checkRoot(options),
    async *list(below, options): AsyncGenerator<StorageEntry> {
      for await (const entry of storage.list(inside(below), options)) {
        yield { ...entry, key: outside(entry.key) }
      }
    },
    async stat(key, options) {
      const info = await storage.stat(inside(key), options)
      return { ...info, key }
    },
    get: async (key, options) => storage.get(inside(key), options),
    put: async (key, body, options) => storage.put(inside(key), body, options),
    copy: async (source, target, options) => storage.copy(inside(source), inside(target), options),
    delete: async (keys, options) => storage.delete(keys.map(inside), options),
    openSink: (key, options) => storage.openSink(inside(key), options),
    openSource: (key, options) => storage.openSource(inside(key), options),
    close: () => storage.close(),
  }
}

/** The two names change places, so that no two keys become one. */
function swapped(key: string, one: string, other: string): string {
  const cut = key.indexOf('/')
  const folder = cut < 0 ? key : key.slice(0, cut)
  const rest = cut < 0 ? '' : key.slice(cut)
  if (folder === one) return `${other}${rest}`
  return folder === other ? `${one}${rest}` : key
}
