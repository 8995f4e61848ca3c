import fs from 'node:fs'
import path from 'node:path'
import { errnoOf, fromSystemError, WalgError } from '../../../kit/errors.ts'
import { hashBytes } from '../../../kit/hash.ts'
import { askLockHolder, isProcessLockTaken, takeProcessLock } from '../../../postgres/server/process-lock.ts'
import { inspectDestination, resolveDestination } from './destination.ts'

/**
 * The directories that this fetch alone writes into, of all on this host: two in one directory would make a mixture of it
 * that the one that ends first calls whole. Goes with the process, however that ends.
 */
export class TargetLocks implements AsyncDisposable {
  readonly #locks = new Map<string, AsyncDisposable>()

  /** Of a directory that need not exist yet, by its path and what it is; none above it may be another's. Throws CLUSTER_STATE. */
  async take(directory: string): Promise<void> {
    const resolved = resolveDestination(directory)
    await this.#take(`path ${resolved}`, resolved)
    const identity = identityOf(resolved)
    if (identity !== undefined) await this.#take(identity, resolved)
    await this.#assertFreeAbove(resolved)
  }

  /**
   * Once the directory is made: until then two that know it by different paths (another mount) do not meet. Whoever comes to one
   * above it from now on finds that one not empty; whoever came before is met here.
   */
  async takeMade(root: string): Promise<void> {
    const identity = identityOf(root)!
    if (!this.#locks.has(identity)) {
      await this.#take(identity, root)
      inspectDestination(root, false) // the other one may have come and gone
    }
    await this.#assertFreeAbove(root)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const lock of this.#locks.values()) await lock[Symbol.asyncDispose]()
    this.#locks.clear()
  }

  async #take(what: string, directory: string): Promise<void> {
    if (this.#locks.has(what)) return
    const name = lockName(what)
    const lock = await takeProcessLock(name)
    if (lock === undefined) throw await inUse(name, directory)
    this.#locks.set(what, lock)
  }

  async #assertFreeAbove(directory: string): Promise<void> {
    for (let inner = directory, outer = path.dirname(inner); outer !== inner; outer = path.dirname(inner)) {
      for (const what of [`path ${outer}`, identityOf(outer)]) {
        if (what === undefined || this.#locks.has(what)) continue
        const name = lockName(what)
        if (await isProcessLockTaken(name)) throw await inUse(name, outer, directory)
      }
      inner = outer
    }
  }
}

function lockName(what: string): string {
  return `fetch ${hashBytes(Buffer.from(what))}`
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

/** `wanted`: what lies in the directory, if it is not this one. */
async function inUse(name: string, directory: string, wanted?: string): Promise<WalgError> {
  const holder = await askLockHolder(name)
  const who = holder === undefined ? '' : ` (process ${holder.pid} on ${holder.host}, since ${holder.since})`
  const within = wanted === undefined ? '' : `, which "${wanted}" lies in`
  return new WalgError('CLUSTER_STATE', `another fetch is writing into "${directory}"${who}${within}`, {
    facts: { path: directory, ...holder },
    hint:
      wanted !== undefined
        ? 'wait until it has ended, or name a directory elsewhere'
        : 'wait until it has ended, or end it and repeat this command with --resume: what is complete is not read again',
  })
}
