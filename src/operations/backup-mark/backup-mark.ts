import { collect, streamOf } from '../../kit/bytes.ts'
import { hasCode, WalgError } from '../../kit/errors.ts'
import { checkJson, replaceJsonMember } from '../../kit/json.ts'
import {
  type BackupName,
  parseBackupName,
  toBackupName,
  walFileOfName,
} from '../../repository/backup-name.ts'
import { listBackups, readSentinel } from '../../repository/catalog.ts'
import { metadataKey } from '../../repository/layout.ts'
import { parseMetadata } from '../../repository/metadata.ts'
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

interface Metadata {
  readonly name: BackupName
  readonly text: string
  readonly isPermanent: boolean
}

const METADATA_BYTES_MAX = 64 << 20
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
    const { text } = await readText(context, name, options)
    await write(context, name, replaceJsonMember(text, 'user_data', options.userData))
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
  const isPermanent = options.permanence === 'permanent'
  log.info(`Retrieving previous related backups to be marked: toPermanent=${isPermanent}`)
  const found = await explained(() =>
    isPermanent ? chainToMark(context, name, options) : singleToUnmark(context, name, options),
  )
  const names = found.map(metadata => metadata.name)
  log.info(`Retrieved backups to be marked, marking: [${names.join(' ')}]`)
  for (const { name: each, text } of found) {
    await write(context, each, replaceJsonMember(text, 'is_permanent', String(isPermanent)))
  }
  return names
}

/** What is not permanent yet of the backup and everything above it; the full first. */
async function chainToMark(
  context: MarkContext,
  name: BackupName,
  options: BackupMarkOptions,
): Promise<Metadata[]> {
  const chain: Metadata[] = []
  const seen = new Set<string>()
  for (let at: BackupName | undefined = name; at !== undefined && !seen.has(at); ) {
    seen.add(at)
    const metadata = await readText(context, at, options)
    if (metadata.isPermanent) {
      context.log.warning(`Backup ${at} is already marked as permanent, ignoring...`)
    } else chain.unshift(metadata)
    at = (await readSentinel(context.storage, at, context)).sentinel.delta?.parent
  }
  return chain
}

async function singleToUnmark(
  context: MarkContext,
  name: BackupName,
  options: BackupMarkOptions,
): Promise<Metadata[]> {
  const metadata = await readText(context, name, options)
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
        if ((await readText(context, child, options)).isPermanent) isFound = true
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

async function readText(
  { storage, signal }: MarkContext,
  name: BackupName,
  { place }: BackupMarkOptions,
): Promise<Metadata> {
  const key = metadataKey(name)
  try {
    const bytes = await collect(await storage.get(key, { signal }), METADATA_BYTES_MAX)
    const text = new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    return { name, text, isPermanent: parseMetadata(key, text).isPermanent }
  } catch (error) {
    if (!hasCode(error, 'OBJECT_NOT_FOUND')) throw error
    throw new WalgError('OBJECT_NOT_FOUND', `object '${place}/${key}' not found in storage`, {
      facts: { key, backup: name },
    })
  }
}

async function write({ storage, signal }: MarkContext, name: BackupName, text: string): Promise<void> {
  await storage.put(metadataKey(name), streamOf(new TextEncoder().encode(text)), { signal })
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
