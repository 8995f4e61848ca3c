import { WalgError } from '../../src/kit/errors.ts'
import type { Storage } from '../../src/storage/storage.ts'
import { forwarded } from './forwarded-storage.ts'

/** How many more effects (puts and deletes, over all storages that share it) happen before everything fails. */
export interface EffectBudget {
  left: number
}

/** A storage of a process that is killed: when the budget is used up nothing changes any more, and every call fails. */
export function stoppingStorage(storage: Storage, budget: EffectBudget): Storage {
  const spend = (): void => {
    if (budget.left <= 0) throw new WalgError('STORAGE_UNAVAILABLE', 'stopped')
    budget.left -= 1
  }
  return {
    ...forwarded(storage),
    async put(key, body, options) {
      spend()
      await storage.put(key, body, options)
    },
    async copy(source, target, options) {
      spend()
      await storage.copy(source, target, options)
    },
    async delete(keys, options) {
      spend()
      await storage.delete(keys, options)
    },
    openSink(key, options) {
      spend()
      return storage.openSink(key, options)
    },
  }
}
