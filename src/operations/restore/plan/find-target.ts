import { WalgError } from '../../../kit/errors.ts'
import { formatLsn, type Lsn } from '../../../postgres/lsn.ts'
import { describeTarget, formatTimeTarget, type RecoveryTarget } from '../../../postgres/recovery-target.ts'
import type { EndOfTransaction, RecoveryPoint, RestorePoint } from '../../../postgres/wal/recovery-records.ts'
import { segmentOfLsn } from '../../../postgres/wal-segment.ts'
import type { ArchivedSegment } from '../../../repository/recovery/archived-wal.ts'
import { type PointsEnd, readRecoveryPoints } from '../../../repository/recovery/recovery-points.ts'
import type { OperationContext } from '../../context.ts'
import type { BackupWal } from './backup-wal.ts'

/** Where recovery from a backup will stop. */
export interface FoundStop {
  /** The record it stops at, before or after. */
  readonly lsn: Lsn
  /** When that record was written, by the server's clock; undefined where it has no time. */
  readonly timeUs: bigint | undefined
  /** The segment of that record. */
  readonly segment: string
}

/** What was met on the way, for the message when the target is not found. */
export interface Sightings {
  readonly restorePoints: RestorePoint[]
  /** Ends of transactions next to the one that was looked for. */
  below: EndOfTransaction | undefined
  above: EndOfTransaction | undefined
  lastEnd: EndOfTransaction | undefined
  /** The transaction whose part the one looked for was. */
  parent: EndOfTransaction | undefined
}

const RESTORE_POINTS_KEPT = 100

export function noSightings(): Sightings {
  return { restorePoints: [], below: undefined, above: undefined, lastEnd: undefined, parent: undefined }
}

/** Looks for a name or a transaction from the start of the backup up to, and with, the segment that holds `untilLsn`. */
export async function findNamed(
  context: OperationContext,
  wal: BackupWal,
  target: Extract<RecoveryTarget, { kind: 'name' | 'xid' }>,
  untilLsn: Lsn | null,
  seen: Sightings,
): Promise<FoundStop | undefined> {
  const { chain, segmentBytes, timeline } = wal
  const last = untilLsn === null ? null : segmentOfLsn(timeline, untilLsn, segmentBytes).number
  const segments = last === null ? chain.segments : chain.segments.filter(({ number }) => number <= last)
  let found: FoundStop | undefined
  await readPoints(context, wal, segments, (point, segment) => {
    if (!isTarget(point, target)) {
      note(point, target, seen)
      return false
    }
    found = stopAt(point, segment)
    return true
  })
  return found
}

function isTarget(point: RecoveryPoint, target: RecoveryTarget): boolean {
  if (target.kind === 'name') return point.kind === 'restore-point' && point.name === target.name
  return target.kind === 'xid' && point.kind !== 'restore-point' && point.xid === target.xid
}

function note(point: RecoveryPoint, target: RecoveryTarget, seen: Sightings): void {
  if (point.kind === 'restore-point') {
    seen.restorePoints.push(point)
    if (seen.restorePoints.length > RESTORE_POINTS_KEPT) seen.restorePoints.shift()
    return
  }
  if (target.kind !== 'xid') return
  if (point.subtransactions.includes(target.xid)) seen.parent = point
  // the numbers of transactions go round: nearness is a signed distance
  const distance = (point.xid - target.xid) | 0
  const isNearer = (other: EndOfTransaction | undefined): boolean =>
    other === undefined || Math.abs(distance) < Math.abs((other.xid - target.xid) | 0)
  if (distance < 0 && isNearer(seen.below)) seen.below = point
  if (distance > 0 && isNearer(seen.above)) seen.above = point
}

/** The first end of a transaction after a moment: recovery stops before it. */
export async function findTime(
  context: OperationContext,
  wal: BackupWal,
  timeUs: bigint,
  seen: Sightings,
): Promise<FoundStop | undefined> {
  const from = await firstSegmentAfter(context, wal, timeUs)
  let found: FoundStop | undefined
  await readPoints(context, wal, wal.chain.segments.slice(Math.max(0, from - 1)), (point, segment) => {
    if (point.kind === 'restore-point') return false
    if (point.timeUs > timeUs) found = stopAt(point, segment)
    else seen.lastEnd = point
    return found !== undefined
  })
  return found
}

/**
 * The first segment from which on every end of a transaction is later than the moment; by halves, for times grow
 * along the WAL. The times of the objects tell where to look first.
 */
async function firstSegmentAfter(context: OperationContext, wal: BackupWal, timeUs: bigint): Promise<number> {
  const { segments } = wal.chain
  let low = 0
  let high = segments.length
  const guess = segments.findIndex(({ modifiedNs }) => modifiedNs / 1000n > timeUs)
  const firstLooks = guess < 0 ? [segments.length - 1] : [guess, guess - 1, guess + 1]
  while (low < high) {
    const look = firstLooks.shift()
    const middle = look !== undefined && look >= low && look < high ? look : (low + high) >> 1
    const first = await firstEndFrom(context, wal, middle)
    if (first === undefined || first.point.timeUs > timeUs) high = middle
    else low = Math.max(middle + 1, first.at + 1)
  }
  return low
}

async function firstEndFrom(
  context: OperationContext,
  wal: BackupWal,
  from: number,
): Promise<{ readonly point: EndOfTransaction; readonly at: number } | undefined> {
  let first: { readonly point: EndOfTransaction; readonly at: number } | undefined
  await readPoints(context, wal, wal.chain.segments.slice(from), (point, segment) => {
    if (point.kind === 'restore-point') return false
    first = { point, at: from + Number(segment.number - wal.chain.segments[from]!.number) }
    return true
  })
  return first
}

/** A record that begins at the LSN or behind it. */
export async function findLsn(
  context: OperationContext,
  wal: BackupWal,
  lsn: Lsn,
): Promise<{ readonly stop: FoundStop | undefined; readonly endLsn: Lsn | undefined }> {
  const { chain, segmentBytes, timeline } = wal
  const { number } = segmentOfLsn(timeline, lsn, segmentBytes)
  const at = chain.segments.findIndex(segment => segment.number >= number)
  const from = at < 0 ? chain.segments.length - 1 : at
  let stopLsn: Lsn | undefined
  const end = await readRecoveryPoints(context.storage, context.codec, {
    ...requestOf(context, wal, chain.segments.slice(Math.max(0, from))),
    onRecord: startLsn => {
      if (startLsn >= lsn) stopLsn = startLsn
      return stopLsn !== undefined
    },
  })
  if (stopLsn === undefined) return { stop: undefined, endLsn: end.endLsn }
  const segment = chain.segments.find(each => each.number === stopLsn! / BigInt(segmentBytes))
  return {
    stop: { lsn: stopLsn, timeUs: undefined, segment: segment?.name ?? '' },
    endLsn: end.endLsn,
  }
}

function readPoints(
  context: OperationContext,
  wal: BackupWal,
  segments: readonly ArchivedSegment[],
  onPoint: (point: RecoveryPoint, segment: ArchivedSegment) => boolean,
): Promise<PointsEnd> {
  return readRecoveryPoints(context.storage, context.codec, {
    ...requestOf(context, wal, segments),
    onPoint,
  })
}

function requestOf(context: OperationContext, wal: BackupWal, segments: readonly ArchivedSegment[]) {
  return {
    segments,
    spans: wal.spans,
    segmentBytes: wal.segmentBytes,
    systemIdentifier: wal.candidate.sentinel.systemIdentifier,
    signal: context.signal,
  }
}

function stopAt(point: RecoveryPoint, segment: ArchivedSegment): FoundStop {
  return { lsn: point.startLsn, timeUs: point.timeUs, segment: segment.name }
}

/** The error for a target that the WAL does not have, with the nearest that it has. */
export function targetMissing(target: RecoveryTarget, seen: Sightings, looked: string): WalgError {
  return new WalgError('WAL_NOT_FOUND', `${describeTarget(target)} is not in the archived WAL (${looked})`, {
    facts: { target: describeTarget(target) },
    hint: nearest(target, seen),
  })
}

function nearest(target: RecoveryTarget, seen: Sightings): string {
  if (target.kind === 'name') {
    // each backup's WAL was looked through, the newest first
    const names = seen.restorePoints
      .toSorted((left, right) => (left.timeUs < right.timeUs ? -1 : 1))
      .slice(-5)
      .map(({ name, timeUs }) => `"${name}" (${formatTimeTarget(timeUs)})`)
    if (names.length === 0) return 'there is no restore point at all: take a time, --to-time'
    return `restore points that are there, newest last: ${names.join(', ')}`
  }
  if (seen.parent !== undefined) {
    return `it was a subtransaction: take --to-xid ${seen.parent.xid}, which ended at ${formatTimeTarget(seen.parent.timeUs)}`
  }
  const known = [seen.below, seen.above].filter(each => each !== undefined)
  if (known.length === 0) return 'no transaction ends there: take a time, --to-time'
  const texts = known.map(
    ({ xid, kind, timeUs, startLsn }) =>
      `--to-xid ${xid} (${kind} at ${formatTimeTarget(timeUs)}, LSN ${formatLsn(startLsn)})`,
  )
  return `the nearest that are there: ${texts.join(' and ')}`
}
