import type { Timestamp } from '../kit/timestamp.ts'
import { grown, NameTable } from './name-table.ts'

export interface CorruptBlocks {
  readonly count: number
  /** Relative to the segment file, ascending. */
  readonly some: readonly number[]
}

/** One entry of `Files`: a packed, incremented or skipped file, a directory or another header-only member. */
export interface FileEntry {
  /** The tar member name, byte for byte; valid UTF-8. */
  readonly name: string
  readonly isIncremented: boolean
  readonly isSkipped: boolean
  /** Taken before the content was read; offset = the zone of the backup's host. */
  readonly mtime: Timestamp
  readonly updatesCount?: bigint | undefined
  readonly corruptBlocks?: CorruptBlocks | undefined
}

/** An entry as it is found in a document, reused for the next one. */
export interface ScannedEntry {
  bytes: Uint8Array
  nameFrom: number
  nameTo: number
  isIncremented: boolean
  isSkipped: boolean
  readonly time: Float64Array
  updatesCount: number
}

/** What the encoder needs; `FilesMetadata` is one, a push may offer its own columns. */
export interface FilesMetadataSource {
  readonly filesCount: number
  /** Raw JSON text of `DatabasesByNames`, or null. */
  readonly databases: string | null
  entries(): Iterable<FileEntry>
  partNames(): readonly string[]
  partMembers(part: string): Iterable<string>
}

const IS_LISTED = 1
const IS_INCREMENTED = 2
const IS_SKIPPED = 4

/**
 * `<BACKUP>/files_metadata.json` in columns: a million files in about 80 MiB (storage-format 2.4). Read and
 * written by `files-metadata-document.ts`.
 */
export class FilesMetadata implements FilesMetadataSource {
  /** Raw JSON text of `DatabasesByNames`, or null. */
  databases: string | null = null
  /** Names of `Files` and of the members of parts; to be shared with the columns of a content manifest. */
  readonly names: NameTable = new NameTable()
  readonly #parts = new Map<string, PartMembers>()
  #flags: Uint8Array = new Uint8Array(16)
  #seconds: Float64Array = new Float64Array(16)
  #nanos: Uint32Array = new Uint32Array(16)
  #offsets: Int16Array = new Int16Array(16)
  #updates: BigUint64Array | undefined
  readonly #corrupt = new Map<number, CorruptBlocks>()
  #filesCount = 0

  /** Count of entries of `Files`. */
  get filesCount(): number {
    return this.#filesCount
  }

  /** Adds or replaces an entry; returns its index. Throws FORMAT_INVALID for a name that is no valid UTF-8. */
  addFile(entry: FileEntry): number {
    const { seconds, nanos, offsetMinutes } = entry.mtime
    const index = this.names.add(entry.name)
    const flags = (entry.isIncremented ? IS_INCREMENTED : 0) | (entry.isSkipped ? IS_SKIPPED : 0)
    this.#setEntry(index, flags, seconds, nanos, offsetMinutes)
    this.#setUpdates(index, entry.updatesCount ?? 0n)
    if (entry.corruptBlocks === undefined) this.#corrupt.delete(index)
    else this.#corrupt.set(index, entry.corruptBlocks)
    return index
  }

  /** The same without objects, for a document of a million entries. `time` = seconds, nanos, offset in minutes. */
  addScanned(scanned: ScannedEntry): void {
    const index = this.names.addSlice(scanned.bytes, scanned.nameFrom, scanned.nameTo)
    const flags = (scanned.isIncremented ? IS_INCREMENTED : 0) | (scanned.isSkipped ? IS_SKIPPED : 0)
    this.#setEntry(index, flags, scanned.time[0]!, scanned.time[1]!, scanned.time[2]!)
    if (scanned.updatesCount !== 0 || this.#updates !== undefined) {
      this.#setUpdates(index, BigInt(scanned.updatesCount))
    }
    this.#corrupt.delete(index)
  }

  /** Records a member of a part in `TarFileSets`; the name need not be in `Files`. */
  addPartMember(part: string, name: string): void {
    this.addPart(part).add(this.names.add(name))
  }

  /** Makes the part known, also when it has no members. */
  addPart(part: string): PartMembers {
    let members = this.#parts.get(part)
    if (members === undefined) {
      members = new PartMembers()
      this.#parts.set(part, members)
    }
    return members
  }

  /** Index of an entry of `Files`, or -1. */
  find(name: string): number {
    return this.#listed(this.names.find(name))
  }

  /** The same for the UTF-8 bytes of a tar header. */
  findBytes(bytes: Uint8Array): number {
    return this.#listed(this.names.findBytes(bytes))
  }

  /** The same for the UTF-8 of `bytes[from … to)`. */
  findSlice(bytes: Uint8Array, from: number, to: number): number {
    return this.#listed(this.names.findSlice(bytes, from, to))
  }

  name(index: number): string {
    return this.names.at(index)
  }

  isIncremented(index: number): boolean {
    return (this.#flags[index]! & IS_INCREMENTED) !== 0
  }

  isSkipped(index: number): boolean {
    return (this.#flags[index]! & IS_SKIPPED) !== 0
  }

  mtime(index: number): Timestamp {
    return {
      seconds: this.#seconds[index]!,
      nanos: this.#nanos[index]!,
      offsetMinutes: this.#offsets[index]!,
    }
  }

  mtimeNs(index: number): bigint {
    return BigInt(this.#seconds[index]!) * 1_000_000_000n + BigInt(this.#nanos[index]!)
  }

  updatesCount(index: number): bigint {
    return this.#updates?.[index] ?? 0n
  }

  hasCorruptBlocks(index: number): boolean {
    return this.#corrupt.has(index)
  }

  entry(index: number): FileEntry {
    const corruptBlocks = this.#corrupt.get(index)
    return {
      name: this.name(index),
      isIncremented: this.isIncremented(index),
      isSkipped: this.isSkipped(index),
      mtime: this.mtime(index),
      updatesCount: this.updatesCount(index),
      ...(corruptBlocks === undefined ? {} : { corruptBlocks }),
    }
  }

  /** Every entry of `Files`, in the order of adding. */
  *entries(): Generator<FileEntry> {
    for (const index of this.indexes()) yield this.entry(index)
  }

  /** Indexes of the entries of `Files`. */
  *indexes(): Generator<number> {
    const end = Math.min(this.names.count, this.#flags.length)
    for (let index = 0; index < end; index += 1) if ((this.#flags[index]! & IS_LISTED) !== 0) yield index
  }

  /** Indexes of `entries` are below this number: the length for a column of one's own. */
  get indexEnd(): number {
    return this.names.count
  }

  /** Names of the parts in `TarFileSets`, in the order of adding. */
  partNames(): string[] {
    return [...this.#parts.keys()]
  }

  /** Member names of a part; empty for an unknown part. */
  *partMembers(part: string): Generator<string> {
    for (const index of this.#parts.get(part)?.indexes() ?? []) yield this.names.at(index)
  }

  #listed(index: number): number {
    return index >= 0 && index < this.#flags.length && (this.#flags[index]! & IS_LISTED) !== 0 ? index : -1
  }

  #setEntry(index: number, flags: number, seconds: number, nanos: number, offsetMinutes: number): void {
    this.#reserve(index)
    if ((this.#flags[index]! & IS_LISTED) === 0) this.#filesCount += 1
    this.#flags[index] = IS_LISTED | flags
    this.#seconds[index] = seconds
    this.#nanos[index] = nanos
    this.#offsets[index] = offsetMinutes
  }

  #reserve(index: number): void {
    while (index >= this.#flags.length) {
      this.#flags = grown(this.#flags)
      this.#seconds = grown(this.#seconds)
      this.#nanos = grown(this.#nanos)
      this.#offsets = grown(this.#offsets)
      if (this.#updates !== undefined) this.#updates = grown(this.#updates)
    }
  }

  #setUpdates(index: number, count: bigint): void {
    if (this.#updates === undefined && count === 0n) return
    this.#updates ??= new BigUint64Array(this.#flags.length)
    this.#updates[index] = count
  }
}

/** Members of one part as indexes of names. */
export class PartMembers {
  #indexes: Uint32Array = new Uint32Array(16)
  #count = 0

  add(index: number): void {
    if (this.#count === this.#indexes.length) this.#indexes = grown(this.#indexes)
    this.#indexes[this.#count] = index
    this.#count += 1
  }

  get count(): number {
    return this.#count
  }

  /** Forgets everything behind the first `count`. */
  truncate(count: number): void {
    this.#count = Math.min(count, this.#count)
  }

  indexes(): Uint32Array {
    return this.#indexes.subarray(0, this.#count)
  }
}
