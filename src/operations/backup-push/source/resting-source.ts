import { statSync } from 'node:fs'
import { join } from 'node:path'
import { errnoOf, fromSystemError, WalgError } from '../../../kit/errors.ts'
import { readRegularFile } from '../../../kit/file-system.ts'
import {
  type BackupLabel,
  formatBackupHistoryName,
  parseBackupLabel,
  parseStopLsn,
} from '../../../postgres/backup-label.ts'
import type { ControlFile } from '../../../postgres/control-file.ts'
import { formatLsn, type Lsn, toLsn } from '../../../postgres/lsn.ts'
import { findEndOfValidWal } from '../../../postgres/wal/record.ts'
import {
  formatHistoryName,
  formatSegmentName,
  nextSegment,
  parseSegmentName,
  segmentOfLsn,
  type TimelineId,
  toTimelineId,
  type WalSegment,
} from '../../../postgres/wal-segment.ts'
import { storageIdentity } from '../../../storage/storage-identity.ts'
import type { OperationContext } from '../../context.ts'
import type { BackupPushOptions } from '../options.ts'
import type { BackupSource, SourceStop } from './backup-source.ts'
import { type CheckedDirectory, checkDataDirectory } from './data-directory-check.ts'
import { lockRestingCluster } from './directory-lock.ts'
import { findWalMember, readWalText, requireWalMember, type WalMember, type WalPlace } from './wal-members.ts'

/** Which WAL a directory at rest needs to become consistent. */
interface NeededWal {
  readonly startLsn: Lsn
  readonly finishLsn: Lsn
  readonly timeline: TimelineId
  /** The history file of the timeline and of the backup, where they are to be had. */
  readonly extras: readonly WalMember[]
}

/**
 * Takes a directory at rest as the source of a backup, without any server. The WAL that makes it consistent
 * travels inside the backup. Throws WAL_NOT_FOUND when that is nowhere to be had, CLUSTER_STATE while another backup of
 * the same cluster into the same repository is running on this host.
 */
export async function openRestingSource(
  context: OperationContext,
  directory: CheckedDirectory,
  options: BackupPushOptions,
): Promise<BackupSource> {
  const { control } = directory
  checkSegmentSize(control, options)
  const identity = storageIdentity(context.storageDescription)
  const lock = await lockRestingCluster(control.systemIdentifier, identity)
  try {
    const source = await readRestingSource(context, directory)
    return { ...source, [Symbol.asyncDispose]: () => lock[Symbol.asyncDispose]() }
  } catch (error) {
    await lock[Symbol.asyncDispose]()
    throw error
  }
}

async function readRestingSource(
  context: OperationContext,
  directory: CheckedDirectory,
): Promise<Omit<BackupSource, typeof Symbol.asyncDispose>> {
  const { root, control } = directory
  const walDirectory = join(root, 'pg_wal')
  const place = { context, walDirectory, walSegmentBytes: control.walSegmentBytes, owner: ownerOf(root) }
  const labels = directory.hasBackupLabel ? readLabels(root) : undefined
  const what = labels === undefined ? 'was shut down cleanly' : 'was restored and never started'
  context.log.info(`"${root}" ${what}: it is backed up as it stands, without a server`)
  const needed =
    labels === undefined
      ? await neededAfterShutdown(place, control)
      : await neededByLabel(place, control, parseBackupLabel(labels.labelFile))
  const { blockBytes, blocksPerSegment } = control
  return {
    startWalFile: segmentName(needed.startLsn, needed.timeline, control),
    timeline: needed.timeline,
    startLsn: needed.startLsn,
    nextXid: undefined,
    versionNumber: directory.majorVersion * 10_000,
    systemIdentifier: control.systemIdentifier,
    failed: new AbortController().signal,
    pages: control.checksumVersion === 0 ? undefined : { pageBytes: blockBytes, blocksPerSegment },
    // it may have run with other settings than it was shut down with
    hasMarksInLsnSinceNs: undefined,
    databases: undefined,
    isArchiving: undefined,
    startsNow: labels === undefined && control.state !== 'shut down in recovery',
    wal: [...(await segmentsOf(place, needed, control)), ...needed.extras],
    isSummarizing: async () => false,
    async stop(): Promise<SourceStop> {
      await assertStillAtRest(directory)
      return { finishLsn: needed.finishLsn, labels }
    },
    async waitForWal(): Promise<void> {},
    readDatabaseRows: async () => undefined,
    readUpdates: async () => null,
    readDatabases: async () => null,
  }
}

/** The WAL from the last checkpoint on: of a primary just that record, of a standby up to where it had come. */
async function neededAfterShutdown(place: WalPlace, control: ControlFile): Promise<NeededWal> {
  const { redoLsn, checkpointLsn, minRecoveryLsn } = control
  const isStandby = control.state === 'shut down in recovery'
  const timeline =
    isStandby && control.minRecoveryTimeline !== 0 ? control.minRecoveryTimeline : control.timeline
  const extras = await historyOf(place, timeline)
  if (isStandby) {
    const finishLsn = minRecoveryLsn > checkpointLsn ? minRecoveryLsn : checkpointLsn
    return { startLsn: redoLsn, finishLsn, timeline, extras }
  }
  const finishLsn = await endOfCheckpoint(place, control)
  return { startLsn: redoLsn, finishLsn, timeline, extras }
}

/** Where the shutdown checkpoint's record ends, as the WAL itself proves; its position where pg_wal is empty. */
async function endOfCheckpoint(place: WalPlace, control: ControlFile): Promise<Lsn> {
  const segment = segmentOfLsn(control.timeline, control.checkpointLsn, control.walSegmentBytes)
  const names = [segment, nextSegment(segment)].map(each => formatSegmentName(each, control.walSegmentBytes))
  const local = names.filter(
    name => statSync(join(place.walDirectory, name), { throwIfNoEntry: false }) !== undefined,
  )
  if (local[0] !== names[0]) return control.checkpointLsn
  const { endLsn, reason } = await findEndOfValidWal(place.walDirectory, local, place.context.signal)
  if (endLsn !== undefined && endLsn > control.checkpointLsn) return endLsn
  throw new WalgError(
    'WAL_INVALID',
    `"${names[0]}" does not hold the shutdown checkpoint at ${formatLsn(control.checkpointLsn)}: ${reason}`,
    { facts: { file: names[0]!, lsn: control.checkpointLsn } },
  )
}

/** The WAL between start and end of the backup that the directory was restored from. */
async function neededByLabel(place: WalPlace, control: ControlFile, label: BackupLabel): Promise<NeededWal> {
  const named = parseSegmentName(label.startWalFile, control.walSegmentBytes)
  const timeline = label.startTimeline ?? named.timeline
  const extras = await historyOf(place, timeline)
  const { startLsn } = label
  if (label.backupFrom === 'standby' && control.minRecoveryLsn > 0n) {
    return { startLsn, finishLsn: control.minRecoveryLsn, timeline: control.minRecoveryTimeline, extras }
  }
  const file = formatBackupHistoryName(label.startWalFile, startLsn, control.walSegmentBytes)
  const history = await findWalMember(place, file)
  if (history === undefined) {
    throw new WalgError(
      'WAL_NOT_FOUND',
      `"${file}", which says where the restored backup ends, is neither in "${place.walDirectory}" nor in storage "${place.context.storage.name}"`,
      {
        facts: { file, storage: place.context.storage.name },
        hint: 'to bring an existing backup with its WAL to another storage use `copy`; to back up this directory start a server on it',
      },
    )
  }
  const finishLsn = parseStopLsn(await readWalText(history))
  if (finishLsn === undefined) {
    throw new WalgError('FORMAT_INVALID', `"${file}" does not say where the backup ends`, { facts: { file } })
  }
  return { startLsn, finishLsn, timeline, extras: [...extras, history] }
}

/** Every segment that is needed, on the newest timeline that has it. */
async function segmentsOf(place: WalPlace, needed: NeededWal, control: ControlFile): Promise<WalMember[]> {
  const bytes = control.walSegmentBytes
  const last = segmentOfLsn(needed.timeline, toLsn(needed.finishLsn - 1n), bytes)
  const members: WalMember[] = []
  let segment = segmentOfLsn(needed.timeline, needed.startLsn, bytes)
  do {
    const neededBytes =
      segment.number === last.number ? Number((needed.finishLsn - 1n) % BigInt(bytes)) + 1 : bytes
    members.push(
      await segmentOnAnyTimeline(place, { ...segment, timeline: needed.timeline }, neededBytes, control),
    )
    segment = nextSegment(segment)
  } while (segment.number <= last.number)
  return members
}

async function segmentOnAnyTimeline(
  place: WalPlace,
  { number, timeline }: WalSegment,
  neededBytes: number,
  control: ControlFile,
): Promise<WalMember> {
  for (let id = timeline as number; id > control.timeline; id--) {
    const name = formatSegmentName({ timeline: toTimelineId(id), number }, control.walSegmentBytes)
    const member = await findWalMember(place, name, neededBytes)
    if (member !== undefined) return member
  }
  const oldest = timeline < control.timeline ? timeline : control.timeline
  const name = formatSegmentName({ timeline: oldest, number }, control.walSegmentBytes)
  return requireWalMember(place, name, neededBytes)
}

/** The history file of a timeline, which a server can do without when it follows no other. */
async function historyOf(place: WalPlace, timeline: TimelineId): Promise<WalMember[]> {
  if (timeline <= 1) return []
  const file = formatHistoryName(timeline)
  const member = await findWalMember(place, file)
  return member === undefined ? [] : [member]
}

function segmentName(lsn: Lsn, timeline: TimelineId, { walSegmentBytes }: ControlFile): string {
  return formatSegmentName(segmentOfLsn(timeline, lsn, walSegmentBytes), walSegmentBytes)
}

function readLabels(root: string): { labelFile: string; tablespaceMap: string } {
  const read = (name: string): string | undefined => {
    try {
      return readRegularFile(join(root, name)).toString()
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined
      throw fromSystemError(error, 'read', join(root, name))
    }
  }
  const labelFile = read('backup_label')
  if (labelFile === undefined) throw started(root)
  return { labelFile, tablespaceMap: read('tablespace_map') ?? '' }
}

async function assertStillAtRest(directory: CheckedDirectory): Promise<void> {
  const now = await checkDataDirectory(directory.root)
  const isSame =
    now.control.state === directory.control.state &&
    now.control.updatedAtSeconds === directory.control.updatedAtSeconds &&
    now.control.checkpointLsn === directory.control.checkpointLsn
  if (!isSame || now.isInUse || now.hasBackupLabel !== directory.hasBackupLabel) throw started(directory.root)
}

function started(root: string): WalgError {
  return new WalgError('CLUSTER_STATE', `a server was started on "${root}" while it was backed up`, {
    facts: { path: root },
    hint: 'run the command again, now with a connection to that server',
  })
}

function ownerOf(root: string): { uid: number; gid: number } {
  const { uid, gid } = statSync(root)
  return { uid, gid }
}

function checkSegmentSize(control: ControlFile, options: BackupPushOptions): void {
  if (control.walSegmentBytes === options.walSegmentBytes) return
  throw new WalgError(
    'SETTING_INVALID',
    `the cluster has WAL segments of ${control.walSegmentBytes} bytes, WALG_PG_WAL_SIZE says ${options.walSegmentBytes}`,
    { hint: `set WALG_PG_WAL_SIZE=${control.walSegmentBytes / (1024 * 1024)}` },
  )
}
