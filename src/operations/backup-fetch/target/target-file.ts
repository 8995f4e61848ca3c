import fs from 'node:fs'
import type { PatchTarget } from '../../../delta/apply.ts'
import type { BeneathTarget } from '../../../delta/beneath.ts'
import { errnoOf, fromSystemError, WalgError } from '../../../kit/errors.ts'
import { fileSystem } from '../../../kit/file-system.ts'
import type { Flusher } from './flusher.ts'
import { hasDirectWrites, type Staging } from './staging.ts'

const { O_CREAT, O_DIRECT, O_NOFOLLOW, O_NONBLOCK, O_RDWR, O_TRUNC, O_WRONLY } = fs.constants
/** The disk begins with a big file each time this much of it is written. */
const WRITE_BACK_BYTES = 16 << 20
/** One write takes no more: beyond this the page cache takes larger folios and twice the time (measured). */
const WRITE_BYTES_MAX = 256 << 10

/** A time as `fs.Stats` has it, in whole microseconds. */
export function toMicroseconds(timeMs: number): number {
  return Math.round(timeMs * 1000)
}

/** What a finished file is found to be. */
export interface FinishedFile {
  readonly sizeBytes: number
  readonly mtimeUs: number
}

/**
 * `new`: created or emptied. `resized`: created or as it is, for an increment that sets its size. `beneath`: it must
 * be there, with its size and mode.
 */
export type TargetFileUse = 'new' | 'resized' | 'beneath'

const OPEN_FLAGS: Readonly<Record<TargetFileUse, number>> = {
  new: O_WRONLY | O_CREAT | O_TRUNC,
  resized: O_WRONLY | O_CREAT,
  beneath: O_RDWR,
}

/** A file being restored: written from its start, or in places. Never through a symbolic link. */
export class TargetFile implements PatchTarget, BeneathTarget {
  readonly path: string
  #fd: number
  readonly #use: TargetFileUse
  readonly #flusher: Flusher
  /** Undefined: written through the page cache. */
  #staging: Staging | undefined
  #directBytes = 0
  #unflushedBytes = 0

  /** With `staging` a new file is written past the page cache where that is possible; in order then, by `write` alone. */
  constructor(path: string | Buffer, mode: number, use: TargetFileUse, flusher: Flusher, staging?: Staging) {
    this.path = String(path)
    this.#use = use
    this.#flusher = flusher
    const flags = OPEN_FLAGS[use] | O_NOFOLLOW | O_NONBLOCK
    const access = (mode & 0o777) | 0o200
    try {
      // the call takes a Buffer too, which a name that is not UTF-8 needs
      if (staging !== undefined && hasDirectWrites(path)) {
        const fd = openDirectly(path as string, flags, access)
        if (fd !== undefined) this.#staging = staging
        this.#fd = fd ?? fileSystem().blocking.open(path as string, flags, access)
      } else this.#fd = fileSystem().blocking.open(path as string, flags, access)
    } catch (error) {
      throw openFailure(error, this.path, use)
    }
    staging?.clear()
  }

  /** Writes at the end of what is written so far. */
  write(bytes: Uint8Array): void {
    let at = 0
    while (this.#staging !== undefined && at < bytes.length) {
      at += this.#staging.take(bytes.subarray(at))
      if (this.#staging.isFull) this.#writeStaged(this.#staging)
    }
    if (at < bytes.length) this.#writeCached(at === 0 ? bytes : bytes.subarray(at))
  }

  #writeCached(bytes: Uint8Array): void {
    const { blocking } = fileSystem()
    let at = 0
    try {
      while (at < bytes.length) {
        const count = Math.min(WRITE_BYTES_MAX, bytes.length - at)
        at += checkCount(blocking.write(this.#fd, bytes, at, count))
      }
    } catch (error) {
      throw fromSystemError(error, 'write', this.path)
    }
    this.#wrote(bytes.length)
  }

  /** What is staged goes to the disk, in whole blocks; the last ones are cut when the file is finished. */
  #writeStaged(staging: Staging): void {
    const { blocking } = fileSystem()
    const bytes = staging.padded
    try {
      for (let at = 0; at < bytes.length; )
        at += checkCount(blocking.write(this.#fd, bytes, at, bytes.length - at))
    } catch (error) {
      if (errnoOf(error) !== 'EINVAL' || this.#directBytes > 0)
        throw fromSystemError(error, 'write', this.path)
      this.#goOnCached(staging)
    }
    this.#directBytes += staging.usedBytes
    staging.clear()
  }

  /** The disk wants its writes in another shape: from the first byte on they go through the page cache. */
  #goOnCached(staging: Staging): void {
    const { blocking } = fileSystem()
    const refused = this.#fd
    try {
      this.#fd = blocking.open(this.path, O_WRONLY | O_NOFOLLOW | O_NONBLOCK)
    } catch (error) {
      throw openFailure(error, this.path, 'new')
    }
    blocking.close(refused)
    this.#staging = undefined
    this.#writeCached(staging.content)
  }

  writeAt(bytes: Uint8Array, position: number): void {
    let at = 0
    try {
      while (at < bytes.length) {
        const count = Math.min(WRITE_BYTES_MAX, bytes.length - at)
        at += checkCount(fs.writeSync(this.#fd, bytes, at, count, position + at))
      }
    } catch (error) {
      throw fromSystemError(error, 'write', this.path)
    }
    this.#wrote(bytes.length)
  }

  /** As it is now. */
  get sizeBytes(): number {
    try {
      return fs.fstatSync(this.#fd).size
    } catch (error) {
      throw fromSystemError(error, 'stat', this.path)
    }
  }

  readAt(into: Uint8Array, position: number): number {
    let count = 0
    try {
      while (count < into.length) {
        const more = fs.readSync(this.#fd, into, count, into.length - count, position + count)
        if (more === 0) break
        count += more
      }
    } catch (error) {
      throw fromSystemError(error, 'read', this.path)
    }
    return count
  }

  truncate(sizeBytes: number): void {
    try {
      fs.ftruncateSync(this.#fd, sizeBytes)
    } catch (error) {
      throw fromSystemError(error, 'resize', this.path)
    }
  }

  /** Checks the size, sets the mode where this backup is the newest that has the file, and hands the descriptor to the flusher. */
  finish(sizeBytes: number, mode: number): FinishedFile {
    this.#endDirect()
    let info: fs.Stats
    try {
      info = fs.fstatSync(this.#fd)
      if (this.#use !== 'beneath' && (info.mode & 0o7777) !== mode) fs.fchmodSync(this.#fd, mode)
    } catch (error) {
      throw fromSystemError(error, 'set the mode of', this.path)
    }
    if (info.size !== sizeBytes) {
      throw new WalgError(
        'INTEGRITY',
        `"${this.path}" has ${info.size} bytes after writing, not ${sizeBytes}`,
        {
          facts: { path: this.path },
          hint: 'does something else write into this directory?',
        },
      )
    }
    this.#flusher.finish(this.#fd, this.path)
    return { sizeBytes, mtimeUs: toMicroseconds(info.mtimeMs) }
  }

  /** Writes what is still staged, and cuts off what was added to it. */
  #endDirect(): void {
    const staging = this.#staging
    if (staging === undefined || staging.usedBytes === 0) return
    const isPadded = staging.padded.length > staging.usedBytes
    this.#writeStaged(staging)
    if (isPadded && this.#staging !== undefined) this.truncate(this.#directBytes)
  }

  /** Closes the unfinished file. */
  abandon(): Promise<void> {
    return this.#flusher.abandon(this.#fd)
  }

  #wrote(bytes: number): void {
    this.#unflushedBytes += bytes
    if (this.#unflushedBytes < WRITE_BACK_BYTES) return
    this.#unflushedBytes = 0
    this.#flusher.writeBack(this.#fd, this.path)
  }
}

/** Undefined where the file system has no direct writes. */
function openDirectly(path: string, flags: number, mode: number): number | undefined {
  try {
    return fileSystem().blocking.open(path, flags | O_DIRECT, mode)
  } catch (error) {
    if (errnoOf(error) === 'EINVAL') return undefined
    throw error
  }
}

/** A write that takes nothing would be repeated for ever. */
function checkCount(count: number): number {
  if (count > 0) return count
  throw Object.assign(new Error('nothing was written'), { code: 'EIO' })
}

function openFailure(error: unknown, path: string, use: TargetFileUse): WalgError {
  const coded = fromSystemError(error, use === 'beneath' ? 'open' : 'create', path)
  if (coded.facts['errno'] === 'ELOOP') {
    return new WalgError('TARGET_MISMATCH', `"${path}" is a symbolic link: nothing is written through it`, {
      facts: { path },
      hint: 'restore into an empty directory',
      cause: error,
    })
  }
  return coded
}
