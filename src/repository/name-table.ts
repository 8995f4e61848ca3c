import { WalgError } from '../kit/errors.ts'

const PAGE_BYTES = 1 << 20
const EMPTY = -1

/**
 * Member names as UTF-8 bytes in pages, found by hash: about 45 bytes per name of 30, where a Map of strings
 * takes 190. Index = order of adding.
 */
export class NameTable {
  readonly #pages: Uint8Array[] = []
  #pageUsed: number = PAGE_BYTES + 1
  #pageOf: Uint32Array = new Uint32Array(16)
  #offsetOf: Uint32Array = new Uint32Array(16)
  #lengthOf: Uint32Array = new Uint32Array(16)
  #slots: Int32Array = new Int32Array(32).fill(EMPTY)
  #count = 0
  readonly #encoder = new TextEncoder()
  readonly #decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
  #scratch: Uint8Array = new Uint8Array(4096)

  get count(): number {
    return this.#count
  }

  /** Index of the name, added when it is new. Throws FORMAT_INVALID for text that is not well-formed Unicode. */
  add(name: string): number {
    if (!name.isWellFormed()) {
      throw new WalgError('FORMAT_INVALID', `file name ${JSON.stringify(name)} is not valid UTF-8`)
    }
    const length = this.#encode(name) // may replace the scratch
    return this.#add(this.#scratch, 0, length)
  }

  /** The same for UTF-8 bytes (copied), which are not checked again. */
  addBytes(name: Uint8Array): number {
    return this.#add(name, 0, name.length)
  }

  /** The same for the UTF-8 of `bytes[from … to)`. */
  addSlice(bytes: Uint8Array, from: number, to: number): number {
    return this.#add(bytes, from, to - from)
  }

  /** Index of the name, or -1. */
  find(name: string): number {
    const length = this.#encode(name)
    return this.#slots[this.#slotOf(this.#scratch, 0, length)]!
  }

  findBytes(name: Uint8Array): number {
    return this.#slots[this.#slotOf(name, 0, name.length)]!
  }

  /** The same for the UTF-8 of `bytes[from … to)`. */
  findSlice(bytes: Uint8Array, from: number, to: number): number {
    return this.#slots[this.#slotOf(bytes, from, to - from)]!
  }

  /** The name as text. */
  at(index: number): string {
    return this.#decoder.decode(this.bytesAt(index))
  }

  /** The name as bytes, lent. */
  bytesAt(index: number): Uint8Array {
    const offset = this.#offsetOf[index]!
    return this.#pages[this.#pageOf[index]!]!.subarray(offset, offset + this.#lengthOf[index]!)
  }

  /** Leaves the name at the beginning of the scratch; returns its length. No view is made: there are millions of names. */
  #encode(name: string): number {
    if (3 * name.length > this.#scratch.length) this.#scratch = new Uint8Array(4 * name.length)
    return this.#encoder.encodeInto(name, this.#scratch).written
  }

  #add(bytes: Uint8Array, from: number, length: number): number {
    const slot = this.#slotOf(bytes, from, length)
    const found = this.#slots[slot]!
    if (found !== EMPTY) return found
    const index = this.#count
    this.#store(index, bytes, from, length)
    this.#slots[slot] = index
    this.#count = index + 1
    if (2 * this.#count > this.#slots.length) this.#rehash()
    return index
  }

  #store(index: number, bytes: Uint8Array, from: number, length: number): void {
    if (index === this.#lengthOf.length) {
      this.#pageOf = grown(this.#pageOf)
      this.#offsetOf = grown(this.#offsetOf)
      this.#lengthOf = grown(this.#lengthOf)
    }
    if (this.#pageUsed + length > PAGE_BYTES) {
      this.#pages.push(new Uint8Array(Math.max(PAGE_BYTES, length)))
      this.#pageUsed = 0
    }
    const page = this.#pages.at(-1)!
    for (let at = 0; at < length; at += 1) page[this.#pageUsed + at] = bytes[from + at]!
    this.#pageOf[index] = this.#pages.length - 1
    this.#offsetOf[index] = this.#pageUsed
    this.#lengthOf[index] = length
    this.#pageUsed += length
  }

  /** The slot that holds the name, or the empty one where it belongs. */
  #slotOf(bytes: Uint8Array, from: number, length: number): number {
    const mask = this.#slots.length - 1
    for (let slot = hash(bytes, from, length) & mask; ; slot = (slot + 1) & mask) {
      const index = this.#slots[slot]!
      if (index === EMPTY || this.#isName(index, bytes, from, length)) return slot
    }
  }

  #isName(index: number, bytes: Uint8Array, from: number, length: number): boolean {
    if (this.#lengthOf[index] !== length) return false
    const page = this.#pages[this.#pageOf[index]!]!
    const offset = this.#offsetOf[index]!
    for (let at = 0; at < length; at += 1) if (page[offset + at] !== bytes[from + at]) return false
    return true
  }

  #rehash(): void {
    this.#slots = new Int32Array(2 * this.#slots.length).fill(EMPTY)
    const mask = this.#slots.length - 1
    for (let index = 0; index < this.#count; index += 1) {
      const page = this.#pages[this.#pageOf[index]!]!
      let slot = hash(page, this.#offsetOf[index]!, this.#lengthOf[index]!) & mask
      while (this.#slots[slot] !== EMPTY) slot = (slot + 1) & mask
      this.#slots[slot] = index
    }
  }
}

/** A typed array of twice the length with the same beginning. */
export function grown<
  T extends Uint8Array | Int16Array | Uint32Array | Int32Array | Float64Array | BigUint64Array,
>(column: T): T {
  const larger = new (column.constructor as new (length: number) => T)(2 * column.length)
  larger.set(column as never)
  return larger
}

/** FNV-1a, mixed once more so that the low bits are good. */
function hash(bytes: Uint8Array, offset: number, length: number): number {
  let value = 0x811c9dc5
  for (let at = offset; at < offset + length; at += 1) value = Math.imul(value ^ bytes[at]!, 0x01000193)
  value ^= value >>> 15
  value = Math.imul(value, 0x2c1b3c6d)
  return (value ^ (value >>> 13)) >>> 0
}
