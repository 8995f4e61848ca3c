/**
 * The members of the backup that is restored, as columns in shared memory: every part worker looks names up in the
 * same table. About 60 bytes for a name of 30, with the hash that the content manifest wants.
 */

/** Plain data that crosses threads. */
export interface MemberTableData {
  readonly count: number
  readonly names: SharedArrayBuffer
  /** Ends of the names, after a leading 0. */
  readonly ends: SharedArrayBuffer
  readonly slots: SharedArrayBuffer
}

/** Names by row, without a string or view for each. */
export interface RowNames {
  readonly bytes: Uint8Array
  nameBegin(row: number): number
}

const EMPTY = -1
const SLASH = 0x2f
const DOT = 0x2e
const encoder = new TextEncoder()
const decoder = new TextDecoder()

/** One form for `/base/1`, `base/1`, `./base/1` and `base/1/`: without slash at either end; `''` is the root. */
export function canonicalName(name: string): string {
  let begin = 0
  let end = name.length
  for (;;) {
    if (name[begin] === '/') begin++
    else if (name[begin] === '.' && (name[begin + 1] === '/' || begin + 1 === end)) begin++
    else break
  }
  while (end > begin && name[end - 1] === '/') end--
  const cut = name.slice(begin, end)
  return cut.includes('//') || cut.includes('/./') || cut.endsWith('/.')
    ? cut
        .split('/')
        .filter(part => part !== '' && part !== '.')
        .join('/')
    : cut
}

export class MemberTable implements RowNames {
  #count = 0
  #names: Uint8Array<SharedArrayBuffer>
  #ends: Uint32Array<SharedArrayBuffer>
  #slots: Int32Array<SharedArrayBuffer>
  #scratch: Uint8Array = new Uint8Array(1024)

  constructor(data?: MemberTableData) {
    this.#count = data?.count ?? 0
    this.#names = new Uint8Array(data?.names ?? new SharedArrayBuffer(1024))
    this.#ends = new Uint32Array(data?.ends ?? new SharedArrayBuffer(17 * 4))
    this.#slots = new Int32Array(data?.slots ?? new SharedArrayBuffer(32 * 4))
    if (data === undefined) this.#slots.fill(EMPTY)
  }

  get count(): number {
    return this.#count
  }

  /** The table as it is now; other threads do not see what is added later. */
  get data(): MemberTableData {
    return {
      count: this.#count,
      names: this.#names.buffer,
      ends: this.#ends.buffer,
      slots: this.#slots.buffer,
    }
  }

  /** Row of a canonical name, added when it is new. */
  add(name: string): number {
    return this.#addBytes(this.#encode(name))
  }

  #addBytes(bytes: Uint8Array): number {
    const slot = this.#slotOf(bytes)
    if (this.#slots[slot] !== EMPTY) return this.#slots[slot]!
    const row = this.#count
    const begin = this.#ends[row]!
    this.#reserve(row, begin + bytes.length)
    this.#names.set(bytes, begin)
    this.#ends[row + 1] = begin + bytes.length
    this.#slots[slot] = row
    this.#count = row + 1
    if (2 * this.#count > this.#slots.length) this.#rehash()
    return row
  }

  /** Row of a canonical name, or -1. */
  find(name: string): number {
    return this.#slots[this.#slotOf(this.#encode(name))]!
  }

  /** Row of any form of a name, given as UTF-8 in `bytes[from … to)`; -1, or added when `isAdded`. */
  findSlice(bytes: Uint8Array, from: number, to: number, isAdded = false): number {
    const begin = from < to && bytes[from] === SLASH ? from + 1 : from
    if (!isCanonical(bytes, begin, to)) {
      const name = canonicalName(decoder.decode(bytes.subarray(from, to)))
      return isAdded ? this.add(name) : this.find(name)
    }
    const name = bytes.subarray(begin, to)
    return isAdded ? this.#addBytes(name) : this.#slots[this.#slotOf(name)]!
  }

  name(row: number): string {
    // a decoder takes no view of shared memory
    return decoder.decode(this.#names.slice(this.#ends[row]!, this.#ends[row + 1]!))
  }

  /** All names as UTF-8: the one of a row lies in `bytes[nameBegin(row) … nameBegin(row + 1))`. */
  get bytes(): Uint8Array {
    return this.#names
  }

  nameBegin(row: number): number {
    return this.#ends[row]!
  }

  #encode(name: string): Uint8Array {
    if (3 * name.length > this.#scratch.length) this.#scratch = new Uint8Array(4 * name.length)
    return this.#scratch.subarray(0, encoder.encodeInto(name, this.#scratch).written)
  }

  #slotOf(name: Uint8Array): number {
    const mask = this.#slots.length - 1
    for (let slot = hash(name, 0, name.length) & mask; ; slot = (slot + 1) & mask) {
      const row = this.#slots[slot]!
      if (row === EMPTY || this.#isName(row, name)) return slot
    }
  }

  #isName(row: number, name: Uint8Array): boolean {
    const begin = this.#ends[row]!
    if (this.#ends[row + 1]! - begin !== name.length) return false
    for (let at = 0; at < name.length; at++) if (this.#names[begin + at] !== name[at]) return false
    return true
  }

  #reserve(row: number, namesBytes: number): void {
    if (row + 2 > this.#ends.length) {
      const ends = new Uint32Array(new SharedArrayBuffer(this.#ends.length * 8))
      ends.set(this.#ends)
      this.#ends = ends
    }
    if (namesBytes > this.#names.length) {
      const names = new Uint8Array(new SharedArrayBuffer(Math.max(namesBytes, this.#names.length * 2)))
      names.set(this.#names)
      this.#names = names
    }
  }

  #rehash(): void {
    this.#slots = new Int32Array(new SharedArrayBuffer(this.#slots.length * 8)).fill(EMPTY)
    const mask = this.#slots.length - 1
    for (let row = 0; row < this.#count; row++) {
      let slot = hash(this.#names, this.#ends[row]!, this.#ends[row + 1]!) & mask
      while (this.#slots[slot] !== EMPTY) slot = (slot + 1) & mask
      this.#slots[slot] = row
    }
  }
}

/** No empty, `.` or final component, no slash at either end. */
function isCanonical(bytes: Uint8Array, begin: number, end: number): boolean {
  let previous = SLASH
  for (let at = begin; at < end; at++) {
    const byte = bytes[at]!
    if (previous === SLASH && (byte === SLASH || byte === DOT)) return false
    previous = byte
  }
  return begin === end || previous !== SLASH
}

/** FNV-1a, mixed once more so that the low bits are good. */
function hash(bytes: Uint8Array, begin: number, end: number): number {
  let value = 0x811c9dc5
  for (let at = begin; at < end; at++) value = Math.imul(value ^ bytes[at]!, 0x01000193)
  value ^= value >>> 15
  value = Math.imul(value, 0x2c1b3c6d)
  return (value ^ (value >>> 13)) >>> 0
}
