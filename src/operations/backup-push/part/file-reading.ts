import { openSync, readSync } from 'node:fs'
import { errnoOf, fromSystemError } from '../../../kit/errors.ts'
import { READ_NOW } from '../../../kit/file-system.ts'
import type { RateLimit } from '../../../kit/limits.ts'

/** Bytes asked for at once while a rate limit holds: at most those of a second, so that waits stay short. */
const LIMITED_READ_BYTES_MAX = 256 * 1024
const LIMITED_READ_BYTES_MIN = 4096

/** How much is read at once under a rate limit. */
export function limitedReadBytes(limit: RateLimit): number {
  return Math.max(LIMITED_READ_BYTES_MIN, Math.min(LIMITED_READ_BYTES_MAX, limit.bytesPerSecond))
}

/** Opens a file of the data directory; undefined when it is gone. Throws FILE_ACCESS. */
export function openFile(path: string): number | undefined {
  try {
    // a FIFO may have taken the place of the file since the walk
    return openSync(path, READ_NOW)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw fromSystemError(error, 'open', path)
  }
}

/** Where to read: a place in an open file. */
export interface ReadPlace {
  readonly fd: number
  /** For messages. */
  readonly path: string
  /** Null: where the last read ended. */
  readonly position: number | null
}

/** Reads up to `count` bytes into `memory` at `at`; 0 at the end of the file. Throws FILE_ACCESS. */
export function readInto(place: ReadPlace, memory: Uint8Array, at: number, count: number): number {
  try {
    return readSync(place.fd, memory, at, count, place.position)
  } catch (error) {
    throw fromSystemError(error, 'read', place.path)
  }
}
