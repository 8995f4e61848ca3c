import { WalgError } from '../kit/errors.ts'

/** What every reader says about data that is not whole. The caller knows the object's name, a reader does not. */

/** The stored bytes end before the format says so; also for an object without a byte. */
export function cutData(format: string, storedBytes: number): WalgError {
  const message =
    storedBytes === 0 ? `${format} data is empty` : `${format} data is cut after ${storedBytes} stored bytes`
  return new WalgError('FORMAT_TRUNCATED', message, { facts: { format, storedBytes } })
}

/** The stored bytes are not what the format allows there, e.g. `its header is damaged`. */
export function badData(format: string, reason: string, storedBytes: number, cause?: unknown): WalgError {
  const message = `${format} data is invalid near stored byte ${storedBytes}: ${reason}`
  return new WalgError('FORMAT_INVALID', message, { facts: { format, storedBytes }, cause })
}

/** The content is not the one that was compressed. */
export function wrongChecksum(format: string, storedBytes: number): WalgError {
  return new WalgError(
    'CHECKSUM_MISMATCH',
    `${format} data does not match its checksum (near stored byte ${storedBytes})`,
    { facts: { format, storedBytes } },
  )
}
