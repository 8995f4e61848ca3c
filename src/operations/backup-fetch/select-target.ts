import { hasCode, WalgError } from '../../kit/errors.ts'
import { type BackupSelection, type SelectedBackup, selectAmong } from '../../repository/selector.ts'
import type { OpenedStorage } from '../../storage/failover/find-alive.ts'
import { copiesOf, withCopies } from '../../storage/layers/copies.ts'
import type { OperationContext } from '../context.ts'
import type { BackupFetchOptions } from './options.ts'

export interface SelectedTarget {
  readonly target: SelectedBackup
  /** Bound to the storage in which the backup was found, and to those that have the same one. */
  readonly context: OperationContext
}

/** Finds the backup that is meant in all storages; from then on only those that have it are read, parents included. */
export async function selectTarget(
  context: OperationContext,
  { selection, otherStorages = [] }: BackupFetchOptions,
): Promise<SelectedTarget> {
  const { log, signal, storage, storageDescription } = context
  const storages: OpenedStorage[] = [{ storage, description: storageDescription }, ...otherStorages]
  logSelection(context, selection)
  const names = storages.map(({ description }) => description.name).join(' ')
  log.info(`Backup to fetch will be searched in storages: [${names}]`)
  const found = await selectAmong(
    storages.map(each => each.storage),
    selection,
    { signal },
  ).catch((error: unknown) => {
    if (!(error instanceof WalgError)) throw error
    const { code, message, facts, hint } = error
    const details = { facts, cause: error, ...(hint === undefined ? {} : { hint }) }
    throw new WalgError(code, `Failed to select backup: ${message}`, details)
  })
  const { selected, holders } = found
  if (selection.kind === 'latest') log.info(`LATEST backup is: '${selected.name}'`)
  const bound = holders.map(at => storages[at]!)
  return { target: selected, context: boundTo(context, bound) }
}

function boundTo(context: OperationContext, [first, ...others]: readonly OpenedStorage[]): OperationContext {
  if (first === undefined || others.length === 0) {
    return first === undefined
      ? context
      : { ...context, storage: first.storage, storageDescription: first.description }
  }
  context.log.info(
    `It is in ${others.length + 1} storages: what cannot be read in "${first.description.name}" is taken from the others`,
  )
  return {
    ...context,
    storage: withCopies([first.storage, ...others.map(({ storage }) => storage)]),
    storageDescription: {
      ...first.description,
      copies: { storages: others.map(({ description }) => description) },
    },
  }
}

function logSelection({ log }: OperationContext, selection: BackupSelection): void {
  if (selection.kind === 'latest') log.info('Selecting the latest backup...')
  else if (selection.kind === 'name') log.info(`Selecting the backup with name ${selection.name}...`)
  else log.info('Selecting the backup with the specified user data...')
}

/**
 * Runs a step that reads documents; where they are damaged it is run again with each single storage that has the
 * backup. The first failure is thrown when all have failed.
 */
export async function fromAnyCopy<T>(
  context: OperationContext,
  step: (context: OperationContext) => Promise<T>,
): Promise<T> {
  const copies = copiesOf(context.storage)
  const failures: unknown[] = []
  for (const storage of copies.length === 1 ? copies : [context.storage, ...copies]) {
    try {
      return await step({ ...context, storage })
    } catch (error) {
      if (!isWorthAnotherCopy(error)) throw error
      failures.push(error)
      if (copies.length > 1) context.log.warning(`${error.message}; the next storage is asked`)
    }
  }
  throw failures[0]
}

function isWorthAnotherCopy(error: unknown): error is WalgError {
  return hasCode(
    error,
    'BACKUP_BROKEN',
    'CHAIN_BROKEN',
    'INTEGRITY',
    'FORMAT_INVALID',
    'FORMAT_TRUNCATED',
    'CHECKSUM_MISMATCH',
    'OBJECT_NOT_FOUND',
  )
}
