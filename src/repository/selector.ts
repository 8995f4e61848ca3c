import { hasCode, WalgError } from '../kit/errors.ts'
import { checkJson, isSameJson } from '../kit/json.ts'
import type { Abortable, Storage } from '../storage/storage.ts'
import { toBackupName } from './backup-name.ts'
import {
  type BackupEntry,
  backupNotFound,
  findBackup,
  listBackups,
  readMetadata,
  readSentinel,
} from './catalog.ts'
import type { SentinelDocument } from './sentinel.ts'

export type BackupSelection =
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'latest' }
  /** JSON text, compared by value. */
  | { readonly kind: 'user-data'; readonly json: string }

/** The backup that is meant, with its sentinel, which had to be read to know that it is good. */
export interface SelectedBackup extends BackupEntry {
  readonly document: SentinelDocument
}

/** How many older backups are looked at to name a good one in the hint. */
const GOOD_BACKUP_LOOKS_MAX = 20

/** `LATEST` (exactly) or a name. */
export function selectionOf(text: string): BackupSelection {
  return text === 'LATEST' ? { kind: 'latest' } : { kind: 'name', name: text }
}

/**
 * Finds the one backup that is meant. BACKUP_NOT_FOUND (`Backup 'x' does not exist.`, `No backups found`),
 * BACKUP_AMBIGUOUS for user data that several have, BACKUP_BROKEN when its sentinel cannot be read: an older
 * backup is never taken silently instead.
 */
export async function selectBackup(
  storage: Storage,
  selection: BackupSelection,
  options: Abortable = {},
): Promise<SelectedBackup> {
  if (selection.kind === 'latest') return selectLatest(storage, options)
  if (selection.kind === 'user-data') return selectByUserData(storage, selection.json, options)
  const name = toBackupName(selection.name)
  const entry = await findBackup(storage, name, options)
  if (entry === null) throw backupNotFound(name)
  return { ...entry, document: await readSentinel(storage, name, options) }
}

async function selectLatest(storage: Storage, options: Abortable): Promise<SelectedBackup> {
  const backups = await listBackups(storage, options)
  const latest = backups.at(-1)
  if (latest === undefined) throw noBackups()
  try {
    return { ...latest, document: await readSentinel(storage, latest.name, options) }
  } catch (error) {
    if (!hasCode(error, 'BACKUP_BROKEN')) throw error
    const good = await newestGood(storage, backups.slice(0, -1), options)
    const advice =
      good === undefined
        ? 'no older backup can be read either'
        : `the newest good backup is ${good}: name it instead of LATEST`
    throw new WalgError('BACKUP_BROKEN', `the latest backup ${latest.name} is broken: ${error.message}`, {
      facts: { ...error.facts, backup: latest.name },
      cause: error,
      hint: advice,
    })
  }
}

async function newestGood(
  storage: Storage,
  backups: readonly BackupEntry[],
  options: Abortable,
): Promise<string | undefined> {
  for (const { name } of backups.slice(-GOOD_BACKUP_LOOKS_MAX).reverse()) {
    try {
      await readSentinel(storage, name, options)
      return name
    } catch (error) {
      if (!hasCode(error, 'BACKUP_BROKEN', 'BACKUP_NOT_FOUND')) throw error
    }
  }
  return undefined
}

/**
 * Integers beyond 2^53 are compared exactly; where that finds nothing, the rounded form is looked for that the
 * original would have stored. What was stored exactly is never found by a neighbour.
 */
async function selectByUserData(storage: Storage, json: string, options: Abortable): Promise<SelectedBackup> {
  checkUserData(json)
  const backups = await listBackups(storage, options)
  const known: { readonly entry: BackupEntry; readonly userData: string }[] = []
  const broken: WalgError[] = []
  for (const entry of backups) {
    try {
      const userData = await readUserData(storage, entry, options)
      if (userData !== null) known.push({ entry, userData })
    } catch (error) {
      if (!hasCode(error, 'BACKUP_BROKEN', 'BACKUP_NOT_FOUND')) throw error
      broken.push(error)
    }
  }
  const matching = (wanted: string) => known.filter(({ userData }) => isSameJson(userData, wanted))
  const exact = matching(json)
  const matches = exact.length > 0 ? exact : matching(JSON.stringify(JSON.parse(json)))
  if (matches.length > 1) {
    const names = matches.map(({ entry }) => entry.name).join(' ')
    throw new WalgError(
      'BACKUP_AMBIGUOUS',
      `too many backups (${matches.length}) found with specified user data: [${names}]`,
      { hint: 'name one of them' },
    )
  }
  const found = matches[0]?.entry
  if (found === undefined) throw broken[0] ?? noBackups()
  return { ...found, document: await readSentinel(storage, found.name, options) }
}

/** Of `metadata.json`, or of the sentinel where that is missing or damaged. */
async function readUserData(
  storage: Storage,
  entry: BackupEntry,
  options: Abortable,
): Promise<string | null> {
  try {
    return (await readMetadata(storage, entry.name, options)).userData
  } catch (error) {
    if (!hasCode(error, 'BACKUP_BROKEN', 'OBJECT_NOT_FOUND')) throw error
    return (await readSentinel(storage, entry.name, options)).sentinel.userData
  }
}

function checkUserData(json: string): void {
  try {
    checkJson(json)
  } catch (error) {
    throw new WalgError('USAGE', `the user data to look for is not valid JSON: ${json}`, {
      cause: error,
      hint: 'a plain text needs quotes of its own: \'"text"\'',
    })
  }
}

function noBackups(): WalgError {
  return new WalgError('BACKUP_NOT_FOUND', 'No backups found')
}
