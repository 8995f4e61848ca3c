import { type Clock, systemClock, throwIfCancelled } from '../../kit/clock.ts'
import { hasCode, WalgError } from '../../kit/errors.ts'
import type { Storage } from '../../storage/storage.ts'
import type { OperationContext } from '../context.ts'

export interface TransferContext extends Pick<OperationContext, 'log' | 'signal'> {
  readonly source: Storage
  readonly target: Storage
  /** For tests. */
  readonly clock?: Clock
}

export interface TransferOptions {
  readonly concurrency: number
  /** The first failure ends the command. */
  readonly isFailFast: boolean
  /** Objects that are in both storages are written again, and removed from the source. */
  readonly isOverwriting: boolean
  /** Nothing is removed from the source. */
  readonly isPreserving: boolean
  /** Objects to move at most in this run. */
  readonly filesMax: number
  /** How often the target is asked for an object that was put there; 0: not at all. */
  readonly appearanceChecks: number
  readonly appearanceChecksIntervalMs: number
}

/** An object to move, as the source lists it. */
export interface MovedObject {
  readonly key: string
  readonly sizeBytes: number
  /** In the target already, by an earlier run. */
  readonly isThere: boolean
}

/** Does one thing to many objects, `concurrency` at a time; returns the failures, or throws the first. */
export async function forEachObject(
  { log, signal }: TransferContext,
  objects: readonly MovedObject[],
  options: Pick<TransferOptions, 'concurrency' | 'isFailFast'>,
  run: (object: MovedObject) => Promise<void>,
): Promise<ReadonlySet<string>> {
  const failed = new Set<string>()
  let next = 0
  let first: unknown
  const workers = Array.from({ length: Math.min(options.concurrency, objects.length) }, async () => {
    while (next < objects.length && (first === undefined || !options.isFailFast)) {
      throwIfCancelled(signal)
      const object = objects[next]!
      next += 1
      try {
        await run(object)
      } catch (error) {
        if (signal.aborted) throw error
        first ??= error
        failed.add(object.key)
        if (!options.isFailFast) log.error(error instanceof Error ? error.message : String(error))
      }
    }
  })
  const results = await Promise.allSettled(workers)
  for (const result of results) if (result.status === 'rejected') throw result.reason
  if (options.isFailFast && first !== undefined) throw first
  return failed
}

/** Copies one object and waits until the target shows it. What is there already is only looked for. */
export async function copyAcross(
  context: TransferContext,
  { key, sizeBytes, isThere }: MovedObject,
  options: TransferOptions,
): Promise<void> {
  const { source, target, signal } = context
  if (!isThere) {
    const body = await source.get(key, { signal })
    await target.put(key, body, { signal, expectedSizeBytes: sizeBytes })
  }
  await waitForAppearance(context, key, sizeBytes, options)
}

/** Stores may show a new object only after a while: nothing is removed from the source before. */
async function waitForAppearance(
  { target, signal, clock = systemClock }: TransferContext,
  key: string,
  sizeBytes: number,
  { appearanceChecks, appearanceChecksIntervalMs }: TransferOptions,
): Promise<void> {
  for (let check = 1; check <= appearanceChecks; check++) {
    try {
      const info = await target.stat(key, { signal })
      if (info.sizeBytes === sizeBytes) return
      throw new WalgError(
        'INTEGRITY',
        `"${key}" has ${info.sizeBytes} bytes in storage "${target.name}", ${sizeBytes} were moved there`,
        { facts: { key, storage: target.name }, hint: 'it stays in the source; see who else writes there' },
      )
    } catch (error) {
      if (!hasCode(error, 'OBJECT_NOT_FOUND')) throw error
      if (check < appearanceChecks) await clock.sleep(appearanceChecksIntervalMs, signal)
    }
  }
  if (appearanceChecks === 0) return
  throw new WalgError(
    'STORAGE_UNAVAILABLE',
    `"${key}" was put into storage "${target.name}", but does not appear there`,
    {
      facts: { key, storage: target.name },
      hint: 'it stays in the source; run the command again, or allow more with --appearance-checks',
    },
  )
}

/** The failure of a run in which single objects failed. */
export function finishedWithErrors(count: number): WalgError {
  return new WalgError('STORAGE_UNAVAILABLE', `finished with ${count} errors`, {
    facts: { errors: count },
    hint: 'they are named above; what failed stays in the source, and the same command moves it',
  })
}
