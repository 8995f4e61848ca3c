import { hasCode } from '../../kit/errors.ts'
import type { Abortable, ObjectInfo, Storage } from '../storage.ts'

/** What the storage says of an object; undefined when it is not there. Any other failure is thrown. */
export async function statIfThere(
  storage: Storage,
  key: string,
  options: Abortable = {},
): Promise<ObjectInfo | undefined> {
  try {
    return await storage.stat(key, options)
  } catch (error) {
    if (hasCode(error, 'OBJECT_NOT_FOUND')) return undefined
    throw error
  }
}
