import { WalgError } from '../kit/errors.ts'

/** The error of a storage that is used after `close`. */
export function storageClosed(storage: string): WalgError {
  return new WalgError('STORAGE_UNAVAILABLE', `storage "${storage}" has been closed`, { facts: { storage } })
}

/** The error of a sink that is written to after its end. */
export function sinkClosed(key: string, storage: string): WalgError {
  return new WalgError(
    'STORAGE_UNAVAILABLE',
    `object "${key}" is not being written any more in storage "${storage}"`,
    { facts: { key, storage } },
  )
}
