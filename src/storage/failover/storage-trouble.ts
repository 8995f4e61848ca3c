import { hasCode, type WalgError } from '../../kit/errors.ts'

/** True for a failure that says something about the storage, not about what it was asked. */
export function isStorageTrouble(error: unknown): error is WalgError {
  return hasCode(
    error,
    'STORAGE_UNAVAILABLE',
    'STORAGE_THROTTLED',
    'STORAGE_ROOT_MISSING',
    'ACCESS_DENIED',
    'TIMEOUT',
    'DISK_FULL',
    'FILE_ACCESS',
  )
}
