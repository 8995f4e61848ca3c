import fs from 'node:fs'
import { errnoOf, fromSystemError, WalgError } from '../../../kit/errors.ts'
import { hashBytes } from '../../../kit/hash.ts'
import { askLockHolder, takeProcessLock } from '../../../postgres/server/process-lock.ts'
import { inspectDestination, resolveDestination } from './destination.ts'

/**
 * The directories that this fetch alone writes into, of all on this host: two in one directory would make a mixture of it
 * that the one that ends first calls whole. Goes with the process, however that ends.
 */
export class TargetLocks implements AsyncDisposable {
  readonly #locks = new Map<string, AsyncDisposable>()

  /** Of a directory that need not exist yet, by its path and what it is. Throws CLUSTER_STATE. */
  async take(directory: string): Promise<void> {
    const resolved = resolveDestination(directory)
    await this.#take(`path ${resolved}`, resolved)
    const identity = identityOf(resolved)
    if (identity !== undefined) await this.#take(identity, resolved)
  }

  /** Once the directory is made: until then two that know it by different paths (another mount) do not meet. */
  async takeMade(root: string): Promise<void> {
    const identity = identityOf(root)!
    if (this.#locks.has(identity)) return
    await this.#take(identity, root)
    inspectDestination(root, false) // the other one may have come and gone
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const lock of this.#locks.values()) await lock[Symbol.asyncDispose]()
    this.#locks.clear()
  }

  async #take(what: string, directory: string): Promise<void> {
    if (this.#locks.has(what)) return
    const name = `fetch ${hashBytes(Buffer.from(what))}`
    const lock = await takeProcessLock(name)
    if (lock === undefined) throw await inUse(name, directory)
    this.#locks.set(what, lock)
  }
}

/** The same whichever mount or path leads there; undefined where nothing is. */
function identityOf(directory: string): string | undefined {
  try {
    const stats = fs.statSync(directory, { bigint: true, throwIfNoEntry: false })
    return stats === undefined ? undefined : `inode ${stats.dev}:${stats.ino}`
  } catch (error) {
    if (errnoOf(error) === 'ENOTDIR') return undefined
    throw fromSystemError(error, 'look at', directory)
  }
}

async function inUse(name: string, directory: string): Promise<WalgError> {
  const holder = await askLockHolder(name)
  const who = holder === undefined ? '' : ` (process ${holder.pid} on ${holder.host}, since ${holder.since})`
  return new WalgError('CLUSTER_STATE', `another fetch is writing into "${directory}"${who}`, {
    facts: { path: directory, ...holder },
    hint: 'wait until it has ended, or end it and repeat this command with --resume: what is complete is not read again',
  })
}
