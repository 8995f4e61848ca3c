import { hasCode, WalgError } from '../../../kit/errors.ts'
import { nowNs } from '../../../kit/timestamp.ts'
import { formatLsn, type Lsn } from '../../../postgres/lsn.ts'
import { describeTarget, formatTimeTarget, type RecoveryTarget } from '../../../postgres/recovery-target.ts'
import type { TimelineId } from '../../../postgres/wal-segment.ts'
import { ArchivedWal } from '../../../repository/recovery/archived-wal.ts'
import type { OperationContext } from '../../context.ts'
import {
  type BackupWal,
  describeEnd,
  endOfChain,
  followBackup,
  isUnfit,
  refuseHole,
  type TimelineChoice,
  type Unfit,
} from './backup-wal.ts'
import { type Candidate, readCandidates } from './candidates.ts'
import {
  type FoundStop,
  findLsn,
  findNamed,
  findTime,
  noSightings,
  type Sightings,
  targetMissing,
} from './find-target.ts'
import { findOtherWay, refuseOtherBranch } from './other-branches.ts'

export interface PlanRequest {
  readonly target: RecoveryTarget
  readonly timeline: TimelineChoice
  /** False: nobody has chosen it. */
  readonly isTimelineGiven: boolean
  /** Only this backup; null: the newest that will do. */
  readonly backupName: string | null
  /** WALG_PG_WAL_SIZE in bytes. */
  readonly segmentBytes: number
}

/** A restore that was proved possible: backup and WAL up to the target are there. */
export interface RestorePlan {
  readonly candidate: Candidate
  readonly target: RecoveryTarget
  readonly timeline: TimelineId
  readonly segmentBytes: number
  readonly firstSegment: string
  readonly lastSegment: string
  readonly segmentsCount: number
  /** When the last of them was archived, by the clock of the storage. */
  readonly lastArchivedNs: bigint | undefined
  /** Where recovery stops; undefined for the end of the archive and of the backup. */
  readonly stop: FoundStop | undefined
}

/** What a backup has to offer for the target. */
type Attempt = { readonly plan: RestorePlan } | Unfit

/**
 * Chooses the newest backup that ends before the target on the way to the timeline, and proves that the WAL from it to
 * the target is in the archive. Changes nothing anywhere. Throws BACKUP_NOT_FOUND, WAL_NOT_FOUND, WAL_INVALID, USAGE,
 * each with the nearest possible choice.
 */
export async function planRestore(context: OperationContext, request: PlanRequest): Promise<RestorePlan> {
  const { target } = request
  refuseFuture(target)
  const all = await readCandidates(context)
  const candidates = narrow(all, request.backupName)
  const archive = await ArchivedWal.read(context.storage, context)
  checkTimeline(request.timeline, archive, candidates)
  if (request.timeline === 'latest') checkHistories(context, archive, candidates[0]!)
  const seen = noSightings()
  const unfit: Unfit[] = []
  let newer: Candidate | undefined
  for (const candidate of candidates) {
    const early = tooEarly(candidate, target)
    if (early !== undefined) {
      unfit.push({ candidate, reason: early })
      continue
    }
    const wal = await followBackup(context, candidate, { ...request, archive, choice: request.timeline })
    const attempt = isUnfit(wal) ? wal : await reach(context, wal, { request, archive, newer, seen })
    if ('plan' in attempt) {
      sayUnfit(context, unfit, candidate)
      return attempt.plan
    }
    unfit.push(attempt)
    if (!isUnfit(wal)) newer = candidate
  }
  throw nothingFits(request, candidates, unfit, seen, archive)
}

/** PostgreSQL looks for one history after the other: at one that is lost it takes an older timeline for the newest. */
function checkHistories({ log }: OperationContext, archive: ArchivedWal, newest: Candidate): void {
  const latest = archive.latestTimelineFrom(newest.timeline)
  const lost = archive.lostHistory(latest)
  if (lost === undefined) return
  const how = 'push it from pg_wal of a server that has been on that timeline, or name a timeline: --timeline'
  if (lost.isEmpty) {
    throw new WalgError(
      'WAL_INVALID',
      `"${lost.name}" is an empty object in the archive: which timeline is the newest cannot be told`,
      {
        facts: { file: lost.name },
        hint: how,
      },
    )
  }
  log.warning(
    `timeline ${latest} is taken for the newest, but the archive has WAL of ${lost.further.join(', ')} as well, and not "${lost.name}": ${how}`,
  )
}

/** An older backup takes longer, or does not reach as far: that a newer one is of no use must not go unnoticed. */
function sayUnfit({ log }: OperationContext, unfit: readonly Unfit[], taken: Candidate): void {
  for (const { candidate, reason, isBroken } of unfit) {
    const { name } = candidate.entry
    if (isBroken)
      log.warning(`backup ${name} cannot be used: ${reason}; ${taken.entry.name} is taken instead`)
    else log.debug(`backup ${name} is not taken: ${reason}`)
  }
}

function refuseFuture(target: RecoveryTarget): void {
  if (target.kind !== 'time') return
  const now = nowNs() / 1000n
  if (target.timeUs <= now) return
  throw new WalgError('USAGE', `${describeTarget(target)} lies in the future`, {
    hint: `it is ${formatTimeTarget(now)} now: --latest goes as far as there is WAL`,
  })
}

function narrow(all: readonly Candidate[], backupName: string | null): readonly Candidate[] {
  const candidates = backupName === null ? all : all.filter(({ entry }) => entry.name === backupName)
  if (candidates.length > 0) return candidates
  if (backupName === null) throw new WalgError('BACKUP_NOT_FOUND', 'No backups found')
  throw new WalgError('BACKUP_NOT_FOUND', `Backup '${backupName}' does not exist.`, {
    facts: { backup: backupName },
    hint: all[0] === undefined ? 'there is none at all' : `the newest is ${all[0].entry.name}`,
  })
}

function checkTimeline(choice: TimelineChoice, archive: ArchivedWal, candidates: readonly Candidate[]): void {
  if (typeof choice === 'string') return
  const known = [...new Set([...archive.timelines, ...candidates.map(({ timeline }) => timeline)])]
  if (known.includes(choice)) return
  throw new WalgError('WAL_NOT_FOUND', `there is nothing of timeline ${choice} in the archive`, {
    facts: { timeline: choice },
    hint: `timelines that are there: ${known.sort((left, right) => left - right).join(', ') || 'none'}`,
  })
}

/** Why the backup ends behind the target; undefined when it does not, or when that shows in the WAL only. */
function tooEarly(candidate: Candidate, target: RecoveryTarget): string | undefined {
  const { finishedNs, finishLsn } = candidate
  if (target.kind === 'time' && finishedNs / 1000n > target.timeUs) {
    return `it ended at ${formatTimeTarget(finishedNs / 1000n)}`
  }
  if (target.kind === 'lsn' && finishLsn > target.lsn) return `it ended at LSN ${formatLsn(finishLsn)}`
  return undefined
}

interface Search {
  readonly request: PlanRequest
  readonly archive: ArchivedWal
  /** The backup in front of which everything has been looked through. */
  readonly newer: Candidate | undefined
  readonly seen: Sightings
}

/** Tries to get from a backup to the target. */
async function reach(context: OperationContext, wal: BackupWal, search: Search): Promise<Attempt> {
  const { candidate } = wal
  const { request, newer, seen } = search
  const { target } = request
  if (target.kind === 'immediate') return { plan: planOf(wal, target, undefined) }
  if (target.kind === 'latest') {
    refuseHole(wal, `--to-lsn ${formatLsn(await lastRecord(context, wal))}`)
    return { plan: planOf(wal, target, undefined) }
  }
  if (wal.chain.segments.length === 0) {
    return { candidate, reason: 'no WAL behind it is archived: only --immediate and --latest lead to it' }
  }
  if (target.kind === 'lsn') return reachLsn(context, wal, target)
  let stop: FoundStop | undefined
  if (target.kind === 'time') {
    const passed = noSightings()
    stop = await findTime(context, wal, target.timeUs, passed)
    const { lastEnd } = passed
    const { archive } = search
    if (!request.isTimelineGiven) await refuseOtherBranch(context, wal, target, { archive, stop, lastEnd })
    if (stop === undefined) {
      const other = await findOtherWay(context, wal, archive, target.timeUs)
      throw await pastEnd(context, wal, target, passed, other)
    }
  } else {
    context.log.info(`Looking for ${describeTarget(target)} in the WAL behind ${candidate.entry.name}`)
    stop = await findNamed(context, wal, target, newer?.finishLsn ?? null, seen)
    if (stop === undefined) return { candidate, reason: `${describeTarget(target)} does not follow on it` }
  }
  // recovery would stop before it is consistent
  if (stop.lsn < candidate.finishLsn) {
    return { candidate, reason: `${describeTarget(target)} lies within it, at LSN ${formatLsn(stop.lsn)}` }
  }
  return { plan: planOf(wal, target, stop) }
}

async function reachLsn(
  context: OperationContext,
  wal: BackupWal,
  target: Extract<RecoveryTarget, { kind: 'lsn' }>,
): Promise<Attempt> {
  const { stop, endLsn } = await findLsn(context, wal, target.lsn)
  if (stop !== undefined) return { plan: planOf(wal, target, stop) }
  const reached = endLsn ?? (await lastRecord(context, wal))
  refuseHole(wal, `--to-lsn ${formatLsn(reached)}`)
  throw new WalgError(
    'WAL_NOT_FOUND',
    `${describeTarget(target)} is not archived yet: the archive ends with LSN ${formatLsn(reached)}`,
    {
      facts: { target: formatLsn(target.lsn), end: formatLsn(reached) },
      hint: `${describeEnd(wal)} is the last one; --latest takes everything. Is there WAL that was not pushed? wal-g wal-push PGDATA/pg_wal`,
    },
  )
}

/** No transaction ended after the moment: PostgreSQL would not know that it is there, and fail. */
async function pastEnd(
  context: OperationContext,
  wal: BackupWal,
  target: RecoveryTarget,
  { lastEnd }: Sightings,
  other: TimelineId | undefined,
): Promise<WalgError> {
  const last = lastEnd === undefined ? undefined : formatTimeTarget(lastEnd.timeUs)
  const reached =
    last === undefined ? `--to-lsn ${formatLsn(await lastRecord(context, wal))}` : `--to-time "${last}"`
  try {
    refuseHole(wal, reached)
  } catch (error) {
    if (!hasCode(error, 'WAL_NOT_FOUND')) throw error
    return error
  }
  const what = last === undefined ? 'no transaction ends' : `the last transaction ended at ${last}, none`
  return new WalgError(
    'WAL_NOT_FOUND',
    `${describeTarget(target)} is not in the archive: ${what} after it up to ${describeEnd(wal)}`,
    {
      facts: { target: describeTarget(target) },
      hint:
        other === undefined
          ? `--latest takes everything that is there. Is there WAL that was not pushed? wal-g wal-push PGDATA/pg_wal`
          : `--timeline ${other} leads to it: there is a later transaction there`,
    },
  )
}

/** The end of the last whole record. */
async function lastRecord(context: OperationContext, wal: BackupWal): Promise<Lsn> {
  const { endLsn } = await findLsn(context, wal, endOfChain(wal))
  return endLsn ?? endOfChain(wal)
}

function planOf(wal: BackupWal, target: RecoveryTarget, stop: FoundStop | undefined): RestorePlan {
  const { candidate, chain, timeline, segmentBytes } = wal
  const stopAt = stop === undefined ? -1 : chain.segments.findIndex(({ name }) => name === stop.segment)
  const segments = stopAt < 0 ? chain.segments : chain.segments.slice(0, stopAt + 1)
  return {
    candidate,
    target,
    timeline,
    segmentBytes,
    firstSegment: segments[0]?.name ?? '',
    lastSegment: segments.at(-1)?.name ?? '',
    segmentsCount: segments.length,
    lastArchivedNs: segments.at(-1)?.modifiedNs,
    stop,
  }
}

function nothingFits(
  { target, backupName }: PlanRequest,
  candidates: readonly Candidate[],
  unfit: readonly Unfit[],
  seen: Sightings,
  archive: ArchivedWal,
): WalgError {
  const oldest = candidates.at(-1)!
  const isBeforeAll = unfit.every(({ candidate }) => tooEarly(candidate, target) !== undefined)
  if (isBeforeAll) {
    const nearest =
      target.kind === 'lsn'
        ? `--to-lsn ${formatLsn(oldest.finishLsn)}`
        : `--to-time "${formatTimeTarget(oldest.finishedNs / 1000n + 1n)}"`
    if (backupName !== null) {
      return new WalgError('BACKUP_NOT_FOUND', `backup ${backupName} ended after ${describeTarget(target)}`, {
        facts: { target: describeTarget(target), backup: backupName },
        hint: `${nearest} is the earliest that it reaches; without --backup the newest that will do is taken`,
      })
    }
    return new WalgError('BACKUP_NOT_FOUND', `no backup had ended before ${describeTarget(target)}`, {
      facts: { target: describeTarget(target) },
      hint: `the oldest one is ${oldest.entry.name}: ${nearest} is the earliest that can be reached`,
    })
  }
  const reasons = unfit.map(({ candidate, reason }) => `${candidate.entry.name}: ${reason}`)
  if (target.kind === 'name' || target.kind === 'xid') {
    const others = archive.timelines.length > 1 ? `; timelines: ${archive.timelines.join(', ')}` : ''
    const within = reasons.find(reason => reason.includes('lies within it'))
    const looked = within ?? `looked behind ${unfit.length} backups${others}`
    return targetMissing(target, seen, looked)
  }
  return new WalgError('BACKUP_NOT_FOUND', `no backup leads to ${describeTarget(target)}: ${reasons[0]}`, {
    facts: { target: describeTarget(target), backups: unfit.length },
    hint:
      reasons.length > 1
        ? `${reasons.slice(1, 3).join('; ')}. wal-show and wal-verify tell what is in the archive; --timeline chooses another branch`
        : 'wal-show and wal-verify tell what is in the archive; --timeline chooses another branch',
  })
}
