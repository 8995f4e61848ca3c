import { formatLsn, type Lsn } from '../../postgres/lsn.ts'
import { type CheckpointRecord, findLastCheckpoint } from '../../postgres/wal/last-checkpoint.ts'
import type { OperationContext } from '../context.ts'
import {
  type MissingWalFetcher,
  missingSegments,
  namesOfSegment,
  type Side,
  segmentOf,
} from './missing-wal.ts'

/**
 * pg_rewind reads the target's WAL backwards from where the clusters parted, to the last checkpoint before that. The same is done
 * here, segment by segment; those that are not there are fetched. Undefined when it was not found: said, and not an
 * error where nothing could be done about it.
 */
export async function fetchBackToCheckpoint(
  { log, signal }: OperationContext,
  target: Side,
  divergence: Lsn,
  fetcher: MissingWalFetcher,
): Promise<CheckpointRecord | undefined> {
  const first = segmentOf(target, divergence)
  const { timeline } = target.control
  let next: string | undefined
  for (let number = first; number > 0n; number -= 1n) {
    await fetcher.fetchAll(missingSegments(target, number, number))
    const name = namesOfSegment(target, number).find(each => target.local.has(each))
    if (name === undefined) return undefined
    const found = await findLastCheckpoint(target.walDirectory, { name, next, timeline }, divergence, signal)
    if (found.checkpoint !== undefined) return found.checkpoint
    // in the segment of the parting the WAL of the target may end
    if (found.stopReason !== undefined && number < first) {
      log.warning(
        `the last checkpoint before ${formatLsn(divergence)}, which pg_rewind will look for, is not found: ${name}: ${found.stopReason}`,
      )
      return undefined
    }
    next = name
  }
  return undefined
}
