import { WalgError } from '../../kit/errors.ts'
import type { PartResult, TargetNameData } from './part/part-protocol.ts'
import { doubled } from './part/part-results.ts'
import { IS_SKIPPED, IS_WANTED, PG_CONTROL, type Roles } from './plan/member-roles.ts'
import type { MemberTable } from './plan/member-table.ts'

const IS_DELIVERED = 1
const IS_FILE = 2
/** Patched since it was written: its checksum is not known. */
const IS_PATCHED = 4
/** A newer backup of the chain brought it: size and time are known. */
const IS_NEWER = 8
/** Missing files named in a message. */
const NAMES_MAX = 5

/** A restored file, for backup_manifest. */
export interface RestoredFile {
  /** The name in `bytes[from … to)`: UTF-8 unless `isOdd`. */
  bytes: Uint8Array
  from: number
  to: number
  /** The name is not UTF-8. */
  isOdd: boolean
  sizeBytes: number
  /** mtime of the original, in seconds. */
  tarTime: number
  /** Lower-case hex; undefined when it is not known. */
  checksum: string | undefined
}

/** All restored files, without an object for each. */
export interface RestoredFileList {
  readonly length: number
  /** Undefined for an entry that is no file; lent until the next call. */
  at(index: number): RestoredFile | undefined
}

export interface RestoredDirectory {
  readonly name: TargetNameData
  readonly mode: number
}

/** What has been restored so far, in columns over the rows of the table. */
export class RestoredFiles implements RestoredFileList {
  readonly #table: MemberTable
  readonly #checksumBytes: number
  #states: Uint8Array
  #sizes: Float64Array
  #tarTimes: Float64Array
  #checksums: Uint8Array
  readonly #lent: RestoredFile = {
    bytes: new Uint8Array(0),
    from: 0,
    to: 0,
    isOdd: false,
    sizeBytes: 0,
    tarTime: 0,
    checksum: undefined,
  }
  /** Files whose names are not UTF-8. */
  readonly #odd: RestoredFile[] = []
  readonly directories: Map<string, RestoredDirectory> = new Map()
  #isNewerDirectory: ReadonlySet<string> = new Set()
  readonly ignored: Set<string> = new Set()

  /** `table` grows here when the backup has no list of files. */
  constructor(table: MemberTable, checksumBytes: number) {
    const length = Math.max(64, table.count)
    this.#table = table
    this.#checksumBytes = checksumBytes
    this.#states = new Uint8Array(length)
    this.#sizes = new Float64Array(length)
    this.#tarTimes = new Float64Array(length)
    this.#checksums = new Uint8Array(length * checksumBytes)
  }

  /** The next older backup of the chain begins: nothing of it is delivered yet. */
  beginBackup(): void {
    this.#isNewerDirectory = new Set(this.directories.keys())
    for (let row = 0; row < this.#states.length; row++) {
      const state = this.#states[row]! & ~IS_DELIVERED
      this.#states[row] = (state & IS_FILE) === 0 ? state : state | IS_NEWER
    }
  }

  add(result: PartResult): void {
    const isNamed = result.names.length > 0
    for (let index = 0; index < result.count; index++) {
      const name = isNamed ? result.names[index]! : ''
      if (typeof name === 'string')
        this.#addFile(isNamed ? this.#rowOf(name) : result.rows[index]!, result, index)
      else {
        this.#odd.push({
          bytes: name,
          from: 0,
          to: name.length,
          isOdd: true,
          sizeBytes: result.sizes[index]!,
          tarTime: result.tarTimes[index]!,
          checksum: this.#checksumOf(result, index)?.toHex(),
        })
      }
    }
    for (const row of result.seen.subarray(0, result.seenCount)) this.#states[row]! |= IS_DELIVERED
    for (const directory of result.directories) {
      const { name } = directory.name
      if (!this.#isNewerDirectory.has(name)) this.directories.set(name, directory)
    }
    for (const name of result.ignored) this.ignored.add(name)
  }

  isFile(row: number): boolean {
    return row >= 0 && row < this.#states.length && (this.#states[row]! & IS_FILE) !== 0
  }

  /**
   * Throws INTEGRITY, naming the first few, unless everything that was wanted of this backup has come. Members for
   * which `isLate` holds are left for later.
   */
  checkDelivered(backup: string, roles: Roles, isLate: (name: string) => boolean): void {
    const missing: string[] = []
    let missingCount = 0
    for (let row = 0; row < roles.length; row++) {
      const role = roles[row]!
      if ((role & IS_WANTED) === 0 || (role & IS_SKIPPED) !== 0) continue
      if ((this.#states[row]! & IS_DELIVERED) !== 0) continue
      const name = this.#table.name(row)
      if (isLate(name)) continue
      missingCount++
      if (missing.length < NAMES_MAX) missing.push(name)
    }
    if (missingCount === 0) return
    const names = missing.map(name => `"${name}"`).join(', ')
    const more = missingCount > missing.length ? ` and ${missingCount - missing.length} more` : ''
    throw new WalgError(
      'INTEGRITY',
      `backup "${backup}" lists files that none of its parts holds: ${names}${more}`,
      {
        facts: { backup, missing: missingCount, file: missing[0]! },
        hint: 'the backup is incomplete: restore another one',
      },
    )
  }

  /** Files that were patched, whose checksums are not known. */
  patched(): string[] {
    const names: string[] = []
    for (let row = 0; row < this.#table.count; row++) {
      if ((this.#states[row]! & IS_PATCHED) !== 0) names.push(this.#table.name(row))
    }
    return names
  }

  setChecksums(names: readonly string[], checksums: Uint8Array): void {
    for (const [index, name] of names.entries()) {
      const row = this.#table.find(name)
      const at = index * this.#checksumBytes
      this.#checksums.set(checksums.subarray(at, at + this.#checksumBytes), row * this.#checksumBytes)
      this.#states[row]! &= ~IS_PATCHED
    }
  }

  /** Entries of `at`, empty ones included. */
  get length(): number {
    return this.#table.count + this.#odd.length
  }

  at(index: number): RestoredFile | undefined {
    const table = this.#table
    if (index >= table.count) return this.#odd[index - table.count]
    if (!this.isFile(index)) return undefined
    const file = this.#lent
    const size = this.#checksumBytes
    const isKnown = size > 0 && (this.#states[index]! & IS_PATCHED) === 0
    file.bytes = table.bytes
    file.from = table.nameBegin(index)
    file.to = table.nameBegin(index + 1)
    file.sizeBytes = this.#sizes[index]!
    file.tarTime = this.#tarTimes[index]!
    file.checksum = isKnown ? this.#checksums.subarray(index * size, (index + 1) * size).toHex() : undefined
    return file
  }

  get hasControlFile(): boolean {
    return this.isFile(this.#table.find(PG_CONTROL))
  }

  #rowOf(name: string): number {
    const row = this.#table.add(name)
    while (row >= this.#states.length) {
      this.#states = doubled(this.#states)
      this.#sizes = doubled(this.#sizes)
      this.#tarTimes = doubled(this.#tarTimes)
      this.#checksums = doubled(this.#checksums)
    }
    return row
  }

  #addFile(row: number, result: PartResult, index: number): void {
    if ((this.#states[row]! & IS_NEWER) !== 0) {
      this.#states[row]! |= IS_DELIVERED
      return
    }
    const isPatched = result.isPatched[index] === 1
    this.#states[row] = IS_DELIVERED | IS_FILE | (isPatched ? IS_PATCHED : 0)
    this.#sizes[row] = result.sizes[index]!
    this.#tarTimes[row] = result.tarTimes[index]!
    const checksum = this.#checksumOf(result, index)
    if (checksum !== undefined) this.#checksums.set(checksum, row * this.#checksumBytes)
  }

  #checksumOf(result: PartResult, index: number): Uint8Array | undefined {
    if (this.#checksumBytes === 0 || result.isPatched[index] === 1) return undefined
    return result.checksums.subarray(index * this.#checksumBytes, (index + 1) * this.#checksumBytes)
  }
}
