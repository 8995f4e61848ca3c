import { WalgError } from '../../kit/errors.ts'
import { epochNs } from '../../kit/timestamp.ts'
import { findBackup, readSentinel } from '../../repository/catalog.ts'
import { WAL_PREFIX } from '../../repository/layout.ts'
import { parseWalObjectName } from '../../repository/wal-catalog.ts'
import type { Storage } from '../../storage/storage.ts'
import type { OperationContext } from '../context.ts'
import type { ChosenBackup } from './copied-backups.ts'
import { copyBytes, copyObjects } from './copy-objects.ts'
import type { CopiedBackup, CopiedObject } from './plan-copy.ts'
import { type BackupResealing, noteResealed, resealBackup } from './reseal-backup.ts'
import { isSameContent, type Resealing, resealedKey, resealObject } from './reseal-object.ts'

/** What is copied, in the order in which it becomes visible: parents before children. */
export interface ResealedCopy {
  readonly backups: readonly { readonly backup: CopiedBackup; readonly chosen: ChosenBackup }[]
  readonly wal: readonly CopiedObject[]
}

type Context = Pick<OperationContext, 'log' | 'progress'>

/**
 * Copies backups and WAL and seals them with the target's key and compression. A backup that is in the target already is
 * left alone; WAL that is there must have the same content. Run again after an interruption it goes on. Throws
 * OBJECT_EXISTS for anything else of the same name in the target, before the first byte is written.
 */
export async function copyResealed(
  { log, progress }: Context,
  resealing: Resealing,
  { backups, wal }: ResealedCopy,
): Promise<number> {
  const { source, target, signal, targetCodec } = resealing
  const missingBackups: ResealedCopy['backups'][number][] = []
  const present: ChosenBackup[] = []
  for (const each of backups) {
    if (await isPresent(resealing, each.chosen)) present.push(each.chosen)
    else missingBackups.push(each)
  }
  const missingWal = await findMissingWal(resealing, wal)
  const objects = [...missingBackups.flatMap(({ backup }) => objectsOf(backup)), ...missingWal]
  let count = 0
  const onCopied = (from: string, to: string, sizeBytes: number): void => {
    count += 1
    progress.advance(sizeBytes)
    log.info(`Copied "${from}" to "${to}", sealed anew.`)
  }
  const forEach: BackupResealing['forEach'] = (list, run) =>
    copyObjects(source, target, list, { signal, onCopied: () => {}, copyOne: run })
  const backupResealing: BackupResealing = {
    ...resealing,
    forEach,
    onCopied,
    manifestHashes: new Map<string, string>(),
  }
  progress.begin(
    'copy',
    objects.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
  )
  try {
    await forEach(missingWal, async object => {
      const { kind } = walNameOf(object)
      const newKey = isSealed(kind) ? resealedKey(object.key, targetCodec) : object.key
      if (isSealed(kind)) await resealObject(resealing, object.key, newKey)
      else await copyBytes(source, target, object, signal)
      onCopied(object.key, newKey, object.sizeBytes)
    })
    for (const chosen of present) await noteResealed(backupResealing, chosen)
    for (const { backup, chosen } of missingBackups) await resealBackup(backupResealing, backup, chosen)
  } finally {
    progress.end()
  }
  return count
}

function objectsOf({ payload, metadata, sentinel }: CopiedBackup): CopiedObject[] {
  return [...payload, metadata, sentinel]
}

function walNameOf({ key }: CopiedObject): ReturnType<typeof parseWalObjectName> {
  return parseWalObjectName(key.slice(key.indexOf('/') + 1))
}

/** Times of segments are documents; what is foreign is not touched. */
function isSealed(kind: ReturnType<typeof parseWalObjectName>['kind']): boolean {
  return kind !== 'metadata' && kind !== 'foreign'
}

/** The same backup: it begins at the same place and time. */
async function isPresent({ target, signal }: Resealing, { entry, sentinel }: ChosenBackup): Promise<boolean> {
  if ((await findBackup(target, entry.name, { signal })) === null) return false
  const there = (await readSentinel(target, entry.name, { signal })).sentinel
  const timeOf = (time: typeof there.startTime): bigint | null => (time === null ? null : epochNs(time))
  if (there.lsn === sentinel.lsn && timeOf(there.startTime) === timeOf(sentinel.startTime)) return true
  throw conflict(target, entry.name, `another backup of the name ${entry.name}`)
}

async function findMissingWal(
  resealing: Resealing,
  wal: readonly CopiedObject[],
): Promise<readonly CopiedObject[]> {
  const { source, target, targetCodec, signal } = resealing
  const sizes = new Map<string, number>()
  for await (const entry of target.list(WAL_PREFIX, { recursive: true, signal })) {
    if (entry.kind === 'object') sizes.set(entry.key, entry.sizeBytes)
  }
  const missing: CopiedObject[] = []
  const there: CopiedObject[] = []
  for (const object of wal) {
    const key = isSealed(walNameOf(object).kind) ? resealedKey(object.key, targetCodec) : object.key
    if (sizes.has(key)) there.push(object)
    else missing.push(object)
  }
  const check = async (object: CopiedObject): Promise<void> => {
    if (!isSealed(walNameOf(object).kind)) {
      if (sizes.get(object.key) === object.sizeBytes) return
      throw conflict(target, object.key, `"${object.key}" with another size`)
    }
    const key = resealedKey(object.key, targetCodec)
    if (!(await isSameContent(resealing, object.key, key))) {
      throw conflict(target, key, `"${key}" with other content`)
    }
  }
  await copyObjects(source, target, there, { signal, onCopied: () => {}, copyOne: check })
  return missing
}

function conflict(target: Storage, key: string, what: string): WalgError {
  return new WalgError('OBJECT_EXISTS', `the destination has ${what}`, {
    facts: { key, storage: target.name },
    hint: 'nothing was written; look which of the two is right, and remove the other',
  })
}
