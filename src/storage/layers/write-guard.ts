import { WalgError } from '../../kit/errors.ts'
import type { Storage } from '../storage.ts'

/** Reads pass, every change throws WRITE_REFUSED: a dry run cannot pretend. */
export function withWriteGuard(storage: Storage): Storage {
  const refused = (doing: string, key: string): WalgError =>
    new WalgError(
      'WRITE_REFUSED',
      `unable to ${doing} "${key}": storage "${storage.name}" is open for reading only`,
      {
        facts: { key, storage: storage.name },
      },
    )
  return {
    name: storage.name,
    features: storage.features,
    checkRoot: options => storage.checkRoot(options),
    list: (prefix, options) => storage.list(prefix, options),
    stat: (key, options) => storage.stat(key, options),
    get: (key, options) => storage.get(key, options),
    put: async key => {
      throw refused('put', key)
    },
    copy: async (_source, target) => {
      throw refused('copy to', target)
    },
    delete: async keys => {
      if (keys.length > 0) throw refused('delete', keys[0] ?? '')
    },
    openSink: key => {
      throw refused('put', key)
    },
    openSource: (key, options) => storage.openSource(key, options),
    close: () => storage.close(),
  }
}
