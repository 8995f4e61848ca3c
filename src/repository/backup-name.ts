import { WalgError } from '../kit/errors.ts'
import { type TimelineId, toTimelineId } from '../postgres/wal-segment.ts'

declare const backupNameBrand: unique symbol
/** The name of a backup: what stands before `_backup_stop_sentinel.json`. */
export type BackupName = string & { readonly [backupNameBrand]: true }

/** What a name written by this program or the original says (storage-format 1.2). */
export interface BackupNameParts {
  /** WAL file name of the start LSN, 24 upper-case hex digits. */
  readonly walFile: string
  readonly timeline: TimelineId
  /** The first 24 hex digits of the parent's name; present for a delta. */
  readonly parentWalFile?: string
  /** 8 hex digits of a WAL-E name. */
  readonly offset?: string
}

const FULL_NAME = /^base_([0-9A-F]{24})(?:_D_([0-9A-F]{24}))?(?:_([0-9A-F]{8}))?$/
const WAL_DIGITS = /[0-9A-F]{24}/
const NO_WAL_FILE = 'Z'.repeat(24)

/**
 * Brands any text that can be the name of a backup in a listing: foreign names are listed too. Throws USAGE
 * for an empty name and for one that cannot be a single path component.
 */
export function toBackupName(text: string): BackupName {
  if (text === '' || text === '.' || text === '..' || /[/\0]/.test(text)) {
    throw new WalgError('USAGE', `not a backup name: "${text}"`, {
      hint: 'backup-list shows the names of all backups',
    })
  }
  return text as BackupName
}

/** The parts of a name, or undefined when it does not follow the scheme. */
export function parseBackupName(name: string): BackupNameParts | undefined {
  const match = FULL_NAME.exec(name)
  if (match === null) return undefined
  const [, walFile, parentWalFile, offset] = match
  return {
    walFile: walFile!,
    timeline: toTimelineId(Number.parseInt(walFile!.slice(0, 8), 16)),
    ...(parentWalFile === undefined ? {} : { parentWalFile }),
    ...(offset === undefined ? {} : { offset }),
  }
}

/** `base_<walFile>`, or for a delta `base_<walFile>_D_<first 24 hex digits of the parent's name>`. */
export function formatBackupName(walFile: string, parent?: BackupName): BackupName {
  if (!/^[0-9A-F]{24}$/.test(walFile)) {
    throw new WalgError('FORMAT_INVALID', `not a WAL segment name: "${walFile}"`)
  }
  return (
    parent === undefined ? `base_${walFile}` : `base_${walFile}_D_${walFileOfName(parent)}`
  ) as BackupName
}

/** The first run of 24 hex digits in a name, or 24 times `Z`. */
export function walFileOfName(name: string): string {
  return WAL_DIGITS.exec(name)?.[0] ?? NO_WAL_FILE
}
