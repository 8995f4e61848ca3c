import { assert } from '../../kit/errors.ts'
import type { EntryPlace } from '../../postgres/walk/data-entries.ts'

/**
 * The files of a backup as columns in shared memory: every part worker reads the same table and writes what
 * became of each file into it. About 75 bytes for a file, its base name included, and nothing is cloned between threads.
 */

/** What the walk knows of a regular file, its place aside. */
export interface FileAttributes {
  readonly sizeBytes: number
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly mtimeNs: bigint
}

/** One regular file to pack, as the walk found it. */
export interface TableFile extends FileAttributes {
  readonly path: string
  readonly memberName: string
}

/** Plain data that crosses threads. */
export interface FileTableData {
  readonly rows: SharedArrayBuffer
  readonly names: SharedArrayBuffer
  /** Row numbers in the order in which they are handed out. */
  readonly order: SharedArrayBuffer
  readonly places: readonly EntryPlace[]
}

export type FileState = 'waiting' | 'packed' | 'vanished'
const STATES: readonly FileState[] = ['waiting', 'packed', 'vanished']

const ROW_BYTES = 64
const WORDS = ROW_BYTES / 4
const LONGS = ROW_BYTES / 8
/** Columns, in 32-bit words. */
const NAME_AT = 0
const NAME_BYTES = 1
const MODE = 6
const UID = 7
const GID = 8
const PART = 9
const STATE = 10
const PLACE = 11
/** Columns, in 64-bit words. */
const SIZE = 1
const MTIME = 2
const HASH = 6

const CHUNK_ROWS = 16_384
const NAMES_CHUNK_BYTES = 1 << 20
/** Files of at least this size are handed out largest first; smaller ones in the order of the walk, folder by folder. */
const SORTED_FROM_BYTES = 1 << 20

const encoder = new TextEncoder()
const decoder = new TextDecoder()
const scratch = Buffer.alloc(4096)

/** Rows on their way into the table, with the views that are needed to fill them: one set for thousands of files. */
class RowChunk {
  readonly bytes: Uint8Array = new Uint8Array(CHUNK_ROWS * ROW_BYTES)
  readonly words: Uint32Array = new Uint32Array(this.bytes.buffer)
  readonly sizes: Float64Array = new Float64Array(this.bytes.buffer)
  readonly times: BigInt64Array = new BigInt64Array(this.bytes.buffer)
}

/** Collects files in the order of the walk; `finish` lays them into shared memory. */
export class FileTableBuilder {
  #chunks: RowChunk[] = []
  #nameChunks: { readonly bytes: Uint8Array; used: number }[] = []
  #namesBytes = 0
  #count = 0
  #totalBytes = 0

  get count(): number {
    return this.#count
  }

  /** Sum of the sizes at the time of the walk. */
  get totalBytes(): number {
    return this.#totalBytes
  }

  /** `place` is the number of the file's directory among those given to `finish`. */
  add(place: number, baseName: string, file: FileAttributes): void {
    const row = this.#count % CHUNK_ROWS
    if (row === 0) this.#chunks.push(new RowChunk())
    const { words, sizes, times } = this.#chunks.at(-1)!
    const at = row * WORDS
    words[at + NAME_AT] = this.#namesBytes
    words[at + NAME_BYTES] = this.#addName(baseName)
    words[at + MODE] = file.mode
    words[at + UID] = file.uid
    words[at + GID] = file.gid
    words[at + PLACE] = place
    sizes[row * LONGS + SIZE] = file.sizeBytes
    times[row * LONGS + MTIME] = file.mtimeNs
    this.#count += 1
    this.#totalBytes += file.sizeBytes
  }

  /** The builder is empty afterwards. */
  finish(places: readonly EntryPlace[]): FileTableData {
    const rows = new SharedArrayBuffer(this.#count * ROW_BYTES)
    const into = new Uint8Array(rows)
    for (let at = 0; this.#chunks.length > 0; at += CHUNK_ROWS * ROW_BYTES) {
      const { bytes } = this.#chunks.shift()!
      into.set(bytes.subarray(0, Math.min(bytes.length, into.length - at)), at)
    }
    const names = new SharedArrayBuffer(this.#namesBytes)
    const namesInto = new Uint8Array(names)
    for (let at = 0; this.#nameChunks.length > 0; ) {
      const { bytes, used } = this.#nameChunks.shift()!
      namesInto.set(bytes.subarray(0, used), at)
      at += used
    }
    return { rows, names, order: orderBySize(rows), places }
  }

  /** Returns the name's size in UTF-8. */
  #addName(name: string): number {
    let chunk = this.#nameChunks.at(-1)
    const bytesMax = name.length * 3
    if (chunk === undefined || chunk.used + bytesMax > chunk.bytes.length) {
      chunk = { bytes: new Uint8Array(Math.max(NAMES_CHUNK_BYTES, bytesMax)), used: 0 }
      this.#nameChunks.push(chunk)
    }
    const written = writeName(chunk.bytes, chunk.used, name)
    chunk.used += written
    this.#namesBytes += written
    assert(this.#namesBytes < 0xffffffff, 'the names of all files fit 4 GiB')
    return written
  }
}

/** The table as one thread sees it. Rows are numbered from 0 in the order of the walk. */
export class FileTable {
  readonly count: number
  readonly #places: readonly EntryPlace[]
  readonly #words: Uint32Array
  readonly #longs: BigUint64Array
  readonly #times: BigInt64Array
  readonly #sizes: Float64Array
  readonly #names: Uint8Array
  readonly #order: Uint32Array

  constructor(data: FileTableData) {
    this.count = data.rows.byteLength / ROW_BYTES
    this.#places = data.places
    this.#words = new Uint32Array(data.rows)
    this.#longs = new BigUint64Array(data.rows)
    this.#times = new BigInt64Array(data.rows)
    this.#sizes = new Float64Array(data.rows)
    this.#names = new Uint8Array(data.names)
    this.#order = new Uint32Array(data.order)
  }

  /** The row that is handed out as number `turn`. */
  rowOfTurn(turn: number): number {
    return this.#order[turn]!
  }

  file(row: number): TableFile {
    const at = row * WORDS
    const nameAt = this.#words[at + NAME_AT]!
    const baseName = readName(this.#names, nameAt, nameAt + this.#words[at + NAME_BYTES]!)
    const place = this.#places[this.#words[at + PLACE]!]!
    return {
      path: `${place.path}/${baseName}`,
      memberName: `${place.member}/${baseName}`,
      sizeBytes: this.sizeBytes(row),
      mode: this.#words[at + MODE]!,
      uid: this.#words[at + UID]!,
      gid: this.#words[at + GID]!,
      mtimeNs: this.#times[row * LONGS + MTIME]!,
    }
  }

  sizeBytes(row: number): number {
    return this.#sizes[row * LONGS + SIZE]!
  }

  state(row: number): FileState {
    return STATES[this.#words[row * WORDS + STATE]!]!
  }

  /** Number of the part the file is in; 0 unless packed. */
  part(row: number): number {
    return this.#words[row * WORDS + PART]!
  }

  /** 32 hexadecimal digits: the hash of the content as it lies in the tar. */
  hash(row: number): string {
    return hex(this.#longs[row * LONGS + HASH]!) + hex(this.#longs[row * LONGS + HASH + 1]!)
  }

  setPacked(row: number, part: number, hash: string): void {
    this.#longs[row * LONGS + HASH] = BigInt(`0x${hash.slice(0, 16)}`)
    this.#longs[row * LONGS + HASH + 1] = BigInt(`0x${hash.slice(16)}`)
    this.#words[row * WORDS + PART] = part
    this.#words[row * WORDS + STATE] = STATES.indexOf('packed')
  }

  setVanished(row: number): void {
    this.#words[row * WORDS + STATE] = STATES.indexOf('vanished')
  }
}

function hex(value: bigint): string {
  return value.toString(16).padStart(16, '0')
}

/** Decoded from a copy: a decoder takes no view of shared memory. */
function readName(bytes: Uint8Array, begin: number, end: number): string {
  if (end - begin > scratch.length) return decoder.decode(bytes.slice(begin, end))
  for (let at = begin; at < end; at++) scratch[at - begin] = bytes[at]!
  return scratch.toString('utf8', 0, end - begin)
}

/** Almost every name is ASCII, and written without a view or an array of its own. */
function writeName(into: Uint8Array, at: number, name: string): number {
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i)
    if (code >= 0x80) return encoder.encodeInto(name, into.subarray(at)).written
    into[at + i] = code
  }
  return name.length
}

function orderBySize(rows: SharedArrayBuffer): SharedArrayBuffer {
  const count = rows.byteLength / ROW_BYTES
  const sizes = new Float64Array(rows)
  const shared = new SharedArrayBuffer(count * 4)
  const order = new Uint32Array(shared)
  const large: number[] = []
  for (let row = 0; row < count; row++) if (sizes[row * LONGS + SIZE]! >= SORTED_FROM_BYTES) large.push(row)
  large.sort((a, b) => sizes[b * LONGS + SIZE]! - sizes[a * LONGS + SIZE]! || a - b)
  order.set(large)
  let at = large.length
  for (let row = 0; row < count; row++) {
    if (sizes[row * LONGS + SIZE]! < SORTED_FROM_BYTES) order[at++] = row
  }
  return shared
}
