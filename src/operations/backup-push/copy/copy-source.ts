import { hasCode } from '../../../kit/errors.ts'
import type { DataEntries } from '../../../postgres/walk/data-entries.ts'
import { readMetadata } from '../../../repository/catalog.ts'
import { readChain } from '../../../repository/chain.ts'
import { selectBackup, selectionOf } from '../../../repository/selector.ts'
import type { OperationContext } from '../../context.ts'
import type { ParentReading } from '../delta/open-delta.ts'
import { findCopyWithout, type ParentBackup } from '../delta/parent/choose-parent.ts'
import { findRollback } from '../delta/parent/parent-end.ts'
import { isUnreadable, type ParentFiles } from '../delta/parent/parent-files.ts'
import { findControlObstacle, findObstacle, findSealObstacle } from '../delta/parent/parent-guards.ts'
import type { BackupPushOptions } from '../options.ts'
import type { BackupSource } from '../source/backup-source.ts'
import type { CheckedDirectory } from '../source/data-directory-check.ts'
import type { CopiedFiles } from './copied-files.ts'
import { planCopies } from './plan-copies.ts'

const ANEW = 'Every part is packed anew.'

/** Parts are copied: it is asked for, and what is taken is a plain backup. */
export function isCopying({ composer, catchupFromLsn }: BackupPushOptions): boolean {
  return composer === 'copy' && catchupFromLsn === undefined
}

/**
 * The full backup whose parts may be copied: the latest, or what it builds upon; undefined when there is none that can be used,
 * which is said. A full backup never fails for want of one.
 */
export async function chooseCopySource(
  context: OperationContext,
  { isVerifying, failsOnCorrupt, delta }: BackupPushOptions,
): Promise<ParentBackup | undefined> {
  const { storage, log } = context
  log.info('Doing full backup.')
  if (delta.fromName !== undefined || delta.fromUserData !== undefined) {
    log.warning('The base that is named for a delta is not used: parts are copied of the latest full backup.')
  }
  if (isVerifying && failsOnCorrupt) {
    log.warning(`WALG_FAIL_ON_CORRUPT wants the pages of all files verified. ${ANEW}`)
    return undefined
  }
  try {
    const latest = await selectBackup(storage, selectionOf('LATEST'), context)
    const chain = (await readChain(storage, latest, context)).slice(-1)
    const { name, document } = chain[0]!
    const startLsn = document.sentinel.lsn
    const lacking = await findCopyWithout(context, chain)
    if (startLsn !== null && lacking === undefined) {
      const metadata = await readMetadata(storage, name, context)
      return { name, startLsn, chain, metadata, full: name, count: 1 }
    }
    const why =
      lacking === undefined ? 'it does not say where it begins' : `storage "${lacking}" does not have it`
    log.warning(`No part of ${name} is copied: ${why}. ${ANEW}`)
  } catch (error) {
    if (hasCode(error, 'BACKUP_NOT_FOUND')) log.info(`Couldn't find previous backup. ${ANEW}`)
    else if (isUnreadable(error)) log.warning(`No part is copied: ${error.message}. ${ANEW}`)
    else throw error
  }
  return undefined
}

/** What is copied of the chosen backup; undefined when nothing is, which is said. */
export async function openCopies(
  context: OperationContext,
  directory: CheckedDirectory,
  source: BackupSource,
  chosen: ParentBackup | undefined,
  reading: ParentReading,
): Promise<ParentFiles | undefined> {
  if (chosen === undefined) return undefined
  const files = await reading.take()
  if (files instanceof Error && !isUnreadable(files)) throw files
  const reason = await findReason(context, directory, source, chosen, files)
  if (reason === undefined) return files as ParentFiles
  context.log.warning(`No part of ${chosen.name} is copied: ${reason}. ${ANEW}`)
  return undefined
}

async function findReason(
  context: OperationContext,
  directory: CheckedDirectory,
  source: BackupSource,
  chosen: ParentBackup,
  files: ParentFiles | Error | null,
): Promise<string | undefined> {
  const obstacle = findSealObstacle(chosen, context.codecDescription)
  if (obstacle !== undefined) return obstacle
  if (files instanceof Error) return files.message
  if (files === null) return 'it has no list of files'
  if (files.parts === undefined) return 'it has no content manifest, so nothing tells how it is encrypted'
  try {
    const departure = await findObstacle(context, directory, source, chosen)
    return (
      departure ??
      findControlObstacle(files.control, directory.control) ??
      (await findRollback(context, directory, source, chosen, files.control)).reason
    )
  } catch (error) {
    if (!hasCode(error, 'DELTA_BASE_INVALID')) throw error
    return error.message
  }
}

/** Decides and says which files come by copied parts. */
export function chooseCopies(
  { log, codec }: OperationContext,
  chosen: ParentBackup,
  parent: ParentFiles,
  files: {
    readonly entries: DataEntries
    readonly isFile: (index: number) => boolean
    readonly pageBytes: number
    readonly isVerifying: boolean
  },
): CopiedFiles {
  const copied = planCopies({ ...files, parent, parts: parent.parts!, extension: codec.extension })
  const { length } = copied.parts
  log.info(
    `${length === 1 ? '1 part' : `${length} parts`} of ${chosen.name} with ${copied.indexes.length} unchanged files will be copied`,
  )
  if (files.isVerifying && length > 0) log.info('The pages in copied parts are not verified again')
  return copied
}
