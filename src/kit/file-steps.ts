import { throwIfCancelled } from './clock.ts'
import { errnoOf } from './errors.ts'
import type { FileCallName, FileCalls, FileSystem } from './file-system.ts'

/**
 * A sequence of system calls, written once, run blocking (in a worker's loop) or pooled (where a hung call
 * must not hang the thread): the order of fsync and rename is too important to be written twice.
 */
export type FileSteps<T> = Generator<FileRequest, T, unknown>

export interface FileRequest {
  readonly name: FileCallName
  readonly args: readonly unknown[]
}

/** Tries after EINTR, before the error is believed. */
const INTERRUPTIONS_MAX = 100

/** Calls that give something back: never skipped because the work was cancelled. */
const RELEASING: ReadonlySet<FileCallName> = new Set<FileCallName>(['close', 'unlink', 'rmdir'])

/** One system call as a step. */
export function* call<K extends FileCallName>(
  name: K,
  ...args: Parameters<FileCalls[K]>
): FileSteps<ReturnType<FileCalls[K]>> {
  for (let interruptions = 0; ; interruptions++) {
    try {
      return (yield { name, args }) as ReturnType<FileCalls[K]>
    } catch (error) {
      // Linux has closed the descriptor even when close says EINTR.
      if (errnoOf(error) !== 'EINTR' || interruptions >= INTERRUPTIONS_MAX) throw error
      if (name === 'close') return undefined as ReturnType<FileCalls[K]>
    }
  }
}

/** Runs the steps in this thread. */
export function runBlocking<T>(system: FileSystem, steps: FileSteps<T>): T {
  let next = steps.next()
  while (next.done !== true) {
    const request = next.value
    let value: unknown
    try {
      value = (system.blocking[request.name] as (...args: unknown[]) => unknown)(...request.args)
    } catch (error) {
      next = steps.throw(error)
      continue
    }
    next = steps.next(value)
  }
  return next.value
}

/**
 * Runs the steps on the thread pool. An abort is seen between two calls, thrown into the steps once, and lets
 * them clean up undisturbed.
 */
export async function runPooled<T>(
  system: FileSystem,
  steps: FileSteps<T>,
  signal?: AbortSignal,
): Promise<T> {
  let watched = signal
  let next = steps.next()
  while (next.done !== true) {
    const request = next.value
    let value: unknown
    try {
      if (watched?.aborted === true && !RELEASING.has(request.name)) {
        watched = undefined
        throwIfCancelled(signal)
      }
      value = await (system.pooled[request.name] as (...args: unknown[]) => Promise<unknown>)(...request.args)
    } catch (error) {
      next = steps.throw(error)
      continue
    }
    next = steps.next(value)
  }
  return next.value
}

/** Runs the steps and forgets a failure with one of `errnos`: the value is then undefined. */
export function* unless<T>(errnos: readonly string[], steps: FileSteps<T>): FileSteps<T | undefined> {
  try {
    return yield* steps
  } catch (error) {
    const errno = errnoOf(error)
    if (errno !== undefined && errnos.includes(errno)) return undefined
    throw error
  }
}
