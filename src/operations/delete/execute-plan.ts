import { throwIfCancelled } from '../../kit/clock.ts'
import { hasCode, WalgError } from '../../kit/errors.ts'
import type { Storage } from '../../storage/storage.ts'
import type { OperationContext } from '../context.ts'
import type { DeletePlan } from './plan.ts'
import type { StoredObject } from './stored-object.ts'

interface ExecuteContext extends Pick<OperationContext, 'storage' | 'progress' | 'signal'> {
  readonly otherStorages?: readonly Storage[]
}

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
  const { storage, otherStorages = [], progress, signal } = context
  const storages = [storage, ...otherStorages]
  const sentinels = new Set(plan.sentinelWaves.flat())
  const placed = new Map(storages.map(({ name }) => [name, new Set<string>()]))
  let totalBytes = 0
  let sentinelBytes = 0
  for (const { key, sizeBytes, storageName = storage.name } of plan.remove) {
    totalBytes += sizeBytes
    if (!sentinels.has(key)) continue
    sentinelBytes += sizeBytes
    placed.get(storageName)?.add(key)
  }
  progress.begin('delete', totalBytes)
  try {
    for (const wave of plan.sentinelWaves) {
      for (const each of storages) {
        throwIfCancelled(signal)
        const keys = wave.filter(key => placed.get(each.name)?.has(key))
        if (keys.length > 0) await each.delete(keys, { signal })
      }
    }
    progress.advance(sentinelBytes)
    const refused: Refusal[] = []
    for (const each of storages) {
      const isHere = ({ storageName = storage.name }: StoredObject): boolean => storageName === each.name
      const others = othersOf(plan, sentinels, isHere)
      refused.push(...(await deleteInBatches({ storage: each, progress, signal }, others)))
    }
    if (refused.length > 0) throw notAllRemoved(refused, plan.remove.length)
  } finally {
    progress.end()
  }
}

interface Refusal {
  readonly key: string
  readonly error: WalgError
}

/** Everything of one storage but the sentinels, in batches. */
function* othersOf(
  plan: DeletePlan,
  sentinels: ReadonlySet<string>,
  isHere: (object: StoredObject) => boolean,
): Generator<readonly StoredObject[]> {
  let batch: StoredObject[] = []
  for (const object of plan.remove) {
    if (sentinels.has(object.key) || !isHere(object)) continue
    if (batch.push(object) < BATCH_OBJECTS) continue
    yield batch
    batch = []
  }
  if (batch.length > 0) yield batch
}

async function deleteInBatches(
  { storage, progress, signal }: ExecuteContext,
  batches: Generator<readonly StoredObject[]>,
): Promise<Refusal[]> {
  const refused: Refusal[] = []
  const remove = async (batch: readonly StoredObject[]): Promise<void> => {
    try {
      await storage.delete(
        batch.map(({ key }) => key),
        { signal },
      )
      progress.advance(batch.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0))
    } catch (error) {
      if (!hasCode(error, 'ACCESS_DENIED', 'WRITE_REFUSED', 'KEY_REFUSED')) throw error
      const [only] = batch
      if (batch.length === 1 && only !== undefined) refused.push({ key: only.key, error })
      else for (const object of batch) await remove([object])
    }
  }
  const workers = Array.from({ length: BATCHES_AT_ONCE }, async () => {
    for (let next = batches.next(); next.done !== true; next = batches.next()) {
      throwIfCancelled(signal)
      await remove(next.value)
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
