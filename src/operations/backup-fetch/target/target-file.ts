import fs from 'node:fs'
import type { PatchTarget } from '../../../delta/apply.ts'
import type { BeneathTarget } from '../../../delta/beneath.ts'
import { fromSystemError, WalgError } from '../../../kit/errors.ts'
import { fileSystem } from '../../../kit/file-system.ts'
import type { Flusher } from './flusher.ts'

const { O_CREAT, O_NOFOLLOW, O_NONBLOCK, O_RDWR, O_TRUNC, O_WRONLY } = fs.constants
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
  readonly #fd: number
  readonly #use: TargetFileUse
  readonly #flusher: Flusher
  #unflushedBytes = 0

  constructor(path: string | Buffer, mode: number, use: TargetFileUse, flusher: Flusher) {
    this.path = String(path)
    this.#use = use
    this.#flusher = flusher
    const flags = OPEN_FLAGS[use] | O_NOFOLLOW | O_NONBLOCK
    try {
      // the call takes a Buffer too, which a name that is not UTF-8 needs
      this.#fd = fileSystem().blocking.open(path as string, flags, (mode & 0o777) | 0o200)
    } catch (error) {
      throw openFailure(error, this.path, use)
    }
  }

  /** Writes at the end of what is written so far. */
  write(bytes: Uint8Array): void {
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
