import type { Storage } from '../../src/storage/storage.ts'

/** The storage's own methods as plain properties, so that some can be replaced. */
export function forwarded(storage: Storage): Storage {
  return {
    name: storage.name,
    features: storage.features,
    checkRoot: options => storage.checkRoot(options),
    list: (prefix, options) => storage.list(prefix, options),
    stat: (key, options) => storage.stat(key, options),
    get: (key, options) => storage.get(key, options),
    put: (key, body, options) => storage.put(key, body, options),
    copy: (source, target, options) => storage.copy(source, target, options),
    delete: (keys, options) => storage.delete(keys, options),
    openSink: (key, options) => storage.openSink(key, options),
    openSource: (key, options) => storage.openSource(key, options),
    close: () => storage.close(),
  }
}
