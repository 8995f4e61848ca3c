import { WalgError } from '../../kit/errors.ts'
import type { Lsn } from '../lsn.ts'

/** How far the WAL of one run of consecutive segments can be proved whole, record by record. */
export interface ValidWal {
  /** Segments that are finished: every record that begins in them ends well, and the next begins after them. */
  readonly complete: readonly string[]
  /** End of the last record that proved whole; undefined when none did. */
  readonly endLsn: Lsn | undefined
  /** Why reading stopped there, for a person. */
  readonly reason: string
}

/**
 * Reads the records of consecutive segments of one timeline (oldest first, names in `names`, files in
 * `directory`), checks each CRC-32C and each back link, and tells up to where they prove whole.
 */
export async function findEndOfValidWal(
  directory: string,
  names: readonly string[],
  signal: AbortSignal,
): Promise<ValidWal> {
  signal.throwIfAborted()
  throw new WalgError(
    'NOT_AVAILABLE',
    `reading WAL records in "${directory}" is not there yet (${names.length})`,
  )
}
