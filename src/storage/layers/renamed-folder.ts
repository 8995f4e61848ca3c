import type { RenamedFolder } from '../description.ts'
import { withMappedKeys } from '../mapped-keys.ts'
import type { Storage } from '../storage.ts'

/**
 * A view in which two folders have changed their names: `to` is called `from`, and `from` is called `to`.
 * Errors of the storage name the real keys. Closing it closes the storage.
 */
export function withRenamedFolder(storage: Storage, { from, to }: RenamedFolder): Storage {
  const inside = (key: string): string => swapped(key, from, to)
  return withMappedKeys(storage, { inside, insidePrefix: inside, outside: key => swapped(key, to, from) })
}

/** The two names change places, so that no two keys become one. */
function swapped(key: string, one: string, other: string): string {
  const cut = key.indexOf('/')
  const folder = cut < 0 ? key : key.slice(0, cut)
  const rest = cut < 0 ? '' : key.slice(cut)
  if (folder === one) return `${other}${rest}`
  return folder === other ? `${one}${rest}` : key
}
