import { errnoOf } from '../../kit/errors.ts'
import { readRegularFile } from '../../kit/file-system.ts'
import type { DataEntries } from '../../postgres/walk/data-entries.ts'

const FOLDER = '/pg_twophase'
const STATE_FILE = /^(?:[0-9A-F]{8}){1,2}$/
/** TwoPhaseFileHeader begins with magic and total_len (access/transam/twophase.c). */
const TOTAL_LENGTH_AT = 4

/**
 * State files of prepared transactions that a checkpoint had only begun to write when the walk saw them: they were not as long then as
 * they say, and a file is packed as long as the walk saw it. Restored so, recovery reads them before the PREPARE record and stops.
 * Nothing is lost without them: the checkpoint of the backup's start has written all that it needs, so the PREPARE record of such a
 * file is replayed.
 */
export function findTornTwoPhase(entries: DataEntries): ReadonlySet<number> {
  const found = new Set<number>()
  for (let index = 0; index < entries.count; index++) {
    if (entries.places[entries.placeOf(index)]?.member !== FOLDER) continue
    if (!STATE_FILE.test(entries.baseName(index))) continue
    const totalBytes = totalLengthOf(entries.path(index))
    if (totalBytes !== undefined && totalBytes !== entries.sizeBytes(index)) found.add(index)
  }
  return found
}

/** What the header says, -1 while there is none; undefined for a file that is gone since its transaction ended. */
function totalLengthOf(path: string): number | undefined {
  try {
    const state = readRegularFile(path)
    return state.length < TOTAL_LENGTH_AT + 4 ? -1 : state.readUInt32LE(TOTAL_LENGTH_AT)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  }
}
