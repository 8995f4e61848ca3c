import type { ControlFile } from '../../../../postgres/control-file.ts'
import { formatLsn, type Lsn, toLsn } from '../../../../postgres/lsn.ts'
import {
  type Checkpoint,
  type CheckpointAt,
  isOtherCheckpoint,
  placeOfCheckpoint,
} from '../../../../postgres/wal/checkpoint-record.ts'
import {
  type EndingRecord,
  findRecordEnd,
  pagesBefore,
  type RecordEnd,
} from '../../../../postgres/wal/record-end.ts'
import type { WalPlace } from '../../../../postgres/wal/segment-piece.ts'
import { WAL_PREFIX } from '../../../../repository/layout.ts'
import { findPayload } from '../../../../repository/sealed.ts'
import type { OperationContext } from '../../../context.ts'
import type { BackupSource } from '../../source/backup-source.ts'
import type { CheckedDirectory } from '../../source/data-directory-check.ts'
import type { ParentBackup } from './choose-parent.ts'
import { finishOf } from './parent-guards.ts'
import { type FoundInWal, readWalPlace } from './parent-wal.ts'
import { findStopRecord } from './stop-record.ts'

/** What there is at the place in the cluster's WAL where the parent ended. */
export type ParentEnd = FoundInWal<RecordEnd>['found']
/** The same where its pg_control has the last checkpoint. */
export type ParentCheckpoint = FoundInWal<CheckpointAt>['found']

type Verdict = 'reached' | 'rolled back' | 'unknown'

/** What a parent's pg_control tells of its end. */
export type ParentControl = Pick<ControlFile, 'state' | 'checkpointLsn' | 'redoLsn' | 'checkpointTimeSeconds'>

/** What is known of a parent when its end is judged. */
export interface EndedParent {
  readonly startLsn: Lsn
  readonly finishLsn: Lsn
  /** What it was taken of. */
  readonly state: ControlFile['state']
}

/** Why a parent lies off the way that the cluster has taken, if it does, and whether it certainly does not. */
export interface RollbackFinding {
  readonly reason: string | undefined
  readonly isProved: boolean
}

/**
 * Whether the cluster has been where the parent ended. An older state of it may have been brought back without a new timeline, by a
 * snapshot of the machine, say: LSNs then pass the parent's end once more, with other WAL, and pages that had changed in the WAL
 * that was given up would stay as the parent has them.
 */
export function judgeParentEnd({ startLsn, finishLsn, state }: EndedParent, end: ParentEnd): Verdict {
  switch (end.kind) {
    case 'settled':
      return 'reached'
    case 'missing':
    case 'unreadable':
      return 'unknown'
    case 'between':
      return 'rolled back'
    case 'switched':
      // pg_backup_stop writes a record of its own before it
      return isStandby(state) ? 'reached' : 'rolled back'
    case 'record':
      return isOwnEnd({ startLsn, finishLsn, state }, end) ? 'reached' : 'rolled back'
  }
}

/** Of the server that a directory with this state in pg_control belongs to. */
export function isStandby(state: ControlFile['state']): boolean {
  return state === 'in archive recovery' || state === 'shut down in recovery'
}

function isOwnEnd({ startLsn, finishLsn, state }: EndedParent, end: EndingRecord): boolean {
  // a standby ends a backup where it had come, which is behind any record
  if (isStandby(state)) return true
  // without any other place, and where the record began out of sight, that one ends there is all that can be told
  if (finishLsn === startLsn || end.startLsn === undefined) return true
  // at rest it is the record of the shutdown checkpoint, else that of pg_backup_stop
  return (state === 'shut down' ? end.startLsn : end.backupStartLsn) === startLsn
}

/**
 * Whether the cluster has written the checkpoint that the parent's pg_control has. Another history may reach the same LSNs, and
 * end a backup that began at the same one with the same record, but not at the same time.
 */
export function judgeParentCheckpoint(expected: Checkpoint, at: ParentCheckpoint): Verdict {
  switch (at.kind) {
    case 'settled':
      return 'reached'
    case 'missing':
    case 'unreadable':
      return 'unknown'
    case 'other':
    case 'checkpoint':
      return isOtherCheckpoint(at, expected) ? 'rolled back' : 'reached'
  }
}

const RECORD_GONE =
  'pg_wal does not have the record of its end, which stays there until the next backup while WAL is archived: an older state of the cluster was brought back since, or nothing was archived then'

/** Looks for a rollback of the cluster since the parent on one timeline; what cannot be found out is said. */
export async function findRollback(
  context: OperationContext,
  directory: CheckedDirectory,
  source: BackupSource,
  parent: ParentBackup,
  control: ParentControl,
): Promise<RollbackFinding> {
  const { name, startLsn } = parent
  const finishLsn = finishOf(parent)
  const look = <T extends { readonly kind: string }>(place: WalPlace<T>): Promise<FoundInWal<T>> =>
    readWalPlace(context, directory, source, parent, place)
  const end = await look(placeOfEnd(finishLsn))
  const checkpoint = await look(placeOfCheckpoint(control.checkpointLsn))
  const verdict = judgeParentEnd({ startLsn, finishLsn, state: control.state }, end.found)
  const { redoLsn, checkpointTimeSeconds: timeSeconds } = control
  if (
    verdict === 'rolled back' ||
    judgeParentCheckpoint({ redoLsn, timeSeconds }, checkpoint.found) === 'rolled back'
  ) {
    const reason = `the cluster's WAL does not have its end at ${formatLsn(finishLsn)}: an older state of the cluster was brought back since, and went on on the same timeline`
    return { reason, isProved: true }
  }
  const doubt = doubtOf(end, verdict, source)
  if (doubt !== undefined) {
    const reason = await findAbandonedWal(context, source)
    if (reason !== undefined) return { reason, isProved: true }
    const record = findStopRecord(directory, source, parent, control)
    if (record === 'own') return { reason: undefined, isProved: true }
    if (record === 'gone') return { reason: RECORD_GONE, isProved: true }
    context.log.warning(
      `whether the cluster went on from where ${name} ended cannot be checked in WAL segment ${end.names.join(' or ')}: ${doubt}. ` +
        'If an older state of it was brought back since, without a new timeline, this delta is wrong: take a full backup (--full)',
    )
  }
  return { reason: undefined, isProved: doubt === undefined }
}

/** Why the end of the parent proves nothing; undefined when it does. */
function doubtOf(
  { found, isArchived }: FoundInWal<RecordEnd>,
  verdict: Verdict,
  { isArchiving }: BackupSource,
): string | undefined {
  if (found.kind === 'unreadable') return found.reason
  if (verdict === 'unknown') return 'it is neither in pg_wal nor in the archive'
  // what another history has written instead would not be in the archive
  if (isArchived && isArchiving === false)
    return 'only the archive has it, and the server archives nothing now'
  return undefined
}

/** A segment that a primary has only begun is in no archive, unless the cluster has been there before. */
async function findAbandonedWal(
  { storage, codec, signal }: OperationContext,
  { isArchiving, startWalFile }: BackupSource,
): Promise<string | undefined> {
  if (isArchiving === undefined) return undefined
  const place = `${WAL_PREFIX}/${startWalFile}`
  const found = await findPayload(storage, place, { firstExtension: codec.extension, signal })
  if (found === null) return undefined
  return `the archive has WAL segment ${startWalFile} already, in which this backup begins: an older state of the cluster was brought back since`
}

function placeOfEnd(endLsn: Lsn): WalPlace<RecordEnd> {
  return {
    lsn: toLsn(endLsn - 1n),
    stretch: sizes => pagesBefore(endLsn, sizes),
    judge: (pages, segment, timeline) => findRecordEnd(pages, { segment, timeline, endLsn }),
  }
}
