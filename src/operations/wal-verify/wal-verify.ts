import { hasCode, WalgError } from '../../kit/errors.ts'
import type { Lsn } from '../../postgres/lsn.ts'
import type { TimelineHistory } from '../../postgres/timeline-history.ts'
import {
  formatSegmentName,
  isSegmentName,
  parseSegmentName,
  segmentOfLsn,
  type TimelineId,
  toTimelineId,
  type WalSegment,
} from '../../postgres/wal-segment.ts'
import { walFileOfName } from '../../repository/backup-name.ts'
import { readArchivedHistory } from '../../repository/recovery/archived-history.ts'
import { SegmentSet } from '../../repository/segment-set.ts'
import { listWal } from '../../repository/wal-catalog.ts'
import type { OperationContext } from '../context.ts'
import { type CheckStatus, type SegmentStatus, scanIntegrity } from './integrity.ts'

export type WalCheck = 'integrity' | 'timeline'

export interface WalVerifyOptions {
  readonly checks: readonly WalCheck[]
  /** Where PostgreSQL writes now. */
  readonly lsn: Lsn
  readonly timeline: TimelineId
  readonly segmentBytes: number
  /** Null: the oldest backup that is not permanent and lies on the history of the timeline. */
  readonly backupName: string | null
  readonly backups: readonly { readonly name: string; readonly isPermanent: boolean }[]
  /** WALG_INTEGRITY_MAX_DELAYED_WALS and WALG_UPLOAD_CONCURRENCY. */
  readonly delayedMax: number
  readonly uploadingMax: number
}

export interface IntegrityResult {
  readonly status: CheckStatus
  /** Null: nothing had to be looked at. */
  readonly runs:
    | readonly {
        readonly timeline: TimelineId
        readonly startSegment: string
        readonly endSegment: string
        readonly segmentsCount: number
        readonly status: SegmentStatus
      }[]
    | null
}

export interface TimelineResult {
  readonly status: CheckStatus
  readonly current: TimelineId
  /** 0: no WAL in the storage. */
  readonly highest: number
}

export interface WalVerifyResult {
  readonly integrity?: IntegrityResult
  readonly timeline?: TimelineResult
}

type VerifyContext = Pick<OperationContext, 'storage' | 'codec' | 'log' | 'signal'>

/** Checks the archive by its names. Throws BACKUP_NOT_FOUND for a backup that was named and cannot be used. */
export async function walVerify(context: VerifyContext, options: WalVerifyOptions): Promise<WalVerifyResult> {
  const { log } = context
  const archive = await readArchive(context, options.segmentBytes)
  let integrity: IntegrityResult | undefined
  let timeline: TimelineResult | undefined
  for (const check of options.checks) {
    log.info(`Building check runner: ${check}`)
    if (check === 'integrity') integrity = await verifyIntegrity(context, archive.segments, options)
    else timeline = verifyTimeline(context, archive, options)
  }
  return {
    ...(integrity === undefined ? {} : { integrity }),
    ...(timeline === undefined ? {} : { timeline }),
  }
}

/** What the names below `wal_005/` say. */
interface ArchiveNames {
  readonly segments: SegmentSet
  /** 0: no WAL in the storage. */
  readonly highestTimeline: number
  /** Objects of no timeline, by key. */
  readonly others: readonly string[]
}

async function readArchive(context: VerifyContext, segmentBytes: number): Promise<ArchiveNames> {
  const segments = new SegmentSet()
  const others: string[] = []
  let highestTimeline = 0
  for await (const { kind, file, key } of listWal(context.storage, context)) {
    if (kind === 'segment') {
      highestTimeline = Math.max(highestTimeline, Number.parseInt(file.slice(0, 8), 16))
      const segment = segmentOfName(file, segmentBytes)
      if (segment !== undefined) segments.add(segment.timeline, segment.number)
    } else if (kind === 'history') {
      highestTimeline = Math.max(highestTimeline, toTimelineId(Number.parseInt(file.slice(0, 8), 16)))
    } else if (!(kind === 'metadata' && isSegmentName(file))) others.push(key)
  }
  return { segments, highestTimeline, others: others.sort() }
}

/** Undefined for a name that no segment of this size has: then it is not one that is looked for. */
function segmentOfName(file: string, segmentBytes: number): WalSegment | undefined {
  try {
    return parseSegmentName(file, segmentBytes)
  } catch (error) {
    if (!hasCode(error, 'FORMAT_INVALID')) throw error
    return undefined
  }
}

async function verifyIntegrity(
  context: VerifyContext,
  segments: SegmentSet,
  options: WalVerifyOptions,
): Promise<IntegrityResult> {
  const { segmentBytes, timeline, lsn } = options
  const history = await readArchivedHistory(context.storage, context.codec, timeline, context)
  const stop = findStop(context, history, options)
  context.log.info('Running the check: integrity')
  const nameOf = (on: TimelineId, number: bigint): string =>
    formatSegmentName({ timeline: on, number }, segmentBytes)
  const { status, runs } = scanIntegrity({
    current: segmentOfLsn(timeline, (lsn > 0n ? lsn - 1n : lsn) as Lsn, segmentBytes),
    stopNumber: stop ?? 1n,
    isLenient: stop === null,
    history,
    segmentBytes,
    delayedMax: options.delayedMax,
    uploadingMax: options.uploadingMax,
    has: (on, number) => segments.has(on, number),
  })
  const shown = runs.map(run => ({
    timeline: run.timeline,
    startSegment: nameOf(run.timeline, run.first),
    endSegment: nameOf(run.timeline, run.last),
    segmentsCount: Number(run.last - run.first) + 1,
    status: run.status,
  }))
  return { status, runs: shown.length === 0 ? null : shown }
}

/** The first segment of the backup from which on WAL must be there; null when there is none. */
function findStop(
  { log }: VerifyContext,
  history: TimelineHistory | null,
  { backups, backupName, segmentBytes, timeline }: WalVerifyOptions,
): bigint | null {
  const candidates = backups.flatMap(backup => {
    const file = walFileOfName(backup.name)
    return isSegmentName(file) ? [{ ...backup, segment: parseSegmentName(file, segmentBytes) }] : []
  })
  const isCorrect = ({ segment }: (typeof candidates)[number]): boolean =>
    history === null || isOnHistory(history, timeline, segment.timeline, segment.number, segmentBytes)
  if (backupName !== null) {
    const named = candidates.find(({ name }) => name === backupName)
    const problem =
      named === undefined ? 'was not found' : isCorrect(named) ? undefined : 'is not on the current timeline'
    if (named === undefined || problem !== undefined) {
      throw new WalgError(
        'BACKUP_NOT_FOUND',
        `Failed to build check runner integrity: Failed to find specified backup start segment: Backup with specified name "${backupName}" ${problem}`,
        { facts: { backup: backupName }, hint: 'backup-list shows the names of all backups' },
      )
    }
    log.info(`Detected correct backup with specified name: ${named.name}`)
    return named.segment.number
  }
  const earliest = candidates
    .filter(candidate => !candidate.isPermanent && isCorrect(candidate))
    .reduce<(typeof candidates)[number] | null>(
      (best, each) => (best === null || each.segment.number < best.segment.number ? each : best),
      null,
    )
  if (earliest !== null) {
    log.info(`Detected earliest available backup: ${earliest.name}`)
    return earliest.segment.number
  }
  log.warning(
    "Failed to detect earliest backup WAL segment no: 'No backups found',will scan until the 0000000X0000000000000001 segment.",
  )
  return null
}

/** True for a segment on the timeline itself, or on an ancestor before the switch away from it. */
function isOnHistory(
  history: TimelineHistory,
  current: TimelineId,
  timeline: TimelineId,
  number: bigint,
  segmentBytes: number,
): boolean {
  if (timeline === current) return true
  const left = history.switches.find(({ parent }) => parent === timeline)
  return left !== undefined && number <= segmentOfLsn(timeline, left.switchLsn, segmentBytes).number
}

function verifyTimeline(
  { log }: VerifyContext,
  { highestTimeline: highest, others }: ArchiveNames,
  { timeline }: WalVerifyOptions,
): TimelineResult {
  log.info('Running the check: timeline')
  for (const key of others) {
    log.warning(`Could not parse the timeline Id from ${key.slice(key.indexOf('/') + 1)}. Skipping...`)
  }
  const status = highest === timeline ? 'OK' : highest === 0 ? 'WARNING' : 'FAILURE'
  return { status, current: timeline, highest }
}
