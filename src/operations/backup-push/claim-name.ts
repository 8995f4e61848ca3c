import { collect } from '../../kit/bytes.ts'
import { hasCode, WalgError } from '../../kit/errors.ts'
import type { BackupName } from '../../repository/backup-name.ts'
import { backupExists, backupObjectKeys } from '../../repository/catalog.ts'
import { sentinelKey } from '../../repository/layout.ts'
import type { OperationContext } from '../context.ts'
import { OwnObjects } from './own-objects.ts'

/** Keys named in one call to the storage. */
const DELETE_BATCH = 1000
/** Clean-up after a failure must not outlast the failure by much. */
const CLEAN_UP_TIMEOUT_MS = 60_000
const SENTINEL_BYTES_MAX = 64 << 20

/**
 * Makes sure that `name` is free before the first put. Throws BACKUP_EXISTS for a complete backup of that name;
 * objects of one that never became complete are removed, and said. They may be of a push that is under way on another host:
 * it misses them before it ends.
 */
export async function claimName(
  context: OperationContext,
  name: BackupName,
  { startsNow }: { readonly startsNow: boolean },
): Promise<void> {
  const { storage, signal, log } = context
  if (await backupExists(storage, name, { signal })) {
    throw new WalgError('BACKUP_EXISTS', `backup "${name}" exists already in storage "${storage.name}"`, {
      facts: { backup: name, storage: storage.name, key: sentinelKey(name) },
      hint: startsNow ? SAME_SEGMENT_HINT : RESTARTPOINT_HINT,
    })
  }
  const keys = await backupObjectKeys(storage, name, { signal })
  if (keys.length === 0) return
  log.warning(`Removing ${keys.length} objects of "${name}", left by a backup that was never completed`)
  await deleteAll(context, keys, signal)
}

const SAME_SEGMENT_HINT =
  'it begins in the same WAL segment; delete it, push to another prefix, or use `copy` for a copy of it'
const RESTARTPOINT_HINT =
  'a backup of a standby begins at its last restartpoint, which has not moved since that backup began (or is where one of the primary began): CHECKPOINT on the primary, wait until the standby has made its restartpoint of it, then push again'

/** What a push has done so far that may have to be taken back. */
export interface Tentative {
  /** Set before the sentinel is put: from then on it may be visible, whatever the answer. */
  sentinel: string | undefined
  readonly own: OwnObjects
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
  const tentative: Tentative = { sentinel: undefined, own: new OwnObjects() }
  try {
    return await push(tentative)
  } catch (error) {
    try {
      await takeBack(context, name, tentative, hasCode(error, 'OBJECT_EXISTS', 'BACKUP_EXISTS', 'INTEGRITY'))
    } catch (failure) {
      const text = failure instanceof Error ? failure.message : String(failure)
      context.log.warning(
        `what was put of "${name}" could not be removed (${text}); it is not listed, and is removed before a backup of that name`,
      )
    }
    throw error
  }
}

/** Objects of another push under the same name stay; `isContested` says that there is one. */
async function takeBack(
  context: OperationContext,
  name: BackupName,
  { sentinel, own }: Tentative,
  isContested: boolean,
): Promise<void> {
  const signal = AbortSignal.timeout(CLEAN_UP_TIMEOUT_MS)
  const { storage, log } = context
  const isOthers = await isSomebodyElses(context, name, sentinel, signal)
  if (isOthers) {
    log.warning(`another push has completed a backup with the name "${name}": nothing of it is touched`)
  } else if (sentinel !== undefined) {
    await takeBackSentinel(context, name, signal)
  }
  const sorted = await own.sort(storage, name, isContested || isOthers, { signal })
  await deleteAll(context, sorted.own, signal)
  if (isOthers || sorted.others.length === 0) return
  log.warning(
    `${sorted.others.length} objects of "${name}" are left as they are: they belong to another push, or may`,
  )
}

/** A put whose answer was lost may have made the sentinel visible. */
async function takeBackSentinel(
  { storage }: OperationContext,
  name: BackupName,
  signal: AbortSignal,
): Promise<void> {
  await storage.delete([sentinelKey(name)], { signal })
  if (await backupExists(storage, name, { signal })) {
    throw new WalgError('STORAGE_UNAVAILABLE', `the sentinel of "${name}" is still there`)
  }
}

/** A sentinel that this push has not written: of a primary and its standby, say, that begin in the same segment. */
async function isSomebodyElses(
  { storage }: OperationContext,
  name: BackupName,
  sentinel: string | undefined,
  signal: AbortSignal,
): Promise<boolean> {
  if (!(await backupExists(storage, name, { signal }))) return false
  if (sentinel === undefined) return true
  const own = new TextEncoder().encode(sentinel)
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
