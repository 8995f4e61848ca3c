import { errnoOf } from '../../kit/errors.ts'
import { readRegularFile } from '../../kit/file-system.ts'
import type { DataEntries } from '../../postgres/walk/data-entries.ts'
import {
  isBegunAfter,
  parseStateFileName,
  stateFileBytes,
  TWO_PHASE_FOLDER,
} from '../../postgres/walk/two-phase-state.ts'

/**
 * State files of prepared transactions that recovery makes anew from the PREPARE record, and that only harm it. The checkpoint of the
 * backup's start has written all that are needed; a later one writes those:
 *
 * - of transactions that began after that checkpoint, which knew `nextXid`. Recovery means to remove such a file and to replay its PREPARE, but 17 and 18 look for it under another name, find it when the record comes, pass the record over, and
 *   the prepared transaction is lost;
 * - that were only being written when the walk saw them: not as long then as they say, and a file is packed as long as the walk saw
 *   it. Recovery reads them before the PREPARE record and stops.
 */
export function findReplayedStates(entries: DataEntries, nextXid: bigint): ReadonlySet<number> {
  const found = new Set<number>()
  for (let index = 0; index < entries.count; index++) {
    if (entries.places[entries.placeOf(index)]?.member !== `/${TWO_PHASE_FOLDER}`) continue
    const name = parseStateFileName(entries.baseName(index))
    if (name === undefined) continue
    if (isBegunAfter(name, nextXid) || isTorn(entries.path(index), entries.sizeBytes(index))) found.add(index)
  }
  return found
}

/** False for a file that is gone since its transaction ended. */
function isTorn(path: string, sizeBytes: number): boolean {
  try {
    return stateFileBytes(readRegularFile(path)) !== sizeBytes
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false
    throw error
  }
}
