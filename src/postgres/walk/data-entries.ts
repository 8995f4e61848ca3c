export type EntryKind = 'file' | 'directory'

/** One thing that becomes a tar member. */
export interface DataEntry {
  /** Where to read it. */
  readonly path: string
  /** Its name in tars and in `Files`: a leading slash, none at the end; the data directory itself is `/`. */
  readonly memberName: string
  readonly kind: EntryKind
  /** 0 for directories. */
  readonly sizeBytes: number
  /** Permission bits with setuid, setgid and sticky. */
  readonly mode: number
  readonly uid: number
  readonly gid: number
  /** Taken during the walk, before any content is read. */
  readonly mtimeNs: bigint
  /** When content, name or attributes last changed: nobody can set it back. */
  readonly ctimeNs: bigint
}

/**
 * The entries of a data directory as columns: a million files take about 60 MB instead of half a gigabyte. Names are
 * made anew each time they are asked for.
 */
export interface DataEntries {
  readonly count: number
  /** The directories that entries are in. */
  readonly places: readonly EntryPlace[]
  /** Index in `places` of the directory that an entry is in. */
  placeOf(index: number): number
  /** Empty for the data directory itself. */
  baseName(index: number): string
  /** The decimal number that the name begins with (of a relation's file: its file node), 0 without one. */
  fileNumber(index: number): number
  /** Writes the member name as UTF-8 into `into`, which must have room; returns its length. No string is made. */
  writeMemberName(index: number, into: Uint8Array): number
  /** Bytes that hold any member name. */
  readonly memberNameBytesMax: number
  /** Whether the base name ends in these bytes, without making a string of it. */
  endsIn(index: number, ending: Uint8Array): boolean
  at(index: number): DataEntry
  path(index: number): string
  memberName(index: number): string
  isDirectory(index: number): boolean
  sizeBytes(index: number): number
  mode(index: number): number
  uid(index: number): number
  gid(index: number): number
  mtimeNs(index: number): bigint
  ctimeNs(index: number): bigint
}

/** A directory on disk and the member name of what is in it; the data directory itself has an empty name. */
export interface EntryPlace {
  readonly path: string
  readonly member: string
}

const ROWS_MIN = 1024
const NAME_BYTES_MIN = 16_384
/** A character of JavaScript takes at most this many bytes in UTF-8. */
const UTF8_BYTES_MAX = 3
const DIGIT_ZERO = 0x30
/** File nodes have 32 bits. */
const FILE_NUMBER_MAX = 0xffffffff
const encoder = new TextEncoder()

/** Collects entries: names as bytes one after the other, everything else in typed columns. */
export class DataEntryColumns implements DataEntries {
  count = 0
  readonly places: EntryPlace[] = []
  /** The place whose name was written last, and that name with its slash. */
  #writtenPlace = -1
  #writtenName: Uint8Array = new Uint8Array(0)
  #placeBytesMax = 0
  #nameBytesMax = 0
  #names: Buffer = Buffer.alloc(NAME_BYTES_MIN)
  #nameEnds: Uint32Array = new Uint32Array(ROWS_MIN)
  #placeOf: Uint32Array = new Uint32Array(ROWS_MIN)
  #sizes: Float64Array = new Float64Array(ROWS_MIN)
  #times: BigInt64Array = new BigInt64Array(ROWS_MIN)
  #changeTimes: BigInt64Array = new BigInt64Array(ROWS_MIN)
  #modes: Uint16Array = new Uint16Array(ROWS_MIN)
  #uids: Uint32Array = new Uint32Array(ROWS_MIN)
  #gids: Uint32Array = new Uint32Array(ROWS_MIN)
  #directories: Uint8Array = new Uint8Array(ROWS_MIN)

  /** Registers a directory that entries are in; gives the number that `add` takes. */
  addPlace(path: string, member: string): number {
    this.#placeBytesMax = Math.max(this.#placeBytesMax, member.length * UTF8_BYTES_MAX)
    return this.places.push({ path, member }) - 1
  }

  /** `baseName` is empty for the data directory itself. */
  add(place: number, baseName: string, entry: Omit<DataEntry, 'path' | 'memberName'>): void {
    const index = this.count
    if (index === this.#sizes.length) this.#growRows()
    this.#nameEnds[index] = this.#addName(baseName)
    this.#placeOf[index] = place
    this.#sizes[index] = entry.sizeBytes
    this.#times[index] = entry.mtimeNs
    this.#changeTimes[index] = entry.ctimeNs
    this.#modes[index] = entry.mode
    this.#uids[index] = entry.uid
    this.#gids[index] = entry.gid
    this.#directories[index] = entry.kind === 'directory' ? 1 : 0
    this.count = index + 1
  }

  at(index: number): DataEntry {
    return {
      path: this.path(index),
      memberName: this.memberName(index),
      kind: this.isDirectory(index) ? 'directory' : 'file',
      sizeBytes: this.sizeBytes(index),
      mode: this.mode(index),
      uid: this.uid(index),
      gid: this.gid(index),
      mtimeNs: this.mtimeNs(index),
      ctimeNs: this.ctimeNs(index),
    }
  }

  path(index: number): string {
    const baseName = this.baseName(index)
    const { path } = this.#place(index)
    return baseName === '' ? path : `${path}/${baseName}`
  }

  memberName(index: number): string {
    return `${this.#place(index).member}/${this.baseName(index)}`
  }

  placeOf(index: number): number {
    return this.#placeOf[index]!
  }

  isDirectory(index: number): boolean {
    return this.#directories[index] === 1
  }

  sizeBytes(index: number): number {
    return this.#sizes[index]!
  }

  mode(index: number): number {
    return this.#modes[index]!
  }

  uid(index: number): number {
    return this.#uids[index]!
  }

  gid(index: number): number {
    return this.#gids[index]!
  }

  mtimeNs(index: number): bigint {
    return this.#times[index]!
  }

  ctimeNs(index: number): bigint {
    return this.#changeTimes[index]!
  }

  #place(index: number): EntryPlace {
    if (index < 0 || index >= this.count) throw new RangeError(`no entry ${index}`)
    return this.places[this.#placeOf[index]!]!
  }

  baseName(index: number): string {
    const begin = index === 0 ? 0 : this.#nameEnds[index - 1]!
    return this.#names.toString('utf8', begin, this.#nameEnds[index])
  }

  fileNumber(index: number): number {
    const end = this.#nameEnds[index]!
    let number = 0
    for (let at = index === 0 ? 0 : this.#nameEnds[index - 1]!; at < end; at++) {
      const digit = this.#names[at]! - DIGIT_ZERO
      if (digit < 0 || digit > 9 || number > FILE_NUMBER_MAX) break
      number = number * 10 + digit
    }
    return Math.min(number, FILE_NUMBER_MAX)
  }

  get memberNameBytesMax(): number {
    return this.#placeBytesMax + 1 + this.#nameBytesMax
  }

  writeMemberName(index: number, into: Uint8Array): number {
    const place = this.#placeOf[index]!
    if (place !== this.#writtenPlace) {
      this.#writtenName = encoder.encode(`${this.places[place]!.member}/`)
      this.#writtenPlace = place
    }
    into.set(this.#writtenName)
    const begin = index === 0 ? 0 : this.#nameEnds[index - 1]!
    const end = this.#nameEnds[index]!
    let at = this.#writtenName.length
    for (let byte = begin; byte < end; byte++) into[at++] = this.#names[byte]!
    return at
  }

  endsIn(index: number, ending: Uint8Array): boolean {
    const begin = index === 0 ? 0 : this.#nameEnds[index - 1]!
    const at = this.#nameEnds[index]! - ending.length
    if (at < begin) return false
    for (let byte = 0; byte < ending.length; byte++) {
      if (this.#names[at + byte] !== ending[byte]) return false
    }
    return true
  }

  /** Where the name ends among the bytes. */
  #addName(name: string): number {
    const begin = this.count === 0 ? 0 : this.#nameEnds[this.count - 1]!
    const needed = begin + name.length * UTF8_BYTES_MAX
    this.#nameBytesMax = Math.max(this.#nameBytesMax, name.length * UTF8_BYTES_MAX)
    if (needed > this.#names.length) {
      this.#names = copyInto(Buffer.alloc(Math.max(needed, this.#names.length * 2)), this.#names)
    }
    return begin + encoder.encodeInto(name, this.#names.subarray(begin)).written
  }

  #growRows(): void {
    const rows = this.#sizes.length * 2
    this.#nameEnds = copyInto(new Uint32Array(rows), this.#nameEnds)
    this.#placeOf = copyInto(new Uint32Array(rows), this.#placeOf)
    this.#sizes = copyInto(new Float64Array(rows), this.#sizes)
    this.#times = copyInto(new BigInt64Array(rows), this.#times)
    this.#changeTimes = copyInto(new BigInt64Array(rows), this.#changeTimes)
    this.#modes = copyInto(new Uint16Array(rows), this.#modes)
    this.#uids = copyInto(new Uint32Array(rows), this.#uids)
    this.#gids = copyInto(new Uint32Array(rows), this.#gids)
    this.#directories = copyInto(new Uint8Array(rows), this.#directories)
  }
}

function copyInto<Column extends { set(source: Column): void }>(target: Column, source: Column): Column {
  target.set(source)
  return target
}
