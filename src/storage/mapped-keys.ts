import type { Storage, StorageEntry } from './storage.ts'

/** How the keys of a view become those of its storage, and back. */
export interface KeyMapping {
  /** Of an object. */
  inside(key: string): string
  /** Of the prefix of a listing, '' included. */
  insidePrefix(prefix: string): string
  outside(key: string): string
}

/** A view of a storage under other names. Errors of the storage name the real keys. Closing it closes the storage. */
export function withMappedKeys(storage: Storage, { inside, insidePrefix, outside }: KeyMapping): Storage {
  return {
    name: storage.name,
    features: storage.features,
    checkRoot: options => storage.checkRoot(options),
    async *list(below, options): AsyncGenerator<StorageEntry> {
      for await (const entry of storage.list(insidePrefix(below), options)) {
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
