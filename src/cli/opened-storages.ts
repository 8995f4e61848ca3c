import type { StorageDescription } from '../storage/description.ts'
import type { FetchStorages, Invocation, PushStorage } from './command.ts'
import type { FailoverContext } from './failover.ts'
import type { OpenOptions } from './invocation.ts'
import { targetNameOf } from './storages.ts'

/** How a command uses storages. */
interface Opened {
  readonly push: PushStorage
  readonly fetch: FetchStorages
  readonly delete: FetchStorages
}

/** Opens what a command needs. With one storage that nobody wants checked nothing of failover is even loaded. */
export async function openStoragesFor<Use extends keyof Opened>(
  invocation: Invocation,
  use: Use,
  { isProved = false, mayBeUnseen = false }: Pick<OpenOptions, 'isProved' | 'mayBeUnseen'> = {},
): Promise<Opened[Use]> {
  const { storageDescriptions, settings } = invocation
  const isPlain = storageDescriptions.length === 1 && settings.WALG_FAILOVER_STORAGES_CHECK !== true
  if (isPlain) {
    return (await openPlain(invocation, { mayCreate: use === 'push', isProved, mayBeUnseen })) as Opened[Use]
  }
  const failover = await import('./failover.ts')
  const context = contextOf(invocation, { mayCreate: use === 'push', mayBeUnseen })
  switch (use) {
    case 'push':
      return (await failover.openForPush(context)) as Opened[Use]
    case 'fetch':
      return (await failover.openForFetch(context)) as Opened[Use]
    default:
      return (await failover.openForDelete(context)) as Opened[Use]
  }
}

function contextOf(
  invocation: Invocation,
  { mayCreate, mayBeUnseen }: { readonly mayCreate: boolean; readonly mayBeUnseen: boolean },
): FailoverContext {
  const { storageDescriptions: descriptions, settings, flags, log, signal } = invocation
  const flag = flags['target-storage']
  return {
    descriptions,
    target: targetNameOf(typeof flag === 'string' ? flag : undefined, settings),
    settings,
    log,
    signal,
    mayBeUnseen,
    open: (description, options = {}) =>
      invocation.openStorage({ description, mayCreate, mayBeUnseen, ...options }),
  }
}

async function openPlain(invocation: Invocation, options: OpenOptions): Promise<PushStorage & FetchStorages> {
  const storage = await invocation.openStorage(options)
  const description = invocation.storageDescription
  return {
    storage,
    storageDescription: description,
    elsewhere: async () => [],
    fillMirrors: async () => {},
    first: { storage, description },
    others: [],
    merged: storage,
    dead: [],
    end: () => storage.close(),
  }
}

/** Runs a command on what it has opened; whatever happens, that is ended. */
export async function withOpened<T, S extends { end(failure?: unknown): Promise<void> }>(
  opened: S,
  work: (opened: S) => Promise<T>,
): Promise<T> {
  let result: T
  try {
    result = await work(opened)
  } catch (error) {
    await opened.end(error)
    throw error
  }
  await opened.end()
  return result
}

/** All storages that a fetch may read from, alive or not. */
export function archivesOf({ first, others, dead }: FetchStorages): readonly StorageDescription[] {
  return [first, ...others].map(({ description }) => description).concat(dead)
}
