import { WalgError } from '../../kit/errors.ts'
import { normalizePrefix } from '../../storage/keys.ts'
import { statIfThere } from '../../storage/requests/stat-if-there.ts'
import type { Abortable, Storage } from '../../storage/storage.ts'

/** Keys named in one call to the storage. */
const DELETE_BATCH = 1000

/**
 * Removes the object at `path`, or else everything in the folder of that name; a closing slash means the folder, `/`
 * alone everything. Throws OBJECT_NOT_FOUND when there is neither. Returns how many objects went.
 */
export async function removeByPath(storage: Storage, path: string, options: Abortable): Promise<number> {
  const key = normalizePrefix(path)
  if (!path.endsWith('/') && key !== '' && (await statIfThere(storage, key, options)) !== undefined) {
    await storage.delete([key], options)
    return 1
  }
  let count = 0
  let batch: string[] = []
  const flush = async (): Promise<void> => {
    await storage.delete(batch, options)
    count += batch.length
    batch = []
  }
  const keys: string[] = []
  for await (const entry of storage.list(key, { ...options, recursive: true })) {
    if (entry.kind === 'object') keys.push(entry.key)
  }
  for (const found of keys) {
    batch.push(found)
    if (batch.length === DELETE_BATCH) await flush()
  }
  if (batch.length > 0) await flush()
  if (count === 0) {
    throw new WalgError('OBJECT_NOT_FOUND', `object or folder "${path}" does not exist`, {
      facts: { key: path, storage: storage.name },
    })
  }
  return count
}
