import { hasCode, WalgError } from '../../kit/errors.ts'
import { checkJson, replaceJsonMember } from '../../kit/json.ts'
import {
  type BackupName,
  parseBackupName,
  toBackupName,
  walFileOfName,
} from '../../repository/backup-name.ts'
import { listBackups, readSentinel } from '../../repository/catalog.ts'
import {
  chainToMark,
  type MarkPlace,
  type MetadataText,
  readMetadataText,
  writeMetadataText,
  writePermanence,
} from '../../repository/permanence.ts'
import type { OperationContext } from '../context.ts'

export interface BackupMarkOptions {
  readonly name: string
  /** Null: permanence stays as it is. */
  readonly permanence: 'permanent' | 'impermanent' | null
  /** JSON text; null: the user data stay as they are. */
  readonly userData: string | null
  /** Where the repository lies, for messages. */
  readonly place: string
}

type MarkContext = Pick<OperationContext, 'storage' | 'log' | 'signal'>

const READS_MAX = 16

/**
 * Marks a backup and, to make it permanent, everything that it hangs on, oldest first; or takes the mark off, unless a
 * permanent delta hangs on it. Only `is_permanent` and `user_data` of `metadata.json` change, byte for byte. Returns the
 * names of what was changed.
 */
export async function backupMark(
  context: MarkContext,
  options: BackupMarkOptions,
): Promise<readonly BackupName[]> {
  const name = toBackupName(options.name)
  if (options.userData !== null) checkJson(options.userData)
  const marked = options.permanence === null ? [] : await mark(context, name, options)
  if (options.userData !== null) {
    const place = placeOf(context, options)
    const { text } = await readMetadataText(place, name)
    await writeMetadataText(place, name, replaceJsonMember(text, 'user_data', options.userData))
    context.log.info(`User data of backup ${name} replaced`)
  }
  return options.userData === null || marked.includes(name) ? marked : [...marked, name]
}

async function mark(
  context: MarkContext,
  name: BackupName,
  options: BackupMarkOptions,
): Promise<readonly BackupName[]> {
  const { log } = context
  const place = placeOf(context, options)
  const isPermanent = options.permanence === 'permanent'
  log.info(`Retrieving previous related backups to be marked: toPermanent=${isPermanent}`)
  const found = await explained(() =>
    isPermanent ? chainToMark(place, name) : singleToUnmark(context, name, options),
  )
  const names = found.map(metadata => metadata.name)
  log.info(`Retrieved backups to be marked, marking: [${names.join(' ')}]`)
  for (const metadata of found) await writePermanence(place, metadata, isPermanent)
  return names
}

function placeOf({ storage, log, signal }: MarkContext, { place }: BackupMarkOptions): MarkPlace {
  return { storage, log, signal, place }
}

async function singleToUnmark(
  context: MarkContext,
  name: BackupName,
  options: BackupMarkOptions,
): Promise<MetadataText[]> {
  const metadata = await readMetadataText(placeOf(context, options), name)
  if (!metadata.isPermanent) {
    context.log.warning(`Backup ${name} is already marked as impermanent, ignoring...`)
  }
  context.log.info('retrieving permanent objects')
  if (!metadata.isPermanent) return []
  if (await hasPermanentChild(context, name, options)) {
    throw new WalgError(
      'BACKUP_PERMANENT',
      `Can't mark backup '${name}' as impermanent. There is permanent increment backup that depends on this backup.`,
      { facts: { backup: name } },
    )
  }
  return [metadata]
}

/** Whether a permanent backup hangs on this one directly. */
async function hasPermanentChild(
  context: MarkContext,
  name: BackupName,
  options: BackupMarkOptions,
): Promise<boolean> {
  const { storage, log } = context
  const backups = await listBackups(storage, context)
  let isFound = false
  let next = 0
  const readers = Array.from({ length: Math.min(READS_MAX, backups.length) }, async () => {
    while (next < backups.length && !isFound) {
      const { name: child } = backups[next]!
      next += 1
      try {
        if (!(await isChild(context, child, name))) continue
        if ((await readMetadataText(placeOf(context, options), child)).isPermanent) isFound = true
      } catch (error) {
        if (!hasCode(error, 'BACKUP_BROKEN', 'BACKUP_NOT_FOUND', 'OBJECT_NOT_FOUND')) throw error
        log.warning(`${error.message}; whether backup ${child} depends on ${name} is not known`)
      }
    }
  })
  await Promise.all(readers)
  return isFound
}

/** By its sentinel; by its name when that is damaged. */
async function isChild(context: MarkContext, child: BackupName, parent: BackupName): Promise<boolean> {
  try {
    return (await readSentinel(context.storage, child, context)).sentinel.delta?.parent === parent
  } catch (error) {
    if (!hasCode(error, 'BACKUP_BROKEN')) throw error
    return parseBackupName(child)?.parentWalFile === walFileOfName(parent)
  }
}

/** As the original says it. */
async function explained<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!hasCode(error, 'OBJECT_NOT_FOUND', 'BACKUP_PERMANENT', 'BACKUP_NOT_FOUND', 'BACKUP_BROKEN'))
      throw error
    throw new WalgError(error.code, `Failed to get previous backups: ${error.message}`, {
      facts: error.facts,
      cause: error.cause,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    })
  }
}
