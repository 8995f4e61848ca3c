import { collect } from '../kit/bytes.ts'
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
import { sentinelKey } from './layout.ts'
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

/** A backup without user data is one whose user data are null: so they are written, and so the original reads them. */
const NO_USER_DATA = 'null'

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
      known.push({ entry, userData: (await readUserData(storage, entry, options)) ?? NO_USER_DATA })
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

/** A backup found among several storages. */
export interface SelectedAmong {
  readonly selected: SelectedBackup
  /** Positions of the storages that have this very backup, the one to read first in front. */
  readonly holders: readonly number[]
}

interface Candidate {
  readonly at: number
  readonly entry: BackupEntry
}

/**
 * `selectBackup` over several storages: the newest of all for LATEST; the first storage that has it for a name. A backup
 * that is in several is one when its sentinels are the same, byte for byte. One whose sentinel is damaged in one storage
 * is taken from the next. A storage that fails is passed over unless nothing is found.
 */
export async function selectAmong(
  storages: readonly Storage[],
  selection: BackupSelection,
  options: Abortable = {},
): Promise<SelectedAmong> {
  const [only] = storages
  if (storages.length === 1 && only !== undefined) {
    return { selected: await selectBackup(only, selection, options), holders: [0] }
  }
  const failures: WalgError[] = []
  const candidates: Candidate[] = []
  for (const [at, storage] of storages.entries()) {
    try {
      candidates.push(...(await candidatesOf(storage, at, selection, options)))
    } catch (error) {
      if (!(error instanceof WalgError) || hasCode(error, 'USAGE', 'CANCELLED')) throw error
      failures.push(error)
    }
  }
  const chosen = choose(candidates, selection)
  if (chosen === undefined) {
    throw failures.find(error => !hasCode(error, 'BACKUP_NOT_FOUND')) ?? failures[0] ?? noBackups()
  }
  return readFirstGood(storages, chosen, options)
}

async function candidatesOf(
  storage: Storage,
  at: number,
  selection: BackupSelection,
  options: Abortable,
): Promise<Candidate[]> {
  if (selection.kind === 'latest') {
    return (await listBackups(storage, options)).map(entry => ({ at, entry }))
  }
  if (selection.kind === 'user-data') {
    return [{ at, entry: await selectByUserData(storage, selection.json, options) }]
  }
  const entry = await findBackup(storage, toBackupName(selection.name), options)
  if (entry === null) throw backupNotFound(selection.name)
  return [{ at, entry }]
}

/** All storages that have the chosen name, the one that decided in front. */
function choose(candidates: readonly Candidate[], selection: BackupSelection): Candidate[] | undefined {
  const newest = (left: Candidate, right: Candidate): Candidate =>
    right.entry.modifiedNs > left.entry.modifiedNs ? right : left
  const [first] = candidates
  if (first === undefined) return undefined
  const decisive = selection.kind === 'latest' ? candidates.reduce(newest) : first
  const names = new Set(candidates.map(({ entry }) => entry.name as string))
  if (selection.kind === 'user-data' && names.size > 1) {
    throw new WalgError(
      'BACKUP_AMBIGUOUS',
      `too many backups (${names.size}) found with specified user data: [${[...names].sort().join(' ')}]`,
      { hint: 'name one of them' },
    )
  }
  const same = candidates.filter(({ entry }) => entry.name === decisive.entry.name)
  return [decisive, ...same.filter(candidate => candidate !== decisive)]
}

async function readFirstGood(
  storages: readonly Storage[],
  candidates: readonly Candidate[],
  options: Abortable,
): Promise<SelectedAmong> {
  const failures: unknown[] = []
  for (const { at, entry } of candidates) {
    const storage = storages[at]!
    try {
      const document = await readSentinel(storage, entry.name, options)
      const twins = await twinsOf(storages, candidates, at, options)
      // Of equal ones the storage that comes first is read first.
      return { selected: { ...entry, document }, holders: [at, ...twins].sort((a, b) => a - b) }
    } catch (error) {
      if (!hasCode(error, 'BACKUP_BROKEN', 'BACKUP_NOT_FOUND', 'STORAGE_UNAVAILABLE', 'TIMEOUT')) throw error
      failures.push(error)
    }
  }
  throw failures[0]
}

const SENTINEL_BYTES_MAX = 64 << 20

async function twinsOf(
  storages: readonly Storage[],
  candidates: readonly Candidate[],
  found: number,
  options: Abortable,
): Promise<number[]> {
  const twins: number[] = []
  const others = candidates.filter(({ at }) => at !== found)
  const name = others[0]?.entry.name
  if (name === undefined) return twins
  const read = async (at: number): Promise<Uint8Array> =>
    collect(await storages[at]!.get(sentinelKey(name), options), SENTINEL_BYTES_MAX)
  const own = await read(found)
  for (const { at } of others) {
    try {
      if (Buffer.compare(own, await read(at)) === 0) twins.push(at)
    } catch (error) {
      if (!(error instanceof WalgError)) throw error
      // A storage that cannot show its sentinel cannot stand in for another one.
    }
  }
  return twins
}
