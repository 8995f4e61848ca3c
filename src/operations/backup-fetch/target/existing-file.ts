import fs from 'node:fs'
import { errnoOf, fromSystemError } from '../../../kit/errors.ts'
import type { Flusher } from './flusher.ts'
import { type FinishedFile, toMicroseconds } from './target-file.ts'

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = fs.constants
const READ_BYTES = 1 << 20

/** A file that was in the directory before the restore, and may be right already. */
export class ExistingFile {
  readonly #path: string
  readonly #fd: number
  readonly #info: fs.Stats

  private constructor(path: string, fd: number, info: fs.Stats) {
    this.#path = path
    this.#fd = fd
    this.#info = info
  }

  /** Opens it; undefined when there is no plain file of this size. */
  static open(path: string | Buffer, sizeBytes: number): ExistingFile | undefined {
    let fd: number
    try {
      fd = fs.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
    } catch (error) {
      // what cannot be read cannot be kept either: it is written anew
      if (['ENOENT', 'ELOOP', 'EACCES', 'EISDIR', 'ENXIO'].includes(errnoOf(error) ?? '')) return undefined
      throw fromSystemError(error, 'read', String(path))
    }
    const info = fs.fstatSync(fd)
    if (info.isFile() && info.size === sizeBytes) return new ExistingFile(String(path), fd, info)
    fs.closeSync(fd)
    return undefined
  }

  /** Hands over all of it, lent. */
  read(take: (bytes: Uint8Array) => void): void {
    const piece = new Uint8Array(Math.min(READ_BYTES, Math.max(1, this.#info.size)))
    try {
      for (let at = 0; at < this.#info.size; ) {
        const count = fs.readSync(this.#fd, piece, 0, piece.length, at)
        if (count === 0) return
        take(piece.subarray(0, count))
        at += count
      }
    } catch (error) {
      fs.closeSync(this.#fd)
      throw fromSystemError(error, 'read', this.#path)
    }
  }

  /** Keeps it, with the mode of the backup; it is flushed, for nobody knows whether it was. */
  keep(mode: number, flusher: Flusher): FinishedFile {
    try {
      if ((this.#info.mode & 0o7777) !== mode) fs.fchmodSync(this.#fd, mode)
    } catch (error) {
      fs.closeSync(this.#fd)
      throw fromSystemError(error, 'set the mode of', this.#path)
    }
    flusher.finish(this.#fd, this.#path)
    return { sizeBytes: this.#info.size, mtimeUs: toMicroseconds(this.#info.mtimeMs) }
  }

  close(): undefined {
    fs.closeSync(this.#fd)
    return undefined
  }
}
