import { hasCode, WalgError } from '../../../../kit/errors.ts'
import { formatLsn, type Lsn } from '../../../../postgres/lsn.ts'
import type { BackupName } from '../../../../repository/backup-name.ts'
import { backupExists, readMetadata } from '../../../../repository/catalog.ts'
import { type ChainBackup, readChain } from '../../../../repository/chain.ts'
import type { BackupMetadata } from '../../../../repository/metadata.ts'
import { type SelectedBackup, selectBackup, selectionOf } from '../../../../repository/selector.ts'
import type { OperationContext } from '../../../context.ts'
import type { DeltaOptions } from '../options.ts'

/** The backup that a delta will be made from. */
export interface ParentBackup {
  readonly name: BackupName
  readonly startLsn: Lsn
  /** The parent and everything below it, newest first. */
  readonly chain: readonly ChainBackup[]
  readonly metadata: BackupMetadata
  readonly full: BackupName
  /** `DeltaCount` of the new backup. */
  readonly count: number
}

/**
 * Chooses the parent of a delta (storage-format 3.1), or undefined for a full backup, and says why. Throws BACKUP_NOT_FOUND
 * for a name that is none, BACKUP_AMBIGUOUS, BACKUP_BROKEN for a backup that was asked for and cannot be read; one that was
 * not asked for is no parent then, and the backup is a full one.
 */
export async function chooseParent(
  context: OperationContext,
  options: DeltaOptions,
  isPermanent: boolean,
): Promise<ParentBackup | undefined> {
  const { log } = context
  sayWhatIsAskedFor(context, options)
  if (options.isFull) {
    log.info('Doing full backup.')
    return undefined
  }
  if (options.stepsMax === 0) return undefined
  const candidate = await findCandidate(context, options)
  if (candidate === undefined) return undefined
  const { delta } = candidate.document.sentinel
  const count = (delta?.count ?? 0) + 1
  if (count > options.stepsMax) {
    log.info('Reached max delta steps. Doing full backup.')
    return undefined
  }
  try {
    return await examine(context, options, candidate, count, isPermanent)
  } catch (error) {
    if (!hasCode(error, 'CHAIN_BROKEN', 'BACKUP_BROKEN', 'OBJECT_NOT_FOUND')) throw error
    log.warning(`${candidate.name} cannot be the parent of a delta: ${error.message}. Doing full backup.`)
    return undefined
  }
}

function sayWhatIsAskedFor({ log }: OperationContext, { fromName, fromUserData }: DeltaOptions): void {
  if (fromName !== undefined) {
    log.info(`Selecting the backup with name ${fromName} as the base for the current delta backup...`)
  } else if (fromUserData !== undefined) {
    log.info('Selecting the backup with specified user data as the base for the current delta backup...')
  }
}

async function findCandidate(
  context: OperationContext,
  { fromName, fromUserData }: DeltaOptions,
): Promise<SelectedBackup | undefined> {
  const { storage, log } = context
  const selection =
    fromUserData === undefined || fromName !== undefined
      ? selectionOf(fromName ?? 'LATEST')
      : ({ kind: 'user-data', json: fromUserData } as const)
  try {
    const candidate = await selectBackup(storage, selection, context)
    if (selection.kind === 'latest') log.info(`LATEST backup is: '${candidate.name}'`)
    return candidate
  } catch (error) {
    if (selection.kind !== 'name' && hasCode(error, 'BACKUP_NOT_FOUND')) {
      log.info("Couldn't find previous backup. Doing full backup.")
      return undefined
    }
    if (selection.kind !== 'latest' || !hasCode(error, 'BACKUP_BROKEN')) throw error
    log.warning(`${error.message}. It cannot be the parent of a delta. Doing full backup.`)
    return undefined
  }
}

async function examine(
  context: OperationContext,
  options: DeltaOptions,
  candidate: SelectedBackup,
  count: number,
  isPermanent: boolean,
): Promise<ParentBackup | undefined> {
  const { log, storage } = context
  if (candidate.document.sentinel.lsn === null) {
    log.info(`${candidate.name} does not say where it begins. Doing full backup.`)
    return undefined
  }
  const isFromFull = options.origin === 'LATEST_FULL'
  let metadata = await readMetadata(storage, candidate.name, context)
  if (!isPermanent && !isFromFull && metadata.isPermanent) {
    log.info("Can't do a delta backup from permanent backup. Doing full backup.")
    return undefined
  }
  let chain = await readChain(storage, candidate, context)
  if (isFromFull) {
    log.info('Delta will be made from full backup.')
    chain = chain.slice(-1)
    if (chain[0]!.name !== candidate.name) metadata = await readMetadata(storage, chain[0]!.name, context)
  }
  const { name, document } = chain[0]!
  const lacking = await findCopyWithout(context, chain)
  if (lacking !== undefined) {
    log.warning(
      `Storage "${lacking}" does not have all of ${name} and what it builds upon. Doing full backup.`,
    )
    return undefined
  }
  const startLsn = document.sentinel.lsn
  if (startLsn === null) {
    throw new WalgError('BACKUP_BROKEN', `backup "${name}" does not say where it begins`)
  }
  log.info(`Delta backup from ${name} with LSN ${formatLsn(startLsn)}.`)
  return { name, startLsn, chain, metadata, full: document.sentinel.delta?.full ?? name, count }
}

/** What a backup is made from must be complete in every storage that it goes to: the name of one in which a backup of the chain is missing. */
export async function findCopyWithout(
  { storage, signal }: OperationContext,
  chain: readonly ChainBackup[],
): Promise<string | undefined> {
  if (storage.copies === undefined) return undefined
  for (const copy of storage.copies.up()) {
    for (const { name } of chain) if (!(await backupExists(copy, name, { signal }))) return copy.name
  }
  return undefined
}
