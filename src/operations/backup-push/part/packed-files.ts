import type { ParentFile } from '../../../delta/page-selection.ts'
import type { ZeroRuns } from '../../../delta/zero-runs.ts'
import { parseRelationFile } from '../../../postgres/relation-file.ts'
import type { DataEntries } from '../../../postgres/walk/data-entries.ts'
import { tellUnlogged } from '../../../postgres/walk/unlogged-relations.ts'
import type { CorruptBlocks } from '../../../repository/files-metadata.ts'
import type { Arrangement } from '../composer.ts'
import type { CopiedFiles, CopiedPart } from '../copy/copied-files.ts'
import type { FilePlan } from '../delta/file-plan.ts'
import {
  type BatchFile,
  FileBatch,
  FileBatchBuilder,
  type FileBatchData,
  type FileState,
} from './file-batch.ts'

/**
 * Files of at least this size are handed out largest first; smaller ones by the number in their names: the catalogues of all databases
 * have the same, so that copies lie side by side in a part, where every compression finds them.
 */
const LARGE_FILE_BYTES = 1 << 20
const BATCH_FILES_MAX = 1024
/** A batch of this size is full, and handed out only to a worker that has nothing else to do. */
export const LARGE_BATCH_BYTES: number = 8 << 20
/** A file is compressed by several threads when they would be idle for as long as this takes one of them. */
const IDLE_BYTES_MIN = 32 << 20
const WAITING = 0
/** In the column of parts. */
const VANISHED = 0xffffffff
const UNCHANGED = 0xfffffffe

/**
 * The regular files of a backup: what the walk found, in the order in which they are handed out, and what became of
 * each. About 25 bytes for a file beside the walk's own columns.
 */
export class PackedFiles {
  readonly #entries: DataEntries
  /** Indexes of entries, large files first. */
  readonly #order: Uint32Array
  /** Number of the part by entry; 0 while waiting. */
  readonly #parts: Uint32Array
  readonly #hashes: BigUint64Array
  /** Pages of an increment by entry, plus 1; 0: packed whole. */
  readonly #pages: Uint32Array
  readonly #usedBlocks: Uint32Array
  /** By entry, for those that have any. */
  readonly #zeroes = new Map<number, ZeroRuns>()
  readonly #plan: FilePlan | undefined
  readonly #arrangement: Arrangement | undefined
  readonly #skipped: Uint32Array
  readonly #copied: CopiedFiles | undefined
  #nextTurn = 0
  /** Of what has not been handed out. */
  #leftBytes: number
  readonly totalBytes: number
  /** Most of what is packed comes from files that are not large. */
  readonly isMostlySmall: boolean

  /** `isFile` tells which entries are files of the backup; `plan` how, in a delta; `copied` which nobody packs. */
  constructor(
    entries: DataEntries,
    isFile: (index: number) => boolean,
    plan?: FilePlan,
    arrangement?: Arrangement,
    copied?: CopiedFiles,
  ) {
    this.#entries = entries
    this.#arrangement = arrangement
    this.#copied = copied
    this.#plan = plan
    const large: number[] = []
    const skipped: number[] = []
    const isCopied = copiedMarks(entries.count, copied)
    const isPacked = (index: number): boolean =>
      isFile(index) && plan?.isSkipped(index) !== true && isCopied[index] !== 1
    const isSmall = (index: number): boolean => isPacked(index) && entries.sizeBytes(index) < LARGE_FILE_BYTES
    let smallCount = 0
    let totalBytes = 0
    let largeBytes = 0
    for (let index = 0; index < entries.count; index++) {
      if (!isFile(index) || isCopied[index] === 1) continue
      if (plan?.isSkipped(index) === true) {
        skipped.push(index)
        continue
      }
      totalBytes += entries.sizeBytes(index)
      if (isSmall(index)) smallCount += 1
      else {
        large.push(index)
        largeBytes += entries.sizeBytes(index)
      }
    }
    large.sort((a, b) => entries.sizeBytes(b) - entries.sizeBytes(a) || a - b)
    this.#order = new Uint32Array(large.length + smallCount)
    this.#order.set(large)
    this.#order.set(byFileNumber(entries, isSmall, smallCount), large.length)
    if (arrangement !== undefined) arrangeOrder(this.#order, arrangement)
    this.#skipped = Uint32Array.from(skipped)
    this.#parts = new Uint32Array(entries.count)
    this.#hashes = new BigUint64Array(entries.count * 2)
    this.#pages = new Uint32Array(plan === undefined ? 0 : entries.count)
    this.#usedBlocks = new Uint32Array(entries.count)
    this.totalBytes = totalBytes
    this.#leftBytes = totalBytes
    this.isMostlySmall = largeBytes * 2 < totalBytes
  }

  get count(): number {
    return this.#order.length
  }

  /**
   * The files that are handed out next; undefined when there are none left. With `isAhead` (for a worker that is not
   * done with what it has) only small ones: who is free first takes the next large file. `workersCount` share them.
   */
  nextBatch(isAhead: boolean, workersCount: number = 1): FileBatchData | 'not yet' | undefined {
    const first = this.#nextTurn
    if (first === this.#order.length) return undefined
    let end = first
    for (let bytes = 0; end < this.#order.length && end - first < BATCH_FILES_MAX; end++) {
      const sizeBytes = this.#entries.sizeBytes(this.#order[end]!)
      if (end > first && (bytes + sizeBytes > LARGE_BATCH_BYTES || this.#group(end) !== this.#group(first)))
        break
      bytes += sizeBytes
    }
    if (isAhead && this.#entries.sizeBytes(this.#order[first]!) >= LARGE_BATCH_BYTES) return 'not yet'
    this.#nextTurn = end
    const builder = new FileBatchBuilder(end - first)
    let batchBytes = 0
    for (let turn = first; turn < end; turn++) {
      const index = this.#order[turn]!
      const place = this.#entries.placeOf(index)
      const attributes = {
        sizeBytes: this.#entries.sizeBytes(index),
        mode: this.#entries.mode(index),
        uid: this.#entries.uid(index),
        gid: this.#entries.gid(index),
        mtimeNs: this.#entries.mtimeNs(index),
      }
      batchBytes += attributes.sizeBytes
      const baseName = this.#entries.baseName(index)
      builder.add(place, this.#entries.places[place]!, baseName, attributes, this.#plan?.order(index))
    }
    const leftBytes = this.#leftBytes
    this.#leftBytes -= batchBytes
    const isLast = workersCount > 1 && batchBytes - this.#leftBytes / (workersCount - 1) >= IDLE_BYTES_MIN
    return builder.finish(first, { group: this.#group(first), isLast, leftBytes })
  }

  #group(turn: number): number {
    return this.#arrangement?.groups[this.#order[turn]!] ?? 0
  }

  updatesCount(index: number): bigint {
    return (this.#arrangement ?? this.#copied)?.updates.get(index) ?? 0n
  }

  /** Takes a batch back, with what became of its files. */
  record(data: FileBatchData): void {
    const batch = new FileBatch(data)
    for (let row = 0; row < batch.count; row++) {
      const index = this.#order[data.firstTurn + row]!
      const state = batch.state(row)
      if (state === 'waiting') continue
      this.#parts[index] =
        state === 'vanished' ? VANISHED : state === 'unchanged' ? UNCHANGED : batch.part(row)
      if (state === 'incremented') this.#pages[index] = batch.pages(row) + 1
      this.#usedBlocks[index] = batch.usedBlocks(row)
      const zeroes = state === 'packed' || state === 'incremented' ? batch.zeroes(row) : undefined
      if (zeroes !== undefined) this.#zeroes.set(index, zeroes)
      this.#hashes[index * 2] = batch.hashHalf(row, 0)
      this.#hashes[index * 2 + 1] = batch.hashHalf(row, 1)
    }
  }

  /** Parts that are copied instead of packed. */
  copiedParts(): readonly CopiedPart[] {
    return this.#copied?.parts ?? []
  }

  /** Entry indexes of the files in them. */
  copied(): Uint32Array {
    return this.#copied?.indexes ?? new Uint32Array()
  }

  /** Numbers the copied parts from `first` on, when no more numbers are given to others; their files count as packed then. */
  numberCopied(first: number): void {
    const copied = this.#copied
    if (copied === undefined) return
    for (const [at, index] of copied.indexes.entries()) {
      this.#parts[index] = first + copied.partOf[at]!
      this.#usedBlocks[index] = copied.usedBlocks[at]!
      const zeroes = copied.zeroes.get(index)
      if (zeroes !== undefined) this.#zeroes.set(index, zeroes)
      this.#hashes[index * 2] = copied.hashes[at * 2]!
      this.#hashes[index * 2 + 1] = copied.hashes[at * 2 + 1]!
    }
  }

  /** Entry index of the file that was handed out as number `turn`. */
  indexOfTurn(turn: number): number {
    return this.#order[turn]!
  }

  /** Entry indexes of the files that nobody has to read: they are the parent's. */
  skipped(): Uint32Array {
    return this.#skipped
  }

  /** Entry indexes of all other files, in the order of handing out. */
  indexes(): Uint32Array {
    return this.#order
  }

  file(index: number): BatchFile {
    return this.#entries.at(index)
  }

  path(index: number): string {
    return this.#entries.path(index)
  }

  /** Damaged pages that the parent of a delta has seen in the file. */
  parentDamage(index: number): CorruptBlocks | undefined {
    return this.#plan?.damage(index)
  }

  memberName(index: number): string {
    return this.#entries.memberName(index)
  }

  /** Tells files of unlogged relations, their init forks excepted. */
  tellUnlogged(): (index: number) => boolean {
    const isUnlogged = tellUnlogged(this.#entries)
    return index => isUnlogged(index) && parseRelationFile(this.memberName(index))?.fork !== 'init'
  }

  sizeBytes(index: number): number {
    return this.#entries.sizeBytes(index)
  }

  mtimeNs(index: number): bigint {
    return this.#entries.mtimeNs(index)
  }

  state(index: number): FileState {
    const part = this.#parts[index]
    if (part === WAITING) return this.#plan?.isSkipped(index) === true ? 'unchanged' : 'waiting'
    if (part === VANISHED) return 'vanished'
    if (part === UNCHANGED) return 'unchanged'
    return this.#pages.length > 0 && this.#pages[index]! > 0 ? 'incremented' : 'packed'
  }

  /** True for a file that a part holds, whole or as an increment. */
  isPacked(index: number): boolean {
    const state = this.state(index)
    return state === 'packed' || state === 'incremented'
  }

  /** Pages of the increment that was packed. */
  pages(index: number): number {
    return this.#pages[index]! - 1
  }

  /** Of a packed file that is made of pages, as in `ParentFile`. */
  usedBlocks(index: number): number {
    return this.#usedBlocks[index]!
  }

  /** Blocks before those that are known to be zero, of a packed file. */
  zeroes(index: number): ZeroRuns | undefined {
    return this.#zeroes.get(index)
  }

  /** What the parent has of it. */
  parent(index: number): ParentFile | undefined {
    return this.#plan?.parent(index)
  }

  /** Number of the part a packed file is in. */
  part(index: number): number {
    return this.#parts[index]!
  }

  /** 32 hexadecimal digits: the hash of the content as it lies in the tar. */
  hash(index: number): string {
    return hex(this.#hashes[index * 2]!) + hex(this.#hashes[index * 2 + 1]!)
  }
}

/** 1 by entry for the files in copied parts; empty when there are none. */
function copiedMarks(count: number, copied: CopiedFiles | undefined): Uint8Array {
  const marks = new Uint8Array(copied === undefined ? 0 : count)
  for (const index of copied?.indexes ?? []) marks[index] = 1
  return marks
}

/** Groups in their order, and by rank within each; otherwise as it was. */
function arrangeOrder(order: Uint32Array, { groups, ranks }: Arrangement): void {
  const rankOf = (index: number): number => ranks?.[index] ?? 0
  order.sort((a, b) => groups[a]! - groups[b]! || rankOf(a) - rankOf(b))
}

/** The entries that are `wanted`, by the numbers of their names; the walk's order among equals. */
function byFileNumber(entries: DataEntries, wanted: (index: number) => boolean, count: number): Uint32Array {
  const keys = new BigUint64Array(count)
  // two words each, the lower one first: sorted as numbers without making one object
  const words = new Uint32Array(keys.buffer)
  let at = 0
  for (let index = 0; index < entries.count; index++) {
    if (!wanted(index)) continue
    words[at++] = index
    words[at++] = entries.fileNumber(index)
  }
  keys.sort()
  return words.filter((_word, position) => position % 2 === 0)
}

function hex(half: bigint): string {
  return half.toString(16).padStart(16, '0')
}
