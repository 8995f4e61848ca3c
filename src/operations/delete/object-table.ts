import type { StoredObject, StoredObjects } from './stored-object.ts'

/** Deeper keys than this are sorted by name alone. */
const DEPTH_MAX = 255
const PAGE_ROWS = 1 << 15
const FOLDER_OTHER = 0xffff
const KEY_BYTES_EXPECTED = 48

/** Rows of one page: keys as UTF-8 one behind the other, the rest in columns. */
interface Page {
  keys: Buffer
  /** Where each key ends. */
  readonly ends: Uint32Array
  readonly sizes: Float64Array
  readonly times: BigInt64Array
  readonly depths: Uint8Array
  /** Number of the folder directly below the root. */
  readonly folders: Uint16Array
}

/** Objects of a repository in columns: a million of them in about 70 MiB instead of 500. */
export class ObjectTable implements StoredObjects {
  readonly #pages: Page[] = []
  readonly #depths: { count: number; lastKey: string; isInOrder: boolean }[] = []
  #count = 0
  readonly #folders = new Map<string, number>()
  #order: Uint32Array | undefined

  get length(): number {
    return this.#count
  }

  add({ key, sizeBytes, modifiedNs }: StoredObject): void {
    const at = this.#count % PAGE_ROWS
    if (at === 0) this.#pages.push(openPage())
    const page = this.#pages.at(-1)!
    const from = at === 0 ? 0 : page.ends[at - 1]!
    if (page.keys.length - from < 3 * key.length) page.keys = enlarged(page.keys, from + 3 * key.length)
    page.ends[at] = from + page.keys.write(key, from)
    page.sizes[at] = sizeBytes
    page.times[at] = modifiedNs
    page.depths[at] = this.#noteDepth(key)
    page.folders[at] = this.#noteFolder(key)
    this.#count += 1
  }

  /** The object at a place of the order; a new one with every call. */
  at(place: number): StoredObject | undefined {
    if (place < 0 || place >= this.#count) return undefined
    const row = this.#order?.[place] ?? place
    return new Row(this.#pages[Math.floor(row / PAGE_ROWS)]!, row % PAGE_ROWS)
  }

  *[Symbol.iterator](): Generator<StoredObject> {
    for (let place = 0; place < this.#count; place += 1) yield this.at(place)!
  }

  *below(folder: string): Generator<StoredObject> {
    const number = this.#folders.get(folder)
    if (number === undefined && this.#folders.size < FOLDER_OTHER) return
    for (let row = 0; row < this.#count; row += 1) {
      const page = this.#pages[Math.floor(row / PAGE_ROWS)]!
      if (page.folders[row % PAGE_ROWS] === (number ?? FOLDER_OTHER)) yield new Row(page, row % PAGE_ROWS)
    }
  }

  /** Folders of one depth after the other, their names in order: as the original walks a storage. */
  sortAsListed(): void {
    const order = new Uint32Array(this.#count)
    let place = 0
    for (const [depth, { count, isInOrder }] of this.#depths.entries()) {
      const rows = order.subarray(place, place + count)
      let at = 0
      for (let row = 0; row < this.#count; row += 1) {
        if (this.#pages[Math.floor(row / PAGE_ROWS)]!.depths[row % PAGE_ROWS] === depth) rows[at++] = row
      }
      // Listings mostly come in order: then no key is touched again.
      if (!isInOrder) rows.sort((left, right) => this.#compare(left, right))
      place += count
    }
    this.#order = order
  }

  #noteDepth(key: string): number {
    let depth = 0
    for (let at = key.indexOf('/'); at >= 0; at = key.indexOf('/', at + 1)) depth += 1
    depth = Math.min(depth, DEPTH_MAX)
    while (this.#depths.length <= depth) this.#depths.push({ count: 0, lastKey: '', isInOrder: true })
    const known = this.#depths[depth]!
    known.count += 1
    known.isInOrder &&= known.lastKey < key && depth < DEPTH_MAX
    known.lastKey = key
    return depth
  }

  /** Folders beyond the number of the column share its last one, and with it nothing that is asked for. */
  #noteFolder(key: string): number {
    const end = key.indexOf('/')
    if (end < 0) return FOLDER_OTHER
    const folder = key.slice(0, end)
    const known = this.#folders.get(folder)
    if (known !== undefined) return known
    if (this.#folders.size >= FOLDER_OTHER) return FOLDER_OTHER
    this.#folders.set(folder, this.#folders.size)
    return this.#folders.size - 1
  }

  #compare(left: number, right: number): number {
    const [one, other] = [this.#key(left), this.#key(right)]
    return one < other ? -1 : one > other ? 1 : 0
  }

  #key(row: number): string {
    return keyAt(this.#pages[Math.floor(row / PAGE_ROWS)]!, row % PAGE_ROWS)
  }
}

/** What nobody asks for is not made: a time as a bigint costs as much as a key. */
class Row implements StoredObject {
  readonly #page: Page
  readonly #at: number
  readonly key: string

  constructor(page: Page, at: number) {
    this.#page = page
    this.#at = at
    this.key = keyAt(page, at)
  }

  get sizeBytes(): number {
    return this.#page.sizes[this.#at]!
  }

  get modifiedNs(): bigint {
    return this.#page.times[this.#at]!
  }
}

function keyAt({ keys, ends }: Page, at: number): string {
  return keys.toString('utf8', at === 0 ? 0 : ends[at - 1]!, ends[at]!)
}

function openPage(): Page {
  return {
    keys: Buffer.allocUnsafeSlow(PAGE_ROWS * KEY_BYTES_EXPECTED),
    ends: new Uint32Array(PAGE_ROWS),
    sizes: new Float64Array(PAGE_ROWS),
    times: new BigInt64Array(PAGE_ROWS),
    depths: new Uint8Array(PAGE_ROWS),
    folders: new Uint16Array(PAGE_ROWS),
  }
}

function enlarged(keys: Buffer, bytesMin: number): Buffer {
  const larger = Buffer.allocUnsafeSlow(Math.max(bytesMin, 2 * keys.length))
  larger.set(keys)
  return larger
}
