import { closeSync } from 'node:fs'
import type { BlockWriter } from '../../../codec/codec.ts'
import { encodeIncrementHead, incrementSizeBytes } from '../../../delta/increment.ts'
import type { Awaitable, ByteStream } from '../../../kit/bytes.ts'
import { WalgError } from '../../../kit/errors.ts'
import type { Hasher } from '../../../kit/hash.ts'
import { openRateLimit, type RateLimit, type RateLimiter } from '../../../kit/limits.ts'
import {
  encodeTarHeader,
  TAR_BLOCK_BYTES,
  TAR_END_BYTES,
  TAR_HEADER_BYTES_MAX,
  type TarMember,
  tarHeaderBytes,
  tarPaddingBytes,
} from '../../../tar/pack.ts'
import type { BatchFile } from './file-batch.ts'
import { limitedReadBytes, openFile, type ReadPlace, readInto } from './file-reading.ts'

/** Looks at the bytes of one file as they pass, in order. They are lent until the call returns. */
export interface FileObserver {
  observe(bytes: Uint8Array): void
}

export interface PartPackerOptions {
  readonly writer: BlockWriter
  /** Hashes the content of one member at a time; works in place on the writer's memory. */
  readonly hasher: Hasher
  readonly diskLimit?: RateLimit
  /** A sign of life after every read; throws to stop the packing. */
  readonly onRead?: (bytes: number) => void
}

/** `position` null: from where the last read ended. */
interface FileRange {
  readonly position: number | null
  readonly bytes: number
}

/**
 * Packs members into one tar: header and file bytes are read straight into the compressor's block, and hashed
 * there. Synchronous as long as the storage behind the writer is.
 */
export class PartPacker {
  readonly #writer: BlockWriter
  readonly #hasher: Hasher
  readonly #limiter: RateLimiter | undefined
  readonly #readBytesMax: number
  readonly #onRead: (bytes: number) => void
  /** Bytes in the block that are not flushed yet. */
  #used = 0
  #contentBytes = 0
  #tarBytes = 0

  constructor(options: PartPackerOptions) {
    this.#writer = options.writer
    this.#hasher = options.hasher
    this.#readBytesMax = readBytesMax(options)
    this.#limiter = options.diskLimit === undefined ? undefined : openRateLimit(options.diskLimit)
    this.#onRead = options.onRead ?? (() => {})
  }

  /** Sum of the members' sizes, without headers and padding. */
  get contentBytes(): number {
    return this.#contentBytes
  }

  /** The size of the tar so far. */
  get tarBytes(): number {
    return this.#tarBytes
  }

  /** A member without content. */
  async packHeader(member: TarMember): Promise<void> {
    const bytes = tarHeaderBytes(member)
    if (bytes <= this.#writer.capacityBytes - this.#used) {
      encodeTarHeader(this.#writer.memory, this.#writer.base + this.#used, member)
      this.#used += bytes
      this.#tarBytes += bytes
      const flushed = this.#flushWhenFull()
      if (flushed !== undefined) await flushed
      return
    }
    const header = new Uint8Array(bytes)
    encodeTarHeader(header, 0, member)
    await this.#put(header)
  }

  /** A member whose content is in memory. Returns the hash of the content. */
  async packBytes(member: TarMember, content: Uint8Array): Promise<string> {
    await this.packHeader(member)
    this.#hasher.reset()
    this.#hasher.update(content)
    await this.#put(content)
    await this.#putZeroes(tarPaddingBytes(content.length))
    this.#contentBytes += content.length
    return this.#hasher.digest()
  }

  /**
   * A file, at the size the walk saw: cut when it has grown since, filled up with zeroes when it has shrunk (WAL
   * replay sets both right). Returns the hash of the content as it lies in the tar; undefined when the file is
   * gone. Throws FILE_ACCESS when it cannot be read. At once when the file fits into what is left of the block.
   */
  packFile(file: BatchFile, observer?: FileObserver): Awaitable<string | undefined> {
    const fd = openFile(file.path)
    if (fd === undefined) return undefined
    const room = this.#writer.capacityBytes - this.#used
    const isFitting = TAR_HEADER_BYTES_MAX + file.sizeBytes + tarPaddingBytes(file.sizeBytes) < room
    if (!isFitting || this.#limiter !== undefined) return this.#packLarge(fd, file, observer)
    try {
      return this.#packFitting(fd, file, observer)
    } finally {
      closeSync(fd)
    }
  }

  #packFitting(fd: number, file: BatchFile, observer: FileObserver | undefined): string {
    const { memory, base } = this.#writer
    const { path, sizeBytes } = file
    const begin = base + this.#used
    let at = begin + encodeTarHeader(memory, begin, memberOf(file))
    const content = at
    while (at < content + sizeBytes) {
      const got = readInto({ fd, path, position: null }, memory, at, content + sizeBytes - at)
      if (got === 0) break
      observer?.observe(memory.subarray(at, at + got))
      at += got
    }
    memory.fill(0, at, content + sizeBytes + tarPaddingBytes(sizeBytes))
    this.#hasher.reset()
    this.#hasher.update(memory.subarray(content, content + sizeBytes))
    this.#onRead(sizeBytes)
    const packed = content + sizeBytes + tarPaddingBytes(sizeBytes) - begin
    this.#used += packed
    this.#tarBytes += packed
    this.#contentBytes += sizeBytes
    return this.#hasher.digest()
  }

  async #packLarge(fd: number, file: BatchFile, observer: FileObserver | undefined): Promise<string> {
    try {
      await this.packHeader(memberOf(file))
      this.#hasher.reset()
      const range = { position: null, bytes: file.sizeBytes }
      const missing = await this.#readRange(fd, file.path, range, observer)
      if (missing > 0) await this.#putZeroes(missing, true)
    } finally {
      closeSync(fd)
    }
    const padding = tarPaddingBytes(file.sizeBytes)
    if (padding > 0) await this.#putZeroes(padding)
    this.#contentBytes += file.sizeBytes
    return this.#hasher.digest()
  }

  /**
   * The changed pages of a file as an increment (storage-format 3.3), read from `fd`. What the file no longer has is filled
   * up with zeroes: WAL replay cuts it off. Returns the hash of the increment.
   */
  async packIncrement(file: BatchFile, fd: number, blocks: Uint32Array, pageBytes: number): Promise<string> {
    const sizeBytes = incrementSizeBytes(blocks.length, pageBytes)
    await this.packHeader({ ...file, name: file.memberName, kind: 'file', sizeBytes })
    this.#hasher.reset()
    const head = encodeIncrementHead(file.sizeBytes, blocks)
    this.#hasher.update(head)
    await this.#put(head)
    for (let from = 0; from < blocks.length; ) {
      let to = from + 1
      while (to < blocks.length && blocks[to] === blocks[to - 1]! + 1) to++
      const range = { position: blocks[from]! * pageBytes, bytes: (to - from) * pageBytes }
      const read = this.#readRange(fd, file.path, range, undefined)
      const missing = read instanceof Promise ? await read : read
      if (missing > 0) await this.#putZeroes(missing, true)
      from = to
    }
    await this.#putZeroes(tarPaddingBytes(sizeBytes))
    this.#contentBytes += sizeBytes
    return this.#hasher.digest()
  }

  /** A member whose content comes from elsewhere. Throws FORMAT_TRUNCATED unless it has the size announced. */
  async packStream(member: TarMember, content: ByteStream): Promise<string> {
    await this.packHeader(member)
    this.#hasher.reset()
    let left = member.sizeBytes
    for await (const bytes of content) {
      left -= bytes.length
      if (left < 0) break
      this.#hasher.update(bytes)
      await this.#put(bytes)
      this.#onRead(bytes.length)
    }
    if (left !== 0) {
      throw new WalgError(
        'FORMAT_TRUNCATED',
        `"${member.name}" has not the ${member.sizeBytes} bytes it should have`,
      )
    }
    await this.#putZeroes(tarPaddingBytes(member.sizeBytes))
    this.#contentBytes += member.sizeBytes
    return this.#hasher.digest()
  }

  /** Bytes that are no tar at all. */
  async putStream(content: ByteStream): Promise<void> {
    for await (const bytes of content) await this.#put(bytes)
  }

  /** Ends the tar (unless the bytes are none), the frame and the object behind it. */
  async end(form: 'tar' | 'bare' = 'tar'): Promise<void> {
    if (form === 'tar') await this.#putZeroes(TAR_END_BYTES)
    if (this.#used > 0) {
      const flushed = this.#writer.flush(this.#used)
      this.#used = 0
      if (flushed !== undefined) await flushed
    }
    await this.#writer.end()
  }

  /**
   * Reads a piece of a file into the block; returns the count of bytes that the file no longer has. At once when the piece fits
   * into what is left of the block: a delta has ten thousands of them.
   */
  #readRange(
    fd: number,
    path: string,
    range: FileRange,
    observer: FileObserver | undefined,
  ): Awaitable<number> {
    const isFitting = this.#limiter === undefined && range.bytes < this.#writer.capacityBytes - this.#used
    if (!isFitting) return this.#readLongRange(fd, path, range, observer)
    let left = range.bytes
    while (left > 0) {
      const got = this.#readPiece({ fd, path, position: positionIn(range, left) }, left, observer)
      if (got === 0) break
      left -= got
    }
    return left
  }

  async #readLongRange(
    fd: number,
    path: string,
    range: FileRange,
    observer: FileObserver | undefined,
  ): Promise<number> {
    let left = range.bytes
    while (left > 0) {
      const want = Math.min(left, this.#writer.capacityBytes - this.#used, this.#readBytesMax)
      const taken = this.#limiter?.take(want)
      if (taken !== undefined) await taken
      const got = this.#readPiece({ fd, path, position: positionIn(range, left) }, want, observer)
      if (got === 0) return left
      left -= got
      const flushed = this.#flushWhenFull()
      if (flushed !== undefined) await flushed
    }
    return 0
  }

  /** One read of at most `want` bytes, which the block has room for; 0 at the end of the file. */
  #readPiece(place: ReadPlace, want: number, observer: FileObserver | undefined): number {
    const { memory, base } = this.#writer
    const at = base + this.#used
    const got = readInto(place, memory, at, want)
    if (got === 0) return 0
    const bytes = memory.subarray(at, at + got)
    this.#hasher.update(bytes)
    observer?.observe(bytes)
    this.#onRead(got)
    this.#used += got
    this.#tarBytes += got
    return got
  }

  async #put(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const room = this.#writer.capacityBytes - this.#used
      const piece = bytes.subarray(at, at + room)
      this.#writer.memory.set(piece, this.#writer.base + this.#used)
      this.#used += piece.length
      this.#tarBytes += piece.length
      at += piece.length
      const flushed = this.#flushWhenFull()
      if (flushed !== undefined) await flushed
    }
  }

  async #putZeroes(count: number, isContent: boolean = false): Promise<void> {
    for (let left = count; left > 0; ) {
      const at = this.#writer.base + this.#used
      const piece = Math.min(left, this.#writer.capacityBytes - this.#used)
      const { memory } = this.#writer
      memory.fill(0, at, at + piece)
      if (isContent) {
        this.#hasher.update(memory.subarray(at, at + piece))
        this.#onRead(piece)
      }
      this.#used += piece
      this.#tarBytes += piece
      left -= piece
      const flushed = this.#flushWhenFull()
      if (flushed !== undefined) await flushed
    }
  }

  #flushWhenFull(): Awaitable<void> {
    if (this.#used < this.#writer.capacityBytes) return
    this.#used = 0
    return this.#writer.flush(this.#writer.capacityBytes)
  }
}

/** Where the last `leftBytes` of a range begin; null: where the last read ended. */
function positionIn({ position, bytes }: FileRange, leftBytes: number): number | null {
  return position === null ? null : position + bytes - leftBytes
}

function memberOf(file: BatchFile): TarMember {
  const { sizeBytes, mode, uid, gid, mtimeNs } = file
  return { name: file.memberName, kind: 'file', sizeBytes, mode, uid, gid, mtimeNs }
}

/** The size in a part of a file of `sizeBytes` with an ordinary name: what decides whether it still fits. */
export function packedBytes(sizeBytes: number): number {
  return TAR_BLOCK_BYTES + sizeBytes + tarPaddingBytes(sizeBytes)
}

function readBytesMax({ writer, diskLimit }: PartPackerOptions): number {
  return diskLimit === undefined ? writer.capacityBytes : limitedReadBytes(diskLimit)
}
