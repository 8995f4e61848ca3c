import { WalgError } from '../../../kit/errors.ts'
import { formatLsn, type Lsn } from '../../../postgres/lsn.ts'
import type { TimelineHistory } from '../../../postgres/timeline-history.ts'
import { isOnPath, type TimelineSpan, timelineSpans } from '../../../postgres/timeline-path.ts'
import { formatSegmentName, segmentOfLsn, type TimelineId } from '../../../postgres/wal-segment.ts'
import { walFileOfName } from '../../../repository/backup-name.ts'
import { readFilesMetadata, readSentinel } from '../../../repository/catalog.ts'
import { type ArchivedWal, historyOf, type WalChain } from '../../../repository/recovery/archived-wal.ts'
import { readSegmentHeader } from '../../../repository/recovery/recovery-points.ts'
import type { OperationContext } from '../../context.ts'
import type { Candidate } from './candidates.ts'

/** `latest` and `current` as PostgreSQL means them, or a timeline. */
export type TimelineChoice = 'latest' | 'current' | TimelineId

/** The WAL that follows a backup on the way to its timeline. */
export interface BackupWal {
  readonly candidate: Candidate
  readonly timeline: TimelineId
  readonly spans: readonly TimelineSpan[]
  readonly segmentBytes: number
  readonly chain: WalChain
}

/** Why a backup cannot be used. */
export interface Unfit {
  readonly candidate: Candidate
  readonly reason: string
  /** It would do for the target, were everything there that it needs. */
  readonly isBroken?: true
}

export interface WalRequest {
  readonly archive: ArchivedWal
  readonly choice: TimelineChoice
  /** WALG_PG_WAL_SIZE, for a backup whose first segment is not there to ask. */
  readonly segmentBytes: number
}

/**
 * Follows the archive from the start of a backup. Unfit: the backup is not on the way to the timeline, or the WAL that
 * makes it consistent is not there.
 */
export async function followBackup(
  context: OperationContext,
  candidate: Candidate,
  request: WalRequest,
): Promise<BackupWal | Unfit> {
  const { archive, choice } = request
  const timeline = timelineFor(candidate, archive, choice)
  const history = await readHistory(context, candidate, timeline)
  const spans = timelineSpans(history)
  if (!isOnPath(spans, candidate.timeline, candidate.finishLsn)) {
    return { candidate, reason: `it lies on timeline ${candidate.timeline}, off the way to ${timeline}` }
  }
  const segmentBytes = await segmentBytesOf(context, candidate, request)
  const first = segmentOfLsn(candidate.timeline, candidate.startLsn, segmentBytes).number
  const lastNeeded = segmentOfLsn(candidate.timeline, beforeEnd(candidate.finishLsn), segmentBytes).number
  const chain = archive.chain(spans, first, segmentBytes)
  if (first + BigInt(chain.segments.length) > lastNeeded) {
    return { candidate, timeline, spans, segmentBytes, chain }
  }
  const last = formatSegmentName({ timeline: candidate.timeline, number: lastNeeded }, segmentBytes)
  if (await carries(context, candidate, last)) {
    const behind = archive.chain(spans, lastNeeded, segmentBytes)
    return { candidate, timeline, spans, segmentBytes, chain: behind }
  }
  return {
    candidate,
    reason: `WAL segment ${chain.missing} ${chain.isEmpty ? 'is an empty object' : 'is not'} in the archive; up to ${last} the backup cannot do without`,
    isBroken: true,
  }
}

/** A backup of a server that was shut down brings its WAL along. */
async function carries(context: OperationContext, { entry }: Candidate, segment: string): Promise<boolean> {
  const document = await readSentinel(context.storage, entry.name, context)
  const files = await readFilesMetadata(context.storage, entry.name, document, context)
  return files !== null && files.find(`/pg_wal/${segment}`) >= 0
}

export function isUnfit(wal: BackupWal | Unfit): wal is Unfit {
  return 'reason' in wal
}

function timelineFor({ timeline }: Candidate, archive: ArchivedWal, choice: TimelineChoice): TimelineId {
  if (choice === 'current') return timeline
  return choice === 'latest' ? archive.latestTimelineFrom(timeline) : choice
}

function readHistory(
  context: OperationContext,
  candidate: Candidate,
  timeline: TimelineId,
): Promise<TimelineHistory> {
  const isWithoutParents = candidate.timeline === timeline
  return historyOf(context.storage, context.codec, timeline, { ...context, isWithoutParents })
}

/** The first segment says how large it is, whatever the setting; and whose it is. */
async function segmentBytesOf(
  context: OperationContext,
  { entry, sentinel }: Candidate,
  { archive, segmentBytes }: WalRequest,
): Promise<number> {
  const name = walFileOfName(entry.name)
  const stored = archive.find(name)
  if (stored === undefined) return segmentBytes
  const header = await readSegmentHeader(context.storage, context.codec, { name, ...stored }, context)
  const owner = sentinel.systemIdentifier
  if (owner !== null && header.systemIdentifier !== owner) {
    throw new WalgError(
      'WAL_INVALID',
      `WAL segment ${name} belongs to cluster ${header.systemIdentifier}, backup ${entry.name} to ${owner}`,
      { facts: { name, backup: entry.name }, hint: 'two clusters have archived into one repository' },
    )
  }
  return header.segmentBytes
}

function beforeEnd(lsn: Lsn): Lsn {
  return (lsn > 0n ? lsn - 1n : lsn) as Lsn
}

/** Throws WAL_NOT_FOUND when segments are there behind a missing one, WAL_INVALID when that is there and empty: recovery would end, or stop, in the middle. */
export function refuseHole(wal: BackupWal, lastReached: string): void {
  const { chain } = wal
  if (chain.isEmpty) {
    throw new WalgError(
      'WAL_INVALID',
      `WAL segment ${chain.missing} is an empty object in the archive: recovery could not get past it`,
      {
        facts: { segment: chain.missing },
        hint: `push it again from a server that still has it, or delete the object if that is where WAL is to end; what can be reached without: ${lastReached}`,
      },
    )
  }
  if (chain.behindHole === undefined) return
  throw new WalgError(
    'WAL_NOT_FOUND',
    `WAL segment ${chain.missing} is not in the archive, but ${chain.behindHole} is: recovery could not get past it`,
    {
      facts: { missing: chain.missing, later: chain.behindHole },
      hint: `bring it back from a copy of the archive or a server that still has it; what can be reached without: ${lastReached}`,
    },
  )
}

/** `0/5000000`, the end of what the chain holds by its names. */
export function endOfChain({ chain, segmentBytes }: BackupWal): Lsn {
  const last = chain.segments.at(-1)
  return (last === undefined ? 0n : (last.number + 1n) * BigInt(segmentBytes)) as Lsn
}

/** For messages. */
export function describeEnd(wal: BackupWal): string {
  return `segment ${wal.chain.segments.at(-1)?.name ?? 'none'} (${formatLsn(endOfChain(wal))})`
}
