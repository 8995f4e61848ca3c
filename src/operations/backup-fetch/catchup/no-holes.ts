import type { IncrementHeader } from '../../../delta/increment.ts'
import { WalgError } from '../../../kit/errors.ts'

export interface PresentFile {
  readonly name: string
  /** What the standby has of it; 0 when it is missing. */
  readonly presentBytes: number
  readonly pageBytes: number
}

/**
 * Behind the end of what the standby has, an increment must bring every page: there would be zeros otherwise. Throws
 * DELTA_BASE_INVALID.
 */
export function assertNoHoles(
  { name, presentBytes, pageBytes }: PresentFile,
  { fileSizeBytes }: IncrementHeader,
  blocks: Uint32Array,
): void {
  const present = Math.floor(presentBytes / pageBytes)
  const end = Math.floor(fileSizeBytes / pageBytes)
  let next = present
  for (const block of blocks) {
    if (block < next) continue
    if (block > next || next >= end) break
    next += 1
  }
  if (next >= end) return
  throw new WalgError(
    'DELTA_BASE_INVALID',
    `"${name}" ends at block ${present} here, and the catchup backup does not bring block ${next} of it`,
    {
      facts: { file: name, block: next },
      hint: 'a database was copied or moved on the primary, or the standby is older than --from-lsn: repeat catchup-push with --from-lsn 0, which stores every file whole',
    },
  )
}
