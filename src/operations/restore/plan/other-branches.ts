import { hasCode, WalgError } from '../../../kit/errors.ts'
import { describeTarget, formatTimeTarget, type RecoveryTarget } from '../../../postgres/recovery-target.ts'
import { lastCommonLsn, type TimelineSpan } from '../../../postgres/timeline-path.ts'
import type { EndOfTransaction } from '../../../postgres/wal/recovery-records.ts'
import type { TimelineId } from '../../../postgres/wal-segment.ts'
import type { ArchivedWal } from '../../../repository/recovery/archived-wal.ts'
import type { OperationContext } from '../../context.ts'
import { type BackupWal, followBackup, isUnfit } from './backup-wal.ts'
import { type FoundStop, findTime, noSightings } from './find-target.ts'

/** A timeline on which the cluster lived at a moment, off the way to the one that recovery would follow. */
interface Branch {
  readonly timeline: TimelineId
  /** The last transaction that had ended there by then. */
  readonly lastEnd: EndOfTransaction
}

/**
 * Refuses a moment at which the cluster lived on another timeline than the one that recovery follows by itself: that one was left
 * for it earlier, by a recovery to a point in time, say, and has nothing of that moment. PostgreSQL would stop where the
 * timelines part, with fewer rows than there were, and call that the moment. Throws USAGE with both readings.
 */
export async function refuseOtherBranch(
  context: OperationContext,
  wal: BackupWal,
  target: Extract<RecoveryTarget, { kind: 'time' }>,
  found: {
    readonly archive: ArchivedWal
    readonly stop: FoundStop | undefined
    readonly lastEnd: EndOfTransaction | undefined
  },
): Promise<void> {
  const { archive, stop } = found
  const span = spanOf(wal, stop)
  if (!isBeforeFirstEnd(wal, span, found.lastEnd)) return
  // the timeline itself was there by then
  const begunNs = archive.historyModifiedNs(span.timeline)
  if (begunNs !== undefined && begunNs <= target.timeUs * 1000n) return
  const branches = await findBranches(context, wal, archive, target.timeUs)
  const latest = branches.reduce<Branch | undefined>(
    (newest, each) => (newest === undefined || each.lastEnd.timeUs > newest.lastEnd.timeUs ? each : newest),
    undefined,
  )
  if (latest === undefined) return
  const here =
    found.lastEnd === undefined ? 'before its backup' : `at ${formatTimeTarget(found.lastEnd.timeUs)}`
  throw new WalgError(
    'USAGE',
    `${describeTarget(target)} was on timeline ${latest.timeline}: the last transaction by then ended there at ${formatTimeTarget(latest.lastEnd.timeUs)}, on the way to timeline ${wal.timeline} ${here}`,
    {
      facts: { target: describeTarget(target), timeline: latest.timeline },
      hint: `--timeline ${latest.timeline} restores what there was at that moment${stop === undefined ? '' : `, --timeline latest what timeline ${wal.timeline} has kept of it`}`,
    },
  )
}

/** A timeline on which a transaction ends after the moment, so that recovery can stop there; where the one of `wal` has none. */
export async function findOtherWay(
  context: OperationContext,
  wal: BackupWal,
  archive: ArchivedWal,
  timeUs: bigint,
): Promise<TimelineId | undefined> {
  for (const timeline of archive.timelines) {
    if (timeline === wal.timeline) continue
    const stop = await along(context, wal, archive, timeline, way =>
      findTime(context, way, timeUs, noSightings()),
    )
    if (stop !== undefined) return timeline
  }
  return undefined
}

/** Where recovery would stop; without a stop it goes to the end. */
function spanOf({ spans }: BackupWal, stop: FoundStop | undefined): TimelineSpan {
  const span = stop === undefined ? undefined : spans.findLast(({ beginLsn }) => beginLsn <= stop.lsn)
  return span ?? spans.at(-1)!
}

/** True when nothing had ended on the timeline where recovery would stop: it may not have been there yet. */
function isBeforeFirstEnd(
  { candidate }: BackupWal,
  span: TimelineSpan,
  lastEnd: EndOfTransaction | undefined,
): boolean {
  if (candidate.finishLsn >= span.beginLsn) return false
  return lastEnd === undefined || lastEnd.startLsn < span.beginLsn
}

async function findBranches(
  context: OperationContext,
  wal: BackupWal,
  archive: ArchivedWal,
  timeUs: bigint,
): Promise<readonly Branch[]> {
  const branches: Branch[] = []
  for (const timeline of archive.timelines) {
    if (timeline === wal.timeline) continue
    const lastEnd = await lastEndOn(context, wal, archive, timeline, timeUs)
    if (lastEnd !== undefined) branches.push({ timeline, lastEnd })
  }
  return branches
}

/** The last end by then on that timeline itself, behind the place where the way leaves it. */
function lastEndOn(
  context: OperationContext,
  wal: BackupWal,
  archive: ArchivedWal,
  timeline: TimelineId,
  timeUs: bigint,
): Promise<EndOfTransaction | undefined> {
  return along(context, wal, archive, timeline, async other => {
    const commonLsn = lastCommonLsn(wal.spans, other.spans) ?? null
    if (commonLsn === null) return undefined
    const seen = noSightings()
    await findTime(context, other, timeUs, seen)
    const ownLsn = other.spans.at(-1)!.beginLsn
    const { lastEnd } = seen
    return lastEnd !== undefined && lastEnd.startLsn >= commonLsn && lastEnd.startLsn >= ownLsn
      ? lastEnd
      : undefined
  })
}

/** Looks along another timeline from the same backup; undefined where its history or WAL is gone, so that it could not be restored either. */
async function along<T>(
  context: OperationContext,
  { candidate, segmentBytes }: BackupWal,
  archive: ArchivedWal,
  choice: TimelineId,
  look: (way: BackupWal) => Promise<T | undefined>,
): Promise<T | undefined> {
  try {
    const way = await followBackup(context, candidate, { archive, choice, segmentBytes })
    return isUnfit(way) ? undefined : await look(way)
  } catch (error) {
    if (!hasCode(error, 'WAL_NOT_FOUND', 'WAL_INVALID')) throw error
    context.log.debug(`timeline ${choice} is not looked at: ${error.message}`)
    return undefined
  }
}
