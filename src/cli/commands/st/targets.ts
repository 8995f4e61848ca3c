import { WalgError } from '../../../kit/errors.ts'
import type { StorageDescription } from '../../../storage/description.ts'
import type { Storage } from '../../../storage/storage.ts'
import type { Invocation } from '../../command.ts'
import { describeError } from '../../render/error.ts'

export const ALL_TARGETS = 'all'

/** One storage that a tool works on. */
export interface Target {
  readonly storage: Storage
  readonly description: StorageDescription
}

/** What `--target` says; `default` without it. */
export function targetName({ flags }: Pick<Invocation, 'flags'>): string {
  const target = flags['target']
  return typeof target === 'string' && target !== '' ? target : 'default'
}

/**
 * Runs `work` on the storage that `--target` names; on `all` on each, where a failure is logged and only the failure of
 * all of them is one.
 */
export async function onTargets(
  invocation: Invocation,
  work: (target: Target) => Promise<void>,
): Promise<number> {
  const { storageDescriptions, log } = invocation
  const name = targetName(invocation)
  if (name !== ALL_TARGETS) {
    await onTarget(invocation, findTarget(storageDescriptions, name), work)
    return 0
  }
  let failures = 0
  for (const description of storageDescriptions) {
    log.info(`storage ${description.name}`)
    try {
      await onTarget(invocation, description, work)
    } catch (error) {
      if (invocation.signal.aborted) throw error
      failures += 1
      const { what, why, hint } = describeError(error)
      log.error([what, ...(why ? [`  cause: ${why}`] : []), ...(hint ? [`  hint: ${hint}`] : [])].join('\n'))
    }
  }
  if (failures === storageDescriptions.length) throw new WalgError('NO_STORAGE_ALIVE', 'all storages failed')
  return 0
}

async function onTarget(
  invocation: Invocation,
  description: StorageDescription,
  work: (target: Target) => Promise<void>,
): Promise<void> {
  const storage = await openTarget(invocation, description)
  try {
    await work({ storage, description })
  } finally {
    await storage.close()
  }
}

async function openTarget(invocation: Invocation, description: StorageDescription): Promise<Storage> {
  try {
    return await invocation.openStorage({ description })
  } catch (error) {
    if (!(error instanceof WalgError)) throw error
    const message = error.message.replace(/^configure primary storage: |^failover storage \S+: /, '')
    throw new WalgError(error.code, `failed to init folder for storage "${description.name}": ${message}`, {
      facts: error.facts,
      cause: error.cause,
      ...(error.hint === undefined ? {} : { hint: error.hint }),
    })
  }
}

/** The storage of that name; SETTING_INVALID when there is none. */
export function findTarget(descriptions: readonly StorageDescription[], name: string): StorageDescription {
  const found = descriptions.find(description => description.name === name)
  if (found !== undefined) return found
  const available = descriptions.map(description => description.name).join(' ')
  throw new WalgError(
    'SETTING_INVALID',
    `failed to init folder for storage "${name}": storage with name "${name}" is not found, available storages: [${available}]`,
    { facts: { storage: name } },
  )
}
