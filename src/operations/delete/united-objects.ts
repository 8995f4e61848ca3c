import type { StoredObject, StoredObjects } from './stored-object.ts'
/** The objects of one storage, in the order of the original's log. */
export interface StorageObjects {
  readonly storageName: string
  readonly objects: StoredObjects
}

/**
 * The objects of several storages as one list: folders of one depth after the other, in each the objects of one storage
 * after the other, as the original has them.
 */
export class UnitedObjects implements StoredObjects {
  readonly #parts: readonly StorageObjects[]
  /** Of each place: which part, and the place there. */
  readonly #sources: Uint8Array
  readonly #places: Uint32Array

  constructor(parts: readonly StorageObjects[]) {
    this.#parts = parts
    const count = parts.reduce((sum, { objects }) => sum + objects.length, 0)
    this.#sources = new Uint8Array(count)
    this.#places = new Uint32Array(count)
    const heads = parts.map(({ objects }) => headOf(objects, 0))
    for (let place = 0; place < count; place += 1) {
      const source = firstOf(heads)
      const head = heads[source]!
      this.#sources[place] = source
      this.#places[place] = head.place
      heads[source] = headOf(parts[source]!.objects, head.place + 1)
    }
  }

  get length(): number {
    return this.#places.length
  }

  at(place: number): StoredObject | undefined {
    const source = this.#sources[place]
    if (source === undefined) return undefined
    const { objects, storageName } = this.#parts[source]!
    const object = objects.at(this.#places[place]!)
    return object === undefined ? undefined : new PlacedObject(object, storageName)
  }

  *[Symbol.iterator](): Generator<StoredObject> {
    for (let place = 0; place < this.length; place += 1) yield this.at(place)!
  }

  *below(folder: string): Generator<StoredObject> {
    for (const { objects, storageName } of this.#parts) {
      const begin = `${folder}/`
      for (const object of objects.below?.(folder) ?? objects) {
        if (object.key.startsWith(begin)) yield new PlacedObject(object, storageName)
      }
    }
  }
}

/** What nobody asks for is not made: see `object-table.ts`. */
class PlacedObject implements StoredObject {
  readonly #object: StoredObject
  readonly storageName: string

  constructor(object: StoredObject, storageName: string) {
    this.#object = object
    this.storageName = storageName
  }

  get key(): string {
    return this.#object.key
  }

  get sizeBytes(): number {
    return this.#object.sizeBytes
  }

  get modifiedNs(): bigint {
    return this.#object.modifiedNs
  }
}

/** The next object of a part; `depth` Infinity at its end. */
interface Head {
  readonly place: number
  readonly depth: number
  readonly folder: string
}

function headOf(objects: StoredObjects, place: number): Head {
  const key = objects.at(place)?.key
  if (key === undefined) return { place, depth: Number.POSITIVE_INFINITY, folder: '' }
  return { place, depth: key.split('/').length, folder: key.slice(0, key.lastIndexOf('/') + 1) }
}

/** Of equal folders that of the storage in front. */
function firstOf(heads: readonly Head[]): number {
  let first = 0
  for (const [at, head] of heads.entries()) {
    const best = heads[first]!
    const isBefore = head.depth !== best.depth ? head.depth < best.depth : head.folder < best.folder
    if (isBefore) first = at
  }
  return first
}
