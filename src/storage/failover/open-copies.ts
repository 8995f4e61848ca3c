import type { CopiesDescription, StorageDescription } from '../description.ts'
import { withCopies } from '../layers/copies.ts'
import type { Storage } from '../storage.ts'
import { openMirrorWatch } from './mirror-watch.ts'

/**
 * Opens a storage with its copies in this thread. A mirror that cannot be opened, and need not be, counts as failed: an
 * empty place stands for it, which nothing is asked of.
 */
export async function openCopies(
  description: StorageDescription,
  copies: CopiesDescription,
  open: (description: StorageDescription) => Promise<Storage>,
): Promise<Storage> {
  const { stallSlot } = description
  const watched = stallSlot === undefined ? {} : { stallSlot }
  const first = await open(description)
  const watch = copies.mirrors === undefined ? undefined : openMirrorWatch(copies.mirrors)
  const others: Storage[] = []
  try {
    for (const [at, other] of copies.storages.entries()) {
      if (watch !== undefined && !watch.isUp(at)) {
        others.push(first)
        continue
      }
      try {
        others.push(await open({ ...other, ...watched }))
      } catch (error) {
        if (watch === undefined) throw error
        watch.onOutage(at, error)
        others.push(first)
      }
    }
  } catch (error) {
    for (const storage of [first, ...others]) await storage.close()
    throw error
  }
  return withCopies([first, ...others], watch)
}
