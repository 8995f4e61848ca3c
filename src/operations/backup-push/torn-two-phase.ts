import { WalgError } from '../../kit/errors.ts'
import { readRegularFile } from '../../kit/file-system.ts'
import type { DataEntries } from '../../postgres/walk/data-entries.ts'

const STATE_FILE = /^\/?pg_twophase\/(?:[0-9A-F]{8}){1,2}$/
/** TwoPhaseFileHeader begins with magic and total_len (access/transam/twophase.c). */
const TOTAL_LENGTH_AT = 4

/**
 * State files of prepared transactions that a checkpoint had only begun to write when they were looked at: they are not as long as
 * they say. Restored so, recovery reads them before the PREPARE record and stops. Nothing is lost without them: the checkpoint of the
 * backup's start has written all that it needs, so the PREPARE record of such a file is replayed.
 */
export function findTornTwoPhase(entries: DataEntries): ReadonlySet<number> {
  const found = new Set<number>()
  for (let index = 0; index < entries.count; index++) {
    if (entries.isDirectory(index) || !STATE_FILE.test(entries.memberName(index))) continue
    if (isTorn(entries.path(index))) found.add(index)
  }
  return found
}

function isTorn(path: string): boolean {
  let state: Buffer
  try {
    state = readRegularFile(path)
  } catch (error) {
    // gone since its transaction ended, or not to be read: packing says so
    if (error instanceof WalgError || (error as NodeJS.ErrnoException).code !== undefined) return false
    throw error
  }
  return state.length < TOTAL_LENGTH_AT + 4 || state.readUInt32LE(TOTAL_LENGTH_AT) !== state.length
}
