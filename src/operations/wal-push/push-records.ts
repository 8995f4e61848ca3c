import { mkdirSync, readdirSync, readFileSync, unlinkSync } from 'node:fs'
import { join } from 'node:path'
import { writeFileDurably } from '../../kit/atomic-file.ts'
import { errnoOf, fromSystemError } from '../../kit/errors.ts'

/**
 * What this host knows of a file it pushed, one small file per archive name (the full name, so that `X` and
 * `X.partial` never meet).
 *
 * - `pushing`: written before the put. A retry after a lost answer can prove by the hash that the object in the
 *   archive is its own, even where that object cannot be read back.
 * - `stored`: written after a background put was durable. The push of that name only checks and acknowledges.
 */
export interface PushRecord {
  readonly state: 'pushing' | 'stored'
  /** `storageIdentity` of the place. */
  readonly storage: string
  readonly key: string
  readonly contentHash: string
  readonly sizeBytes: number
  /** Size of the sealed object; only in `stored`. */
  readonly storedSizeBytes?: number
}

export interface PushRecords {
  /** undefined also where this user may not read it, as after a push by root. */
  read(name: string): PushRecord | undefined
  /** Durable when this returns. Throws DISK_FULL, FILE_ACCESS, FILE_NOT_FOUND. */
  write(name: string, record: PushRecord): Promise<void>
  /** One that this user may not remove stays: it is compared before it is believed. */
  remove(name: string): void
}

const RECORDS_FOLDER = 'walg_data/walg_push_records'
const RECORD_SUFFIX = '.record'
/** Old `pushing` records only serve retries; PostgreSQL retries the newest file, so a few hundred are plenty. */
const RECORDS_MAX = 512

/** Gone, or of another user. */
const NOT_OURS = new Set(['ENOENT', 'EACCES', 'EPERM', 'EROFS'])

/** Opens the records below a `pg_wal` directory, creating their folder. Throws the system's error. */
export function openPushRecords(walDirectory: string): PushRecords {
  const folder = join(walDirectory, RECORDS_FOLDER)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const pathOf = (name: string): string => join(folder, name + RECORD_SUFFIX)
  return {
    read(name: string): PushRecord | undefined {
      return readRecord(pathOf(name))
    },
    async write(name: string, record: PushRecord): Promise<void> {
      await writeFileDurably(pathOf(name), Buffer.from(`${JSON.stringify(record)}\n`), { mode: 0o600 })
      if (record.state === 'pushing') pruneRecords(folder)
    },
    remove(name: string): void {
      removeIfThere(pathOf(name))
    },
  }
}

/** A record that cannot be read proves nothing and is treated as absent: the push then compares contents. */
function parseRecord(text: string): PushRecord | undefined {
  let value: Partial<Record<keyof PushRecord, unknown>>
  try {
    value = JSON.parse(text) as typeof value
  } catch {
    return undefined
  }
  const isComplete =
    (value.state === 'pushing' || value.state === 'stored') &&
    typeof value.storage === 'string' &&
    typeof value.key === 'string' &&
    typeof value.contentHash === 'string' &&
    typeof value.sizeBytes === 'number'
  return isComplete ? (value as PushRecord) : undefined
}

function pruneRecords(folder: string): void {
  const names = readdirSync(folder).filter(name => name.endsWith(RECORD_SUFFIX))
  if (names.length <= RECORDS_MAX) return
  for (const name of names.sort().slice(0, names.length - RECORDS_MAX / 2)) {
    const path = join(folder, name)
    if (readRecord(path)?.state !== 'stored') removeIfThere(path)
  }
}

function readRecord(path: string): PushRecord | undefined {
  try {
    return parseRecord(readFileSync(path, 'utf8'))
  } catch (error) {
    if (NOT_OURS.has(errnoOf(error) ?? '')) return undefined
    throw fromSystemError(error, 'read', path)
  }
}

function removeIfThere(path: string): void {
  try {
    unlinkSync(path)
  } catch (error) {
    if (!NOT_OURS.has(errnoOf(error) ?? '')) throw fromSystemError(error, 'remove', path)
  }
}
