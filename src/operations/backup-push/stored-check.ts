import { hasCode, WalgError } from '../../kit/errors.ts'
import { openHasher } from '../../kit/hash.ts'
import type { BackupName } from '../../repository/backup-name.ts'
import { copiesOf } from '../../storage/layers/copies.ts'
import { forEachOf } from '../../storage/requests/for-each-of.ts'
import { statIfThere } from '../../storage/requests/stat-if-there.ts'
import type { Storage } from '../../storage/storage.ts'
import type { OperationContext } from '../context.ts'
import { sizesBelow } from './own-objects.ts'
import { anotherPush, type ObjectTraits } from './part/new-object.ts'

/** An object of a backup as it was put. */
export interface StoredObject extends Pick<ObjectTraits, 'sizeBytes' | 'hash'> {
  readonly key: string
}

/** Objects up to this size are read back: pg_control, the labels and `metadata.json` are as large in any backup. */
const READ_BACK_BYTES_MAX = 64 << 10
const READS_AT_ONCE = 4

/**
 * Every object must still be there as it was put, before the sentinel speaks of it and after: a push of the same name from
 * another host (a primary and its standby can begin in the same segment) takes them for leftovers. Before the sentinel
 * there must be nothing else either. Throws INTEGRITY, or OBJECT_EXISTS for an object of somebody else.
 */
export async function assertAllStored(
  context: OperationContext,
  name: BackupName,
  objects: readonly StoredObject[],
  moment: 'before the sentinel' | 'after the sentinel',
): Promise<void> {
  const { storage, signal } = context
  for (const copy of copiesOf(storage)) {
    const sizes = await sizesBelow(copy, name, { signal })
    if (moment === 'before the sentinel') await assertNothingElse(context, copy, objects, sizes)
    const lacking = await findLacking(context, copy, objects, sizes)
    if (lacking === undefined) continue
    const error = new WalgError(
      'INTEGRITY',
      `"${lacking}" is not in the storage any more as it was put there`,
      {
        facts: { key: lacking, storage: copy.name },
        hint: 'is another push of the same cluster, from another host, running into this repository? one at a time, or set WALG_PRIMARY_CONNINFO on the standby',
      },
    )
    if (storage.copies?.giveUp(copy, error) !== true) throw error
    storage.copies.noteGaps(lacking)
  }
}

/** A program that restores whatever lies beside the parts would take parts of two backups for one. */
async function assertNothingElse(
  { signal }: OperationContext,
  storage: Storage,
  objects: readonly StoredObject[],
  sizes: ReadonlyMap<string, number>,
): Promise<void> {
  const keys = new Set(objects.map(({ key }) => key))
  for (const key of sizes.keys()) {
    // a listing may be behind the times: leftovers that were removed, say
    if (!keys.has(key) && (await statIfThere(storage, key, { signal })) !== undefined)
      throw anotherPush(storage, key)
  }
}

async function findLacking(
  { signal }: OperationContext,
  storage: Storage,
  objects: readonly StoredObject[],
  sizes: ReadonlyMap<string, number>,
): Promise<string | undefined> {
  const missing = objects.find(({ key, sizeBytes }) => sizes.get(key) !== sizeBytes)
  if (missing !== undefined) return missing.key
  const small = objects.filter(({ sizeBytes }) => sizeBytes <= READ_BACK_BYTES_MAX)
  let changed: string | undefined
  await forEachOf(small, READS_AT_ONCE, async ({ key, hash }) => {
    if ((await hashOf(storage, key, signal)) !== hash) changed ??= key
  })
  return changed
}

/** Undefined when the object is not there any more. */
async function hashOf(storage: Storage, key: string, signal: AbortSignal): Promise<string | undefined> {
  const hasher = openHasher()
  try {
    for await (const bytes of await storage.get(key, { signal })) hasher.update(bytes)
    return hasher.digest()
  } catch (error) {
    if (hasCode(error, 'OBJECT_NOT_FOUND')) return undefined
    throw error
  } finally {
    hasher.close()
  }
}
