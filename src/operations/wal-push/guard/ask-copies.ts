import { isStorageTrouble } from '../../../storage/failover/storage-trouble.ts'
import { copiesOf } from '../../../storage/layers/copies.ts'
import type { Storage } from '../../../storage/storage.ts'

/** Asks each storage that `storage` stands for, in turn; one that may be down, and is, is passed over. */
export async function askCopies(storage: Storage, ask: (copy: Storage) => Promise<void>): Promise<void> {
  for (const copy of copiesOf(storage)) {
    try {
      await ask(copy)
    } catch (error) {
      if (!isStorageTrouble(error) || storage.copies?.giveUp(copy, error) !== true) throw error
    }
  }
}
