import { checkKey, checkPrefix, joinKey } from '../keys.ts'
import { withMappedKeys } from '../mapped-keys.ts'
import type { ObjectVersions, Storage, UnfinishedUploads } from '../storage.ts'

/** A view of everything below `prefix`: a storage of its own, that cannot be left. Closing it closes the storage. */
export function withPrefix(storage: Storage, prefix: string): Storage {
  checkPrefix(prefix, storage.name)
  if (prefix === '') return storage
  const inside = (key: string): string => {
    checkKey(key, storage.name)
    return joinKey(prefix, key)
  }
  const insidePrefix = (below: string): string => {
    checkPrefix(below, storage.name)
    return below === '' ? prefix : joinKey(prefix, below)
  }
  const outside = (key: string): string => key.slice(prefix.length + 1)
  return {
    ...withMappedKeys(storage, { inside, insidePrefix, outside }),
    ...(storage.unfinishedUploads === undefined
      ? {}
      : { unfinishedUploads: uploadsBelow(storage.unfinishedUploads, prefix) }),
    ...(storage.versions === undefined ? {} : { versions: versionsBelow(storage.versions, prefix) }),
  }
}

function uploadsBelow(uploads: UnfinishedUploads, prefix: string): UnfinishedUploads {
  return {
    async *list(below, options) {
      const whole = below === '' ? prefix : joinKey(prefix, below)
      for await (const upload of uploads.list(whole, options)) {
        yield { ...upload, key: upload.key.slice(prefix.length + 1) }
      }
    },
    abort: (upload, options) => uploads.abort({ ...upload, key: joinKey(prefix, upload.key) }, options),
  }
}

function versionsBelow(versions: ObjectVersions, prefix: string): ObjectVersions {
  return {
    areKept: options => versions.areKept(options),
    async *list(below, options) {
      const whole = below === '' ? prefix : joinKey(prefix, below)
      for await (const version of versions.list(whole, options)) {
        yield { ...version, key: version.key.slice(prefix.length + 1) }
      }
    },
    delete: (given, options) =>
      versions.delete(
        given.map(each => ({ ...each, key: joinKey(prefix, each.key) })),
        options,
      ),
  }
}
