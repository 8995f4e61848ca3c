import type { StoredObject, StoredObjects } from './stored-object.ts'

export interface PlannedObject extends StoredObject {
  readonly why: string
}

/** What a plan removes, as places in the inventory and numbers of reasons. */
export class PlannedObjects implements Iterable<PlannedObject> {
  readonly #objects: StoredObjects
  readonly #reasons: string[] = []
  readonly #reasonNumbers = new Map<string, number>()
  #places: Uint32Array = new Uint32Array(1024)
  #whys: Uint16Array = new Uint16Array(1024)
  #count = 0

  constructor(objects: StoredObjects) {
    this.#objects = objects
  }

  get length(): number {
    return this.#count
  }

  /** `place` of the object in the inventory. */
  add(place: number, why: string): void {
    if (this.#count === this.#places.length) this.#grow()
    let number = this.#reasonNumbers.get(why)
    if (number === undefined) {
      number = this.#reasons.push(why) - 1
      this.#reasonNumbers.set(why, number)
    }
    this.#places[this.#count] = place
    this.#whys[this.#count] = number
    this.#count += 1
  }

  *[Symbol.iterator](): Generator<PlannedObject> {
    for (let at = 0; at < this.#count; at += 1) {
      const { key, sizeBytes, modifiedNs, storageName } = this.#objects.at(this.#places[at]!)!
      const why = this.#reasons[this.#whys[at]!]!
      yield { key, sizeBytes, modifiedNs, why, ...(storageName === undefined ? {} : { storageName }) }
    }
  }

  #grow(): void {
    const [places, whys] = [this.#places, this.#whys]
    this.#places = new Uint32Array(2 * places.length)
    this.#whys = new Uint16Array(2 * whys.length)
    this.#places.set(places)
    this.#whys.set(whys)
  }
}
