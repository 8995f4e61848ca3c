import type { BackupName } from '../../repository/backup-name.ts'
import { backupPrefix } from '../../repository/layout.ts'
import { forEachOf } from '../../storage/requests/for-each-of.ts'
import { statIfThere } from '../../storage/requests/stat-if-there.ts'
import type { Abortable, Storage } from '../../storage/storage.ts'
import type { OperationContext } from '../context.ts'
import type { ObjectTraits } from './part/new-object.ts'
import type { OwnRecord } from './part/part.ts'

const STATS_AT_ONCE = 8

/** What the steps of one push are given: every object that they put is noted. */
export interface PushContext extends OperationContext {
  readonly own: OwnRecord
}

/** The objects of a backup that lie in the storage, as a push that takes back its own sees them. */
export interface SortedObjects {
  readonly own: readonly string[]
  /** Of another push, or perhaps so: not to be touched. */
  readonly others: readonly string[]
}

/** Which objects of a backup this push has put, or may have. The sentinel is not among them. */
export class OwnObjects implements OwnRecord {
  /** Undefined: a put was begun, and its end has not been told. */
  readonly #objects = new Map<string, ObjectTraits | undefined>()

  begun(key: string): void {
    if (!this.#objects.has(key)) this.#objects.set(key, undefined)
  }

  stored(key: string, traits: ObjectTraits): void {
    this.#objects.set(key, traits)
  }

  has(key: string): boolean {
    return this.#objects.has(key)
  }

  /**
   * Tells its own objects from others: those that are as old and as large as this push has left them. Where nothing points
   * to another push, what was begun is its own as well, so that a put whose answer was lost leaves nothing behind.
   */
  async sort(
    storage: Storage,
    name: BackupName,
    isContested: boolean,
    options: Abortable,
  ): Promise<SortedObjects> {
    const found = await sizesBelow(storage, name, options)
    const own: string[] = []
    const others: string[] = []
    const doubtful: string[] = []
    const known = [...this.#objects].filter(([, traits]) => traits?.modifiedNs !== undefined)
    const untouched = new Set<string>()
    await forEachOf(known, STATS_AT_ONCE, async ([key]) => {
      if (await this.#isUntouched(storage, key, options)) untouched.add(key)
    })
    for (const key of found.keys()) {
      if (untouched.has(key)) own.push(key)
      else if (this.has(key) && this.#objects.get(key)?.modifiedNs === undefined) doubtful.push(key)
      else others.push(key)
    }
    const isAlone = !isContested && others.length === 0 && untouched.size === known.length
    return isAlone
      ? { own: [...own, ...doubtful].sort(), others: [] }
      : { own: own.sort(), others: [...others, ...doubtful].sort() }
  }

  async #isUntouched(storage: Storage, key: string, options: Abortable): Promise<boolean> {
    const traits = this.#objects.get(key)
    if (traits?.modifiedNs === undefined) return false
    const info = await statIfThere(storage, key, options)
    return info?.sizeBytes === traits.sizeBytes && info.modifiedNs === traits.modifiedNs
  }
}

/** Sizes of everything below a backup's prefix. */
export async function sizesBelow(
  storage: Storage,
  name: BackupName,
  options: Abortable,
): Promise<Map<string, number>> {
  const sizes = new Map<string, number>()
  for await (const entry of storage.list(backupPrefix(name), { ...options, recursive: true })) {
    if (entry.kind === 'object') sizes.set(entry.key, entry.sizeBytes)
  }
  return sizes
}
