import { WalgError } from '../../kit/errors.ts'
import { walkDataDirectory } from '../../postgres/data-directory.ts'
import { formatLsn, type Lsn } from '../../postgres/lsn.ts'
import { LEFT_TO_STANDBY } from '../../postgres/walk/left-out.ts'
import { formatBackupName } from '../../repository/backup-name.ts'
import type { OperationContext } from '../context.ts'
import { arrange } from './composer.ts'
import { type BackupIdentity, type Contents, isContent, planContents } from './contents.ts'
import type { CopiedFiles } from './copy/copied-files.ts'
import { chooseCopies, isCopying, openCopies } from './copy/copy-source.ts'
import { openDelta, type ParentReading } from './delta/open-delta.ts'
import type { ParentBackup } from './delta/parent/choose-parent.ts'
import type { ParentFiles } from './delta/parent/parent-files.ts'
import { planCatchup } from './delta/plan-catchup.ts'
import { type DeltaBase, planDelta } from './delta/plan-delta.ts'
import { pastMoment, settledMoment } from './delta/settled-moment.ts'
import { visibleMarks } from './delta/visible-pages.ts'
import { findNewUnlogged } from './new-unlogged.ts'
import type { BackupPushOptions } from './options.ts'
import { findReplayedStates } from './replayed-states.ts'
import type { BackupSource } from './source/backup-source.ts'
import type { CheckedDirectory } from './source/data-directory-check.ts'

export interface PlanBackupInput {
  readonly directory: CheckedDirectory
  readonly source: BackupSource
  /** The parent that was chosen, or the backup that parts are copied of, and its lists. */
  readonly chosen: ParentBackup | undefined
  readonly reading: ParentReading
  /** A moment before the backup began, see `pastMoment`. */
  readonly begunNs: bigint
}

export interface PlannedBackup {
  readonly contents: Contents
  /** Undefined for a full backup. */
  readonly parent: ParentBackup | undefined
}

/** Walks the data directory and decides what the backup will hold, and whether it is a delta after all. */
export async function planBackup(
  context: OperationContext,
  input: PlanBackupInput,
  options: BackupPushOptions,
): Promise<PlannedBackup> {
  const { directory, source, chosen, reading } = input
  if (isCopying(options)) {
    const files = await openCopies(context, directory, source, chosen, reading)
    const copies = files === undefined ? undefined : { chosen: chosen!, files }
    const contents = await walkAndPlan(context, input, { base: undefined, copies }, options)
    return { contents, parent: undefined }
  }
  const base = await openDelta(context, directory, source, chosen, reading, options.delta.changes)
  const contents = await walkAndPlan(context, input, { base, copies: undefined }, options)
  return { contents, parent: contents.identity.delta === null ? undefined : chosen }
}

const NOTHING: ReadonlySet<number> = new Set()

/** What the backup builds upon: the parent of a delta, or a full backup that parts are copied of. */
interface Foundation {
  readonly base: DeltaBase | undefined
  readonly copies: { readonly chosen: ParentBackup; readonly files: ParentFiles } | undefined
}

async function walkAndPlan(
  context: OperationContext,
  { directory: { root, control }, source, begunNs }: PlanBackupInput,
  { base, copies }: Foundation,
  options: BackupPushOptions,
): Promise<Contents> {
  const { log, signal } = context
  log.info('Starting a new tar bundle')
  log.info('Walking ...')
  const walkedNs = pastMoment(root)
  const { catchupFromLsn } = options
  const leftOut = catchupFromLsn === undefined ? [] : LEFT_TO_STANDBY
  const directory = await walkDataDirectory(root, { log, signal, leftOut })
  const { entries } = directory
  // a directory at rest may be started without recovery, which would not make them again
  const newUnlogged = source.databases === undefined ? NOTHING : findNewUnlogged(entries, begunNs)
  const { nextXid } = source
  const replayed = nextXid === undefined ? NOTHING : findReplayedStates(entries, nextXid)
  for (const index of replayed) {
    log.info(`"${entries.path(index)}" is of a later checkpoint: it is left to WAL replay`)
  }
  const isLeftOut = (index: number): boolean => newUnlogged.has(index) || replayed.has(index)
  const isFile = (index: number): boolean => isContent(entries, index) && !isLeftOut(index)
  const { pageBytes } = options
  if (catchupFromLsn !== undefined) {
    assertBehind(catchupFromLsn, source)
    const identity = { ...identityOf(source, undefined, walkedNs), catchupFromLsn }
    const isWhole = catchupFromLsn === 0n || !options.hasFilesMetadata
    const fromLsn = catchupFromLsn
    // how the server ran since then is not known
    const marks = visibleMarks(control, fromLsn)
    const plan = isWhole ? undefined : planCatchup(context, { entries, isFile, pageBytes, fromLsn, marks })
    return planContents(directory, isFile, identity, plan)
  }
  const plan =
    base === undefined
      ? undefined
      : planDelta(context, base, {
          entries,
          isFile,
          pageBytes,
          databases: await source.readDatabaseRows(),
          options: options.delta,
        })
  const taken = plan === undefined ? undefined : base
  const identity = identityOf(source, taken, settledMoment(source, taken, { begunNs, walkedNs }))
  const arrangement = await arrange(options.composer ?? 'regular', entries, source, log)
  let copied: CopiedFiles | undefined
  if (copies !== undefined) {
    const { isVerifying } = options
    copied = chooseCopies(context, copies.chosen, copies.files, { entries, isFile, pageBytes, isVerifying })
  }
  return planContents(directory, isFile, identity, plan, arrangement, copied)
}

/** Throws DELTA_BASE_INVALID when the server has not come as far. */
function assertBehind(fromLsn: Lsn, { startLsn }: BackupSource): void {
  if (fromLsn <= startLsn) return
  throw new WalgError(
    'DELTA_BASE_INVALID',
    `--from-lsn ${formatLsn(fromLsn)} is ahead of the server, which is at ${formatLsn(startLsn)}`,
    { hint: "give the REDO location of the standby's latest checkpoint, as pg_controldata shows it" },
  )
}

function identityOf(source: BackupSource, base: DeltaBase | undefined, walkedNs: bigint): BackupIdentity {
  const { startWalFile, databases } = source
  if (base === undefined) return { name: formatBackupName(startWalFile), delta: null, walkedNs, databases }
  const { name, startLsn, full, count, chain } = base.parent
  const parentHash = chain[0]!.document.sentinel.contentManifest?.hash
  return {
    name: formatBackupName(startWalFile, name),
    delta: { lsn: startLsn, parent: name, full, count },
    walkedNs,
    databases,
    ...(parentHash === undefined ? {} : { parentHash }),
  }
}
