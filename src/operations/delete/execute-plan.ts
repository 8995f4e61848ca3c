import { throwIfCancelled } from '../../kit/clock.ts'
import { hasCode, WalgError } from '../../kit/errors.ts'
import type { OperationContext } from '../context.ts'
import type { DeletePlan } from './plan.ts'

type ExecuteContext = Pick<OperationContext, 'storage' | 'progress' | 'signal'>

/** Objects in one call to the storage. */
const BATCH_OBJECTS = 1000
/** Such calls at a time. */
const BATCHES_AT_ONCE = 4

/**
 * Removes what the plan says: first the sentinels, wave by wave, so that no listed backup ever lacks a base or data of
 * its own; then the rest. What remains when it is interrupted are folders without a sentinel, and WAL; the next delete
 * removes them. A sentinel that cannot be removed ends it; other objects that cannot are counted, the rest goes on.
 */
export async function executePlan(context: ExecuteContext, plan: DeletePlan): Promise<void> {
  const { storage, progress, signal } = context
  const sizes = new Map(plan.remove.map(({ key, sizeBytes }) => [key, sizeBytes]))
  progress.begin(
    'delete',
    [...sizes.values()].reduce((sum, size) => sum + size, 0),
  )
  try {
    for (const wave of plan.sentinelWaves) {
      throwIfCancelled(signal)
      await storage.delete(wave, { signal })
      for (const key of wave) {
        progress.advance(sizes.get(key) ?? 0)
        sizes.delete(key)
      }
    }
    const refused = await deleteInBatches(context, sizes)
    if (refused.length > 0) throw notAllRemoved(refused, plan.remove.length)
  } finally {
    progress.end()
  }
}

interface Refusal {
  readonly key: string
  readonly error: WalgError
}

async function deleteInBatches(
  { storage, progress, signal }: ExecuteContext,
  sizes: ReadonlyMap<string, number>,
): Promise<Refusal[]> {
  const keys = [...sizes.keys()]
  const refused: Refusal[] = []
  let next = 0
  const remove = async (batch: readonly string[]): Promise<void> => {
    try {
      await storage.delete(batch, { signal })
      progress.advance(batch.reduce((sum, key) => sum + (sizes.get(key) ?? 0), 0))
    } catch (error) {
      if (!hasCode(error, 'ACCESS_DENIED', 'WRITE_REFUSED', 'KEY_REFUSED')) throw error
      const [only] = batch
      if (batch.length === 1 && only !== undefined) refused.push({ key: only, error })
      else for (const key of batch) await remove([key])
    }
  }
  const workers = Array.from({ length: BATCHES_AT_ONCE }, async () => {
    while (next < keys.length) {
      throwIfCancelled(signal)
      const batch = keys.slice(next, next + BATCH_OBJECTS)
      next += BATCH_OBJECTS
      await remove(batch)
    }
  })
  const results = await Promise.allSettled(workers)
  for (const result of results) if (result.status === 'rejected') throw result.reason
  return refused
}

function notAllRemoved(refused: readonly Refusal[], count: number): WalgError {
  const [first] = refused
  return new WalgError(
    'ACCESS_DENIED',
    `${refused.length} of ${count} objects could not be deleted, the first is ${first?.key}: ${first?.error.message}`,
    {
      facts: { refused: refused.length, key: first?.key ?? '' },
      cause: first?.error,
      hint: 'locked objects can be removed when their retention ends: the same command then finishes',
    },
  )
}
