import { hasCode } from '../../../kit/errors.ts'
import { epochNs, isZeroTime } from '../../../kit/timestamp.ts'
import type { Lsn } from '../../../postgres/lsn.ts'
import { type TimelineId, toTimelineId } from '../../../postgres/wal-segment.ts'
import { parseBackupName, walFileOfName } from '../../../repository/backup-name.ts'
import { type BackupEntry, listBackups, readSentinel } from '../../../repository/catalog.ts'
import type { Sentinel } from '../../../repository/sentinel.ts'
import type { OperationContext } from '../../context.ts'

/** A backup that may be restored from. */
export interface Candidate {
  readonly entry: BackupEntry
  readonly sentinel: Sentinel
  readonly timeline: TimelineId
  readonly startLsn: Lsn
  readonly finishLsn: Lsn
  /** When it ended, by the clock of the host that took it; by its sentinel object where it does not say. */
  readonly finishedNs: bigint
}

const READS_AT_A_TIME = 16
/** recovery.signal came with 12. */
const VERSION_MIN = 120_000

/** Every backup that recovery can begin from, the one that ended last first; what is left out is said. */
export async function readCandidates(context: OperationContext): Promise<readonly Candidate[]> {
  const entries = await listBackups(context.storage, context)
  const candidates: Candidate[] = []
  let next = 0
  const lanes = Array.from({ length: READS_AT_A_TIME }, async () => {
    while (next < entries.length) {
      const candidate = await readCandidate(context, entries[next++]!)
      if (candidate !== undefined) candidates.push(candidate)
    }
  })
  await Promise.all(lanes)
  return candidates.sort((left, right) =>
    left.finishedNs === right.finishedNs
      ? left.entry.name < right.entry.name
        ? 1
        : -1
      : left.finishedNs < right.finishedNs
        ? 1
        : -1,
  )
}

async function readCandidate(context: OperationContext, entry: BackupEntry): Promise<Candidate | undefined> {
  const { log, storage } = context
  let sentinel: Sentinel
  try {
    ;({ sentinel } = await readSentinel(storage, entry.name, context))
  } catch (error) {
    if (!hasCode(error, 'BACKUP_BROKEN', 'BACKUP_NOT_FOUND')) throw error
    log.warning(`backup ${entry.name} is passed over: ${error.message}`)
    return undefined
  }
  const walFile = parseBackupName(entry.name)?.walFile ?? walFileOfName(entry.name)
  const timeline = /^[0-9A-F]{24}$/.test(walFile) ? Number.parseInt(walFile.slice(0, 8), 16) : 0
  if (sentinel.lsn === null || sentinel.finishLsn === null || timeline === 0) {
    log.warning(`backup ${entry.name} is passed over: it does not say which WAL it needs`)
    return undefined
  }
  if (sentinel.pgVersion < VERSION_MIN) {
    log.warning(
      `backup ${entry.name} is passed over: it is of PostgreSQL ${Math.floor(sentinel.pgVersion / 10_000)}`,
    )
    return undefined
  }
  const { finishTime } = sentinel
  return {
    entry,
    sentinel,
    timeline: toTimelineId(timeline),
    startLsn: sentinel.lsn,
    finishLsn: sentinel.finishLsn,
    finishedNs: finishTime === null || isZeroTime(finishTime) ? entry.modifiedNs : epochNs(finishTime),
  }
}
