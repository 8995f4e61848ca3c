import { join } from 'node:path'
import type { ChangedPages } from '../../../delta/changed-pages.ts'
import { WalgError } from '../../../kit/errors.ts'
import { epochNs } from '../../../kit/timestamp.ts'
import type { ControlFile } from '../../../postgres/control-file.ts'
import { type BackupName, parseBackupName } from '../../../repository/backup-name.ts'
import { type BackupEntry, findBackup } from '../../../repository/catalog.ts'
import type { ChainBackup } from '../../../repository/chain.ts'
import { chainToMark, writePermanence } from '../../../repository/permanence.ts'
import type { OperationContext } from '../../context.ts'
import { type ChangesOptions, findChangedPages } from '../changes/find-changed-pages.ts'
import type { BackupSource } from '../source/backup-source.ts'
import type { CheckedDirectory } from '../source/data-directory-check.ts'
import { checkChain } from './parent/chain-check.ts'
import type { ParentBackup } from './parent/choose-parent.ts'
import { findRollback, isStandby } from './parent/parent-end.ts'
import { isUnreadable, type ParentFiles, readParentFiles } from './parent/parent-files.ts'
import { findControlObstacle, findObstacle, findSealObstacle, readHistory } from './parent/parent-guards.ts'
import type { DeltaBase } from './plan-delta.ts'
import { visibleMarks } from './visible-pages.ts'

/** The parent's lists, read while the server begins the backup. They are large: taken once, and then nobody holds them. */
export interface ParentReading {
  take(): Promise<ParentFiles | null | Error>
}

/** Begins to read what is known of the parent's files; a failure is a result, for whoever takes it. */
export function beginReadingParent(
  context: OperationContext,
  parent: ParentBackup | undefined,
  pageBytes: number,
  hasParts = false,
): ParentReading {
  let reading: Promise<ParentFiles | null | Error> =
    parent === undefined
      ? Promise.resolve(null)
      : readFilesOfChain(context, parent, pageBytes, hasParts).catch((error: unknown) =>
          error instanceof Error ? error : new Error(String(error)),
        )
  return {
    take(): Promise<ParentFiles | null | Error> {
      const taken = reading
      reading = Promise.resolve(null)
      return taken
    },
  }
}

/** The lists of the parent alone; of what it builds upon, whether it is all there. */
async function readFilesOfChain(
  context: OperationContext,
  parent: ParentBackup,
  pageBytes: number,
  hasParts: boolean,
): Promise<ParentFiles | null> {
  const [files] = await Promise.all([
    readParentFiles(context, parent, pageBytes, hasParts),
    checkChain(context, parent.chain.slice(1)),
  ])
  return files
}

/**
 * What the delta is made from; undefined when it has to be a full backup, which is said. Throws what `findObstacle` does.
 */
export async function openDelta(
  context: OperationContext,
  directory: CheckedDirectory,
  source: BackupSource,
  parent: ParentBackup | undefined,
  reading: ParentReading,
  changes: ChangesOptions,
): Promise<DeltaBase | undefined> {
  if (parent === undefined) return undefined
  const { log } = context
  const obstacle = await findObstacle(context, directory, source, parent)
  const files = await reading.take()
  if (files instanceof Error && !isUnreadable(files)) throw files
  if (files === null) {
    log.info(`Nothing of ${parent.name} can be used. Doing full backup.`)
    return undefined
  }
  let reason =
    obstacle ??
    findSealObstacle(parent, context.codecDescription) ??
    (files instanceof Error ? files.message : findControlObstacle(files.control, directory.control))
  let isProved = false
  if (reason === undefined && !(files instanceof Error)) {
    ;({ reason, isProved } = await findRollback(context, directory, source, parent, files.control))
  }
  if (reason === undefined && !(files instanceof Error)) {
    log.info('Delta backup enabled')
    const changed = await findChanges(context, directory, source, parent, changes)
    const marks = hasMarksInLsnSince(source, parent)
      ? undefined
      : visibleMarks(directory.control, parent.startLsn)
    const isOfSameHost = isSameHost(directory, source, parent, files.control)
    return { parent, files, changed, marks, isProved, isOfSameHost }
  }
  log.warning(`${parent.name} cannot be the parent of a delta: ${reason}. Doing full backup.`)
  return undefined
}

/** A standby lives elsewhere than its primary, and so does a primary that was promoted since. */
function isSameHost(
  { control }: CheckedDirectory,
  { timeline }: BackupSource,
  { name }: ParentBackup,
  ofParent: Pick<ControlFile, 'state'>,
): boolean {
  const isPrimary = !isStandby(control.state) && !isStandby(ofParent.state)
  return isPrimary && parseBackupName(name)?.timeline === timeline
}

/** A server that was stopped since the parent may have run without checksums and logged hints in between. */
function hasMarksInLsnSince(
  { hasMarksInLsnSinceNs }: BackupSource,
  { chain, metadata }: ParentBackup,
): boolean {
  const startTime = chain[0]!.document.sentinel.startTime ?? metadata.startTime
  return hasMarksInLsnSinceNs !== undefined && hasMarksInLsnSinceNs < epochNs(startTime)
}

async function findChanges(
  context: OperationContext,
  directory: CheckedDirectory,
  source: BackupSource,
  parent: ParentBackup,
  options: ChangesOptions,
): Promise<ChangedPages | undefined> {
  const { startLsn: endLsn, timeline, systemIdentifier } = source
  const { dataCatalogSizeBytes } = parent.chain[0]!.document.sentinel
  return await findChangedPages(context, {
    options,
    range: {
      beginLsn: parent.startLsn,
      endLsn,
      timeline,
      history: await readHistory(context, directory, timeline),
    },
    majorVersion: directory.majorVersion,
    systemIdentifier,
    walDirectory: join(directory.root, 'pg_wal'),
    dataBytes: dataCatalogSizeBytes === 0 ? Number.POSITIVE_INFINITY : dataCatalogSizeBytes,
    isSummarizing: () => source.isSummarizing(),
  })
}

/** Throws CHAIN_BROKEN when a backup that the new one hangs on has been deleted meanwhile. */
export async function assertParentStored(context: OperationContext, parent: ParentBackup): Promise<void> {
  const find = ({ name }: ChainBackup): Promise<BackupEntry | null> =>
    findBackup(context.storage, name, context)
  const found = await Promise.all(parent.chain.map(find))
  for (const [index, { name }] of parent.chain.entries()) {
    if (found[index] !== null) continue
    throw new WalgError(
      'CHAIN_BROKEN',
      `backup "${name}", which this delta builds on, is not there any more`,
      {
        facts: { backup: name, parent: parent.name },
        hint: 'it was deleted while the delta was taken: take another backup',
      },
    )
  }
}

/** A permanent delta makes everything permanent that it hangs on; before it exists. */
export async function markAncestors(context: OperationContext, parent: BackupName): Promise<void> {
  const { storage, log, signal } = context
  const place = { storage, log, signal, place: storage.name }
  log.info('Retrieving previous related backups to be marked: toPermanent=true')
  const chain = await chainToMark(place, parent)
  log.info(`Retrieved backups to be marked, marking: [${chain.map(({ name }) => name).join(' ')}]`)
  for (const metadata of chain) await writePermanence(place, metadata, true)
}
