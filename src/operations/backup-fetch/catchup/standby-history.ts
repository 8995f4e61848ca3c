import type { ControlFile } from '../../../postgres/control-file.ts'
import { isOtherCheckpoint, placeOfCheckpoint } from '../../../postgres/wal/checkpoint-record.ts'
import { formatSegmentName, segmentOfLsn } from '../../../postgres/wal-segment.ts'
import { WAL_PREFIX } from '../../../repository/layout.ts'
import { readArchivedPlace } from '../../../repository/recovery/archived-place.ts'
import { findPayload } from '../../../repository/sealed.ts'
import type { OperationContext } from '../../context.ts'

/**
 * Why the standby has been where the primary has not, as far as the archive knows: the primary may have been rolled back on the same
 * timeline, by a snapshot of the machine, say. The last checkpoint that the standby has replayed must lie in the archived WAL, with its time. undefined
 * when it does, and when the archive does not have that segment or it cannot be read: then nothing is known.
 */
export async function findForeignHistory(
  { storage, codec, log, signal }: Pick<OperationContext, 'storage' | 'codec' | 'log' | 'signal'>,
  control: ControlFile,
): Promise<string | undefined> {
  const { checkpointLsn, redoLsn, checkpointTimeSeconds: timeSeconds, timeline, walSegmentBytes } = control
  const name = formatSegmentName(segmentOfLsn(timeline, checkpointLsn, walSegmentBytes), walSegmentBytes)
  const place = `${WAL_PREFIX}/${name}`
  const found = await findPayload(storage, place, { firstExtension: codec.extension, signal })
  if (found === null) return undefined
  const at = await readArchivedPlace(
    { storage, codec, signal },
    { found, name, control },
    placeOfCheckpoint(checkpointLsn),
  )
  if (at.kind === 'unreadable') {
    log.debug(`"${found.key}" does not tell whether the standby has replayed it: ${at.reason}`)
  }
  if (!isOtherCheckpoint(at, { redoLsn, timeSeconds })) return undefined
  return `WAL segment ${name} in the archive does not have the checkpoint that the standby has replayed`
}
