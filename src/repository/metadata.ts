import { WalgError } from '../kit/errors.ts'
import { checkJson, JsonMembers, writeJson } from '../kit/json.ts'
import { formatTimestamp, parseTimestamp, type Timestamp } from '../kit/timestamp.ts'
import { type Lsn, toLsn } from '../postgres/lsn.ts'
import { DATE_FORMAT } from './date-format.ts'

/** `<BACKUP>/metadata.json` (storage-format 2.3): the authority for permanence and user data. */
export interface BackupMetadata {
  readonly startTime: Timestamp
  readonly finishTime: Timestamp
  readonly hostname: string
  readonly dataDirectory: string
  readonly pgVersion: number
  readonly startLsn: Lsn
  readonly finishLsn: Lsn
  readonly isPermanent: boolean
  readonly systemIdentifier: bigint | null
  readonly uncompressedSizeBytes: number
  readonly compressedSizeBytes: number
  /** Valid JSON text, exactly as stored; null when absent. */
  readonly userData: string | null
}

/** The document on one line, keys in the original's order. Throws FORMAT_INVALID for user data that is no JSON. */
export function formatMetadata(metadata: BackupMetadata): string {
  if (metadata.userData !== null) checkJson(metadata.userData)
  return writeJson({
    start_time: formatTimestamp(metadata.startTime),
    finish_time: formatTimestamp(metadata.finishTime),
    date_fmt: DATE_FORMAT,
    hostname: metadata.hostname,
    data_dir: metadata.dataDirectory,
    pg_version: metadata.pgVersion,
    start_lsn: metadata.startLsn,
    finish_lsn: metadata.finishLsn,
    is_permanent: metadata.isPermanent,
    system_identifier: metadata.systemIdentifier,
    uncompressed_size: metadata.uncompressedSizeBytes,
    compressed_size: metadata.compressedSizeBytes,
    user_data: metadata.userData === null ? undefined : { rawJson: metadata.userData },
  })
}

/** Throws BACKUP_BROKEN naming `key` when the text is no such document. */
export function parseMetadata(key: string, text: string): BackupMetadata {
  try {
    const members = JsonMembers.parse(text)
    return {
      startTime: parseTimestamp(required(members.string('start_time'), 'start_time')),
      finishTime: parseTimestamp(required(members.string('finish_time'), 'finish_time')),
      hostname: members.string('hostname') ?? '',
      dataDirectory: members.string('data_dir') ?? '',
      pgVersion: members.integer('pg_version') ?? 0,
      startLsn: toLsn(required(members.bigint('start_lsn'), 'start_lsn')),
      finishLsn: toLsn(required(members.bigint('finish_lsn'), 'finish_lsn')),
      isPermanent: members.boolean('is_permanent') ?? false,
      systemIdentifier: members.bigint('system_identifier') ?? null,
      uncompressedSizeBytes: members.integer('uncompressed_size') ?? 0,
      compressedSizeBytes: members.integer('compressed_size') ?? 0,
      userData: members.raw('user_data') ?? null,
    }
  } catch (error) {
    if (!(error instanceof WalgError)) throw error
    throw new WalgError('BACKUP_BROKEN', `"${key}" is damaged: ${error.message}`, {
      facts: { key },
      cause: error,
      hint: 'bring this object back from a copy of the repository; the data of the backup is not affected',
    })
  }
}

function required<T>(value: T | undefined, key: string): T {
  if (value === undefined) throw new WalgError('FORMAT_INVALID', `"${key}" is missing`)
  return value
}
