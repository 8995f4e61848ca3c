import fs from 'node:fs'
import path from 'node:path'
import { errnoOf, fromSystemError, WalgError } from '../../kit/errors.ts'
import { type ControlFile, readControlFile } from '../../postgres/control-file.ts'
import { formatLsn, type Lsn } from '../../postgres/lsn.ts'
import { parseTimelineHistory } from '../../postgres/timeline-history.ts'
import {
  lastCommonLsn,
  type TimelineSpan,
  timelineSpans,
  timelinesOfSegment,
} from '../../postgres/timeline-path.ts'
import {
  formatSegmentName,
  isSegmentName,
  parseSegmentName,
  segmentOfLsn,
  type TimelineId,
} from '../../postgres/wal-segment.ts'
import { historyOf } from '../../repository/recovery/archived-wal.ts'
import type { OperationContext } from '../context.ts'

export interface WalRestoreOptions {
  /** The cluster that pg_rewind will rewind. */
  readonly targetDirectory: string
  /** The cluster that it will be made equal to. */
  readonly sourceDirectory: string
}

/** Brings one archived file to a path, whole and checked: `wal-fetch`, handed in by `cli/`. */
export type FetchWal = (name: string, destination: string) => Promise<void>

export interface WalRestoreResult {
  readonly restored: readonly string[]
}

interface Side {
  readonly walDirectory: string
  readonly control: ControlFile
  readonly spans: readonly TimelineSpan[]
  readonly local: ReadonlySet<string>
}

/** A segment that is not where pg_rewind, or the server after it, will look for it. */
interface Missing {
  /** Names it can have, the newest timeline first. */
  readonly names: readonly string[]
  readonly walDirectory: string
}

/**
 * Fetches into pg_wal what pg_rewind will need: WAL from where two clusters parted, of the source, which a rewound
 * server replays, and of the target, which pg_rewind itself reads. Throws CLUSTER_STATE when they have not parted, and
 * WAL_NOT_FOUND, INTEGRITY … when something could not be fetched, after everything else was.
 */
export async function walRestore(
  context: OperationContext,
  options: WalRestoreOptions,
  fetchWal: FetchWal,
): Promise<WalRestoreResult> {
  const target = await readSide(context, options.targetDirectory)
  const source = await readSide(context, options.sourceDirectory)
  const divergence = findDivergence(target, source)
  const missing = [...missingSegments(source, divergence), ...missingSegments(target, divergence)]
  const { log } = context
  if (missing.length === 0) {
    log.info('No WAL files to restore')
    return { restored: [] }
  }
  log.debug(`target and source parted at ${formatLsn(divergence)}`)
  log.info(`WAL files to restore: [${missing.map(({ names }) => names[0]).join(' ')}]`)
  const restored: string[] = []
  const failures: unknown[] = []
  for (const segment of missing) {
    try {
      restored.push(await fetchOne(segment, fetchWal))
      log.info(`Successfully download WAL file ${restored.at(-1)}`)
    } catch (error) {
      if (!(error instanceof WalgError) || error.code === 'CANCELLED') throw error
      log.error(`Failed to download WAL file ${segment.names[0]}: ${error.message}`)
      failures.push(error)
    }
  }
  if (failures.length === 0) return { restored }
  throw new WalgError(
    'WAL_NOT_FOUND',
    `${failures.length} of ${missing.length} WAL files could not be restored`,
    { cause: failures[0], hint: 'pg_rewind would fail: take a new backup, or clone the cluster, instead' },
  )
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
  const file = path.join(walDirectory, `${timeline.toString(16).toUpperCase().padStart(8, '0')}.history`)
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

/** From where they parted up to the newest segment that the cluster has. */
function missingSegments({ control, spans, local, walDirectory }: Side, divergence: Lsn): Missing[] {
  const { walSegmentBytes, timeline, checkpointLsn } = control
  const first = segmentOfLsn(timeline, divergence, walSegmentBytes).number
  let newest = segmentOfLsn(timeline, checkpointLsn, walSegmentBytes).number
  for (const name of [...local].sort()) {
    const segment = parseSegmentName(name, walSegmentBytes)
    // files further ahead may be recycled ones, which were never written
    if (segment.timeline === timeline && segment.number === newest + 1n) newest = segment.number
  }
  const missing: Missing[] = []
  for (let number = newest; number >= first; number -= 1n) {
    const names = timelinesOfSegment(spans, number, walSegmentBytes).map(each =>
      formatSegmentName({ timeline: each, number }, walSegmentBytes),
    )
    if (!names.some(name => local.has(name))) missing.push({ names, walDirectory })
  }
  return missing
}

/** In the segment of a switch the parent's file does where the child's was never archived. */
async function fetchOne({ names, walDirectory }: Missing, fetchWal: FetchWal): Promise<string> {
  let failure: unknown
  for (const name of names) {
    try {
      await fetchWal(name, path.join(walDirectory, name))
      return name
    } catch (error) {
      if (!(error instanceof WalgError) || error.code !== 'WAL_NOT_FOUND') throw error
      failure ??= error
    }
  }
  throw failure
}
