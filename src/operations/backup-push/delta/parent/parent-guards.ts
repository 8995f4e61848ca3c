import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { CodecDescription } from '../../../../codec/codec.ts'
import { errnoOf, fromSystemError, WalgError } from '../../../../kit/errors.ts'
import type { ControlFile } from '../../../../postgres/control-file.ts'
import { formatLsn, type Lsn } from '../../../../postgres/lsn.ts'
import { parseTimelineHistory, type TimelineHistory } from '../../../../postgres/timeline-history.ts'
import type { TimelineId } from '../../../../postgres/wal-segment.ts'
import { formatBackupName, parseBackupName } from '../../../../repository/backup-name.ts'
import { backupExists } from '../../../../repository/catalog.ts'
import { readArchivedHistory } from '../../../../repository/recovery/archived-history.ts'
import type { OperationContext } from '../../../context.ts'
import type { BackupSource } from '../../source/backup-source.ts'
import { type CheckedDirectory, isAtRest } from '../../source/data-directory-check.ts'
import type { ParentBackup } from './choose-parent.ts'

/**
 * Whether the new backup can build on the parent, now that it has begun: undefined when it can, else why not. Throws
 * DELTA_BASE_INVALID where a full backup would be wrong as well: another cluster, or a server that is behind the parent.
 */
export async function findObstacle(
  context: OperationContext,
  directory: CheckedDirectory,
  source: BackupSource,
  parent: ParentBackup,
): Promise<string | undefined> {
  checkSystem(source, parent)
  const history = await readHistory(context, directory, source.timeline)
  const departure = findDeparture(parent, source.timeline, history)
  if (departure !== undefined) return departure
  await checkPosition(context, directory, source, parent)
  const { pgVersion } = parent.chain[0]!.document.sentinel
  const major = Math.floor(pgVersion / 10_000)
  if (pgVersion !== 0 && major !== directory.majorVersion) {
    return `it is of PostgreSQL ${major}, the cluster of ${directory.majorVersion}`
  }
  return undefined
}

function checkSystem({ systemIdentifier }: BackupSource, { name, chain }: ParentBackup): void {
  const known = chain[0]!.document.sentinel.systemIdentifier
  if (known === null || known === systemIdentifier) return
  throw new WalgError(
    'DELTA_BASE_INVALID',
    `Current database and database of base backup are not equal: "${name}" is of system ${known}, this is system ${systemIdentifier}`,
    {
      facts: { parent: name, parentSystem: known, system: systemIdentifier },
      hint: 'two clusters share one repository: give each its own prefix',
    },
  )
}

async function checkPosition(
  context: OperationContext,
  directory: CheckedDirectory,
  source: BackupSource,
  parent: ParentBackup,
): Promise<void> {
  const { startLsn, startWalFile } = source
  const finishLsn = finishOf(parent)
  if (finishLsn <= startLsn) return
  const facts = { parent: parent.name, finishLsn, startLsn }
  if (!isUnchanged(directory, startLsn, parent)) {
    throw new WalgError(
      'DELTA_BASE_INVALID',
      `"${parent.name}" ends at ${formatLsn(finishLsn)}, this backup begins before that, at ${formatLsn(startLsn)}`,
      {
        facts,
        hint: source.startsNow ? ROLLED_BACK_HINT : BEHIND_HINT,
      },
    )
  }
  const full = formatBackupName(startWalFile)
  const isTaken = await backupExists(context.storage, full, { signal: context.signal })
  throw new WalgError(
    'DELTA_BASE_INVALID',
    `nothing has happened to the cluster since "${parent.name}" was taken: there is nothing to back up`,
    {
      facts,
      hint: isTaken
        ? `restore that one; a full backup of this moment is there as well: "${full}"`
        : 'restore that one; a full backup of the same moment is taken with --full',
    },
  )
}

const ROLLED_BACK_HINT = 'if an older state of the cluster was brought back, take a full backup with --full'
const BEHIND_HINT =
  'a backup of a standby begins at its last restartpoint: wait until the standby has caught up, CHECKPOINT on the primary, wait until the standby has made its restartpoint of it, then push again'

/** Whether a directory at rest is as it was when the parent was taken: a standby goes on behind the start of a backup. */
export function isUnchanged(directory: CheckedDirectory, startLsn: Lsn, parent: ParentBackup): boolean {
  if (!isAtRest(directory) || startLsn !== parent.startLsn) return false
  const { state, minRecoveryLsn } = directory.control
  return directory.hasBackupLabel || state === 'shut down' || minRecoveryLsn <= finishOf(parent)
}

/**
 * The parent must lie on the way that the cluster has taken: pages that it has of a timeline that was left would never be
 * set right by a delta, because what replaced them may be older.
 */
export function findDeparture(
  parent: ParentBackup,
  timeline: TimelineId,
  history: TimelineHistory | null,
): string | undefined {
  const own = parseBackupName(parent.name)?.timeline
  if (own === undefined || own === timeline) return undefined
  if (history === null)
    return `the history of timeline ${timeline} cannot be found, and it is of timeline ${own}`
  const left = history.switches.find(one => one.parent === own)
  if (left === undefined) return `the cluster's timeline ${timeline} does not come from its timeline ${own}`
  if (finishOf(parent) <= left.switchLsn) return undefined
  return `the cluster left timeline ${own} at ${formatLsn(left.switchLsn)}, before it ended`
}

/** Its start when the sentinel does not tell. */
export function finishOf({ chain, startLsn }: ParentBackup): Lsn {
  return chain[0]!.document.sentinel.finishLsn ?? startLsn
}

/** Of the server's own directory, or of the archive; null when there is none. */
export async function readHistory(
  { storage, codec, signal }: OperationContext,
  { root }: CheckedDirectory,
  timeline: TimelineId,
): Promise<TimelineHistory | null> {
  if (timeline === 1) return null
  const name = `${timeline.toString(16).toUpperCase().padStart(8, '0')}.history`
  const path = join(root, 'pg_wal', name)
  try {
    return parseTimelineHistory(readFileSync(path, 'utf8'), timeline)
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw fromSystemError(error, 'read', path)
  }
  return readArchivedHistory(storage, codec, timeline, { signal })
}

/** A chain is sealed with one key throughout: the original reads no other, and an old key should not be needed for new data. */
export function findSealObstacle(parent: ParentBackup, description: CodecDescription): string | undefined {
  const link = parent.chain[0]!.document.sentinel.contentManifest
  // a backup of the original does not tell
  if (link === null) return undefined
  const before = link.encryption
  const now = description.encryption?.write
  if (before?.method === now?.method && before?.key === now?.keyId) return undefined
  return `it is ${sealedWith(before?.method, before?.key)}, and now backups are ${sealedWith(now?.method, now?.keyId)}`
}

function sealedWith(method: string | undefined, key: string | undefined): string {
  return method === undefined ? 'not encrypted' : `encrypted with the ${method} key ${key}`
}

/** Pages are rewritten without a new LSN when checksums are switched on: a delta would miss all of them. */
export function findControlObstacle(parent: ControlFile, now: ControlFile): string | undefined {
  if ((parent.checksumVersion === 0) !== (now.checksumVersion === 0)) {
    return `data checksums were switched ${now.checksumVersion === 0 ? 'off' : 'on'} since`
  }
  if (parent.systemIdentifier !== now.systemIdentifier) return 'its pg_control is of another cluster'
  if (parent.blockBytes !== now.blockBytes) return 'it has pages of another size'
  return undefined
}
