import { collect } from '../../kit/bytes.ts'
import { WalgError } from '../../kit/errors.ts'
import type { BackupName } from '../../repository/backup-name.ts'
import { backupExists, backupObjectKeys } from '../../repository/catalog.ts'
import { sentinelKey } from '../../repository/layout.ts'
import type { OperationContext } from '../context.ts'

/** Keys named in one call to the storage. */
const DELETE_BATCH = 1000
/** Clean-up after a failure must not outlast the failure by much. */
const CLEAN_UP_TIMEOUT_MS = 60_000
const SENTINEL_BYTES_MAX = 64 << 20

/**
 * Makes sure that `name` is free before the first put. Throws BACKUP_EXISTS for a complete backup of that name;
 * objects of one that never became complete are removed, and said.
 */
export async function claimName(context: OperationContext, name: BackupName): Promise<void> {
  const { storage, signal, log } = context
  if (await backupExists(storage, name, { signal })) {
    throw new WalgError('BACKUP_EXISTS', `backup "${name}" exists already in storage "${storage.name}"`, {
      facts: { backup: name, storage: storage.name, key: sentinelKey(name) },
      hint: 'it begins in the same WAL segment; delete it, push to another prefix, or use `copy` for a copy of it',
    })
  }
  const keys = await backupObjectKeys(storage, name, { signal })
  if (keys.length === 0) return
  log.warning(`Removing ${keys.length} objects of "${name}", left by a backup that was never completed`)
  await deleteAll(context, keys, signal)
}

/** What a push has done so far that may have to be taken back. */
export interface Tentative {
  /** Set before the sentinel is put: from then on it may be visible, whatever the answer. */
  sentinel: string | undefined
}

/**
 * Runs `push`, and takes back what it has put when it fails. The sentinel goes first: while it may be there,
 * nothing it names is touched. The failure of `push` is what is thrown.
 */
export async function takingBackOnFailure<T>(
  context: OperationContext,
  name: BackupName,
  push: (tentative: Tentative) => Promise<T>,
): Promise<T> {
  const tentative: Tentative = { sentinel: undefined }
  try {
    return await push(tentative)
  } catch (error) {
    try {
      await takeBack(context, name, tentative)
    } catch (failure) {
      const text = failure instanceof Error ? failure.message : String(failure)
      context.log.warning(
        `what was put of "${name}" could not be removed (${text}); it is not listed, and is removed before a backup of that name`,
      )
    }
    throw error
  }
}

async function takeBack(context: OperationContext, name: BackupName, tentative: Tentative): Promise<void> {
  const signal = AbortSignal.timeout(CLEAN_UP_TIMEOUT_MS)
  const { storage } = context
  if (await isSomebodyElses(context, name, tentative, signal)) {
    context.log.warning(
      `another push has completed a backup with the name "${name}": nothing of it is touched`,
    )
    return
  }
  // A put whose answer was lost may have made the sentinel visible.
  await storage.delete([sentinelKey(name)], { signal })
  if (await backupExists(storage, name, { signal })) {
    throw new WalgError('STORAGE_UNAVAILABLE', `the sentinel of "${name}" is still there`)
  }
  await deleteAll(context, await backupObjectKeys(storage, name, { signal }), signal)
}

/** A sentinel that this push has not written: of a primary and its standby, say, that begin in the same segment. */
async function isSomebodyElses(
  { storage }: OperationContext,
  name: BackupName,
  tentative: Tentative,
  signal: AbortSignal,
): Promise<boolean> {
  if (!(await backupExists(storage, name, { signal }))) return false
  if (tentative.sentinel === undefined) return true
  const own = new TextEncoder().encode(tentative.sentinel)
  const stored = await collect(await storage.get(sentinelKey(name), { signal }), SENTINEL_BYTES_MAX)
  return Buffer.compare(own, stored) !== 0
}

async function deleteAll(
  context: OperationContext,
  keys: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  for (let at = 0; at < keys.length; at += DELETE_BATCH) {
    await context.storage.delete(keys.slice(at, at + DELETE_BATCH), { signal })
  }
}
