import fs from 'node:fs'
import path from 'node:path'
import { errnoOf, fromSystemError, WalgError } from '../../kit/errors.ts'
import { readControlFile } from '../../postgres/control-file.ts'
import { formatLsn, type Lsn } from '../../postgres/lsn.ts'
import { parseTimelineHistory } from '../../postgres/timeline-history.ts'
import { lastCommonLsn, timelineSpans } from '../../postgres/timeline-path.ts'
import {
  formatHistoryName,
  isSegmentName,
  parseSegmentName,
  segmentOfLsn,
  type TimelineId,
} from '../../postgres/wal-segment.ts'
import { historyOf } from '../../repository/recovery/archived-wal.ts'
import type { OperationContext } from '../context.ts'
import { fetchBackToCheckpoint } from './last-checkpoint.ts'
import {
  type FetchWal,
  MissingWalFetcher,
  missingSegments,
  type Side,
  segmentOf,
  type WalRestoreResult,
} from './missing-wal.ts'

export interface WalRestoreOptions {
  /** The cluster that pg_rewind will rewind. */
  readonly targetDirectory: string
  /** The cluster that it will be made equal to. */
  readonly sourceDirectory: string
}

/**
 * Fetches into pg_wal what pg_rewind will need: WAL of the source from where two clusters parted, which a rewound server
 * replays, and of the target, which pg_rewind itself reads; and of both what lies between the last checkpoint before
 * that and the parting, because pg_rewind looks for that checkpoint, and the rewound server begins there. What is there is left alone.
 * Throws CLUSTER_STATE when they have not parted, and WAL_NOT_FOUND, INTEGRITY … when something could not be
 * fetched, after everything else was.
 */
export async function walRestore(
  context: OperationContext,
  options: WalRestoreOptions,
  fetchWal: FetchWal,
): Promise<WalRestoreResult> {
  const target = await readSide(context, options.targetDirectory)
  const source = await readSide(context, options.sourceDirectory)
  const divergence = findDivergence(target, source)
  context.log.debug(`target and source parted at ${formatLsn(divergence)}`)
  const fetcher = new MissingWalFetcher(context.log, fetchWal)
  await fetcher.fetchAll([
    ...missingSegments(source, segmentOf(source, divergence), newestSegment(source)),
    ...missingSegments(target, segmentOf(target, divergence), newestSegment(target)),
  ])
  if (fetcher.failures.length === 0) {
    const checkpoint = await fetchBackToCheckpoint(context, target, divergence, fetcher)
    if (checkpoint !== undefined) {
      const first = segmentOf(source, checkpoint.redoLsn)
      await fetcher.fetchAll(missingSegments(source, first, segmentOf(source, divergence) - 1n))
    }
  }
  return fetcher.result()
}

async function readSide(context: OperationContext, directory: string): Promise<Side> {
  const control = await readControlFile(directory)
  const walDirectory = path.join(directory, 'pg_wal')
  let names: string[]
  try {
    names = fs.readdirSync(walDirectory)
  } catch (error) {
    throw fromSystemError(error, 'read', walDirectory)
  }
  const spans = timelineSpans(await readHistory(context, walDirectory, control.timeline))
  return { walDirectory, control, spans, local: new Set(names.filter(isSegmentName)) }
}

/** The local history, as the original has it; of the archive when it is not there. */
async function readHistory(context: OperationContext, walDirectory: string, timeline: TimelineId) {
  const file = path.join(walDirectory, formatHistoryName(timeline))
  try {
    return parseTimelineHistory(fs.readFileSync(file, 'utf8'), timeline)
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT')
      throw error instanceof WalgError ? error : fromSystemError(error, 'read', file)
    return historyOf(context.storage, context.codec, timeline, context)
  }
}

function findDivergence(target: Side, source: Side): Lsn {
  if (target.control.systemIdentifier !== source.control.systemIdentifier) {
    throw new WalgError('CLUSTER_STATE', 'System identifiers of target and source clusters are not equal', {
      hint: 'pg_rewind works between a cluster and its own copy only',
    })
  }
  if (target.control.timeline === source.control.timeline) {
    throw new WalgError(
      'CLUSTER_STATE',
      'Latest checkpoint timelines of target and source clusters are equal',
      {
        hint: 'there is nothing to rewind. A server that was just promoted has to finish a CHECKPOINT first',
      },
    )
  }
  const common = lastCommonLsn(target.spans, source.spans)
  if (common !== undefined && common !== null) return common
  throw new WalgError('CLUSTER_STATE', 'the histories of target and source clusters have nothing in common')
}

/** The newest segment that the cluster has. */
function newestSegment({ control, local }: Side): bigint {
  const { walSegmentBytes, timeline, checkpointLsn } = control
  let newest = segmentOfLsn(timeline, checkpointLsn, walSegmentBytes).number
  for (const name of [...local].sort()) {
    const segment = parseSegmentName(name, walSegmentBytes)
    // files further ahead may be recycled ones, which were never written
    if (segment.timeline === timeline && segment.number === newest + 1n) newest = segment.number
  }
  return newest
}
