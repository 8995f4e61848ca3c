/** Every way this program can fail, by code. Code and facts are for machines, message and hint for people. */
export type ErrorCode =
  | 'USAGE'
  | 'SETTING_MISSING'
  | 'SETTING_INVALID'
  | 'SETTING_CONFLICT'
  | 'NOT_AVAILABLE'
  | 'OBJECT_NOT_FOUND'
  | 'OBJECT_EXISTS'
  | 'WRITE_REFUSED'
  | 'ACCESS_DENIED'
  | 'RANGE_INVALID'
  | 'KEY_REFUSED'
  | 'STORAGE_UNAVAILABLE'
  | 'STORAGE_THROTTLED'
  | 'STORAGE_ROOT_MISSING'
  | 'NO_STORAGE_ALIVE'
  | 'FORMAT_INVALID'
  | 'FORMAT_TRUNCATED'
  | 'FORMAT_UNSUPPORTED'
  | 'CHECKSUM_MISMATCH'
  | 'KEY_INVALID'
  | 'DECRYPT_FAILED'
  | 'CLUSTER_UNREACHABLE'
  | 'CLUSTER_STATE'
  | 'CLUSTER_QUERY'
  | 'VERSION_UNSUPPORTED'
  | 'BACKUP_NOT_FOUND'
  | 'BACKUP_EXISTS'
  | 'BACKUP_AMBIGUOUS'
  | 'BACKUP_BROKEN'
  | 'BACKUP_PERMANENT'
  | 'CHAIN_BROKEN'
  | 'DELTA_BASE_INVALID'
  | 'WAL_NOT_FOUND'
  | 'WAL_OVERWRITE'
  | 'WAL_INVALID'
  | 'WAL_NOT_ARCHIVED'
  | 'TARGET_NOT_EMPTY'
  | 'TARGET_MISMATCH'
  | 'INTEGRITY'
  | 'TIMEOUT'
  | 'CANCELLED'
  | 'DISK_FULL'
  | 'FILE_ACCESS'
  | 'FILE_NOT_FOUND'

/** Facts about a failure: the key, the segment, the LSN. Never a secret. */
export type ErrorFacts = Readonly<Record<string, string | number | bigint | boolean>>

export interface ErrorDetails {
  readonly facts?: ErrorFacts
  /** What a person can do next. */
  readonly hint?: string
  readonly cause?: unknown
}

/** The one class of errors. Messages: lower case, no final stop, the name of the thing included. */
export class WalgError extends Error {
  override readonly name = 'WalgError'
  readonly code: ErrorCode
  readonly facts: ErrorFacts
  readonly hint: string | undefined

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause })
    this.code = code
    this.facts = details.facts ?? {}
    this.hint = details.hint
  }
}

/** True for a WalgError with one of `codes`. */
export function hasCode(error: unknown, ...codes: ErrorCode[]): error is WalgError {
  return error instanceof WalgError && codes.includes(error.code)
}

/** For our own mistakes, never for the world's: stays on in production. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`assertion failed: ${message}`)
}

/** The errno name (`ENOENT`, `ENOSPC`, …) of a system error, or undefined. */
export function errnoOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  const code = (error as { code?: unknown }).code
  return typeof code === 'string' && /^E[A-Z0-9]+$/.test(code) ? code : undefined
}

/** What was read is not what was once written: cut, changed, or sealed with another key. */
export function isDamage(error: unknown): error is WalgError {
  return hasCode(error, 'FORMAT_INVALID', 'FORMAT_TRUNCATED', 'CHECKSUM_MISMATCH', 'DECRYPT_FAILED')
}

const FILES_HINT =
  'raise the limit of open files (ulimit -n, LimitNOFILE= of a systemd unit), then run the command again'

/**
 * Translates a file-system error where it is first touched. A WalgError passes through unchanged.
 * `doing` is a verb phrase such as `read` or `fsync`; `path` is named in the message.
 */
export function fromSystemError(error: unknown, doing: string, path: string): WalgError {
  if (error instanceof WalgError) return error
  const errno = errnoOf(error)
  const text = error instanceof Error ? error.message : String(error)
  const facts = { path, ...(errno === undefined ? {} : { errno }) }
  if (errno === 'ENOSPC' || errno === 'EDQUOT') {
    return new WalgError('DISK_FULL', `unable to ${doing} "${path}": no space left`, {
      facts,
      cause: error,
      hint: 'free some space or enlarge the file system, then run the command again',
    })
  }
  if (errno === 'ENOENT') {
    return new WalgError('FILE_NOT_FOUND', `unable to ${doing} "${path}": no such file or directory`, {
      facts,
      cause: error,
    })
  }
  if (errno === 'EACCES' || errno === 'EPERM') {
    return new WalgError('FILE_ACCESS', `unable to ${doing} "${path}": permission denied`, {
      facts,
      cause: error,
      hint: 'run as the owner of the file (usually the postgres user) or correct its permissions',
    })
  }
  const isLimited = errno === 'EMFILE' || errno === 'ENFILE'
  return new WalgError('FILE_ACCESS', `unable to ${doing} "${path}": ${text}`, {
    facts,
    cause: error,
    ...(isLimited ? { hint: FILES_HINT } : {}),
  })
}
