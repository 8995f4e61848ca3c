import { getSystemErrorName } from 'node:util'
import { errnoOf, fromSystemError } from '../../../kit/errors.ts'
import { fileSystem } from '../../../kit/file-system.ts'
import { FlushRing, type FlushRingData, LANE_ENTRIES } from './flush-ring.ts'

/** Files handed to the flushing threads; beyond that the writing thread flushes itself, which is a thread more. */
const UNDER_WAY_MAX = 16

export interface FlusherOptions {
  /** false: files are only closed. */
  readonly isDurable: boolean
  /** Null: no other threads flush. */
  readonly ring: FlushRingData | null
  readonly lane: number
  /** Throws when the work is to stop; asked while waiting. */
  readonly checkStop: () => void
}

/**
 * Flushes and closes finished files in other threads while this one goes on. A journalling file system writes its
 * journal once for all that wait for it at the time: several threads that wait are many times as fast as one. The
 * first failure is kept and thrown by the next call.
 */
export class Flusher {
  readonly #isDurable: boolean
  readonly #ring: FlushRing | undefined
  readonly #lane: number
  readonly #checkStop: () => void
  /** Of the last tasks, by number modulo entries: for the message of a failure. */
  readonly #paths: string[] = new Array<string>(LANE_ENTRIES).fill('')

  constructor(options: FlusherOptions) {
    this.#isDurable = options.isDurable
    this.#ring = options.ring === null || !options.isDurable ? undefined : new FlushRing(options.ring)
    this.#lane = options.lane
    this.#checkStop = options.checkStop
    this.#ring?.reset(this.#lane)
  }

  /** Lets the disk begin with what is written so far. */
  writeBack(fd: number, path: string): void {
    if (this.#hasRoom()) this.#push(fd, path, true)
  }

  /** Takes over the descriptor of a file that is completely written. */
  finish(fd: number, path: string): void {
    try {
      this.#check()
    } catch (error) {
      this.abandon(fd)
      throw error
    }
    if (this.#hasRoom()) this.#push(fd, path, false)
    else this.#finishHere(fd, path)
  }

  /** Blocks until all files are flushed and closed. */
  drain(): void {
    while (this.#ring !== undefined && this.#ring.underWay(this.#lane) > 0) {
      this.#ring.waitForDone(this.#lane)
      this.#checkStop()
    }
    this.#check()
  }

  /** Closes the descriptor of a file that is given up. */
  abandon(fd: number): void {
    try {
      fileSystem().blocking.close(fd)
    } catch {
      // an error is under way already
    }
  }

  #hasRoom(): boolean {
    return this.#ring !== undefined && this.#ring.underWay(this.#lane) < UNDER_WAY_MAX
  }

  #push(fd: number, path: string, isEarly: boolean): void {
    const sequence = this.#ring!.push(this.#lane, fd, isEarly)
    this.#paths[sequence & (LANE_ENTRIES - 1)] = path
  }

  #finishHere(fd: number, path: string): void {
    try {
      try {
        if (this.#isDurable) fileSystem().blocking.fsync(fd)
      } finally {
        closeDescriptor(fd)
      }
    } catch (error) {
      throw fromSystemError(error, 'flush', path)
    }
  }

  #check(): void {
    const failure = this.#ring?.failure(this.#lane)
    if (failure === undefined) return
    const name = getSystemErrorName(failure.errno)
    const error = Object.assign(new Error(`${name}: fsync`), { code: name, errno: failure.errno })
    throw fromSystemError(error, 'flush', this.#paths[failure.sequence & (LANE_ENTRIES - 1)]!)
  }
}

/** Linux has closed a descriptor even when it says EINTR. */
export function closeDescriptor(fd: number): void {
  try {
    fileSystem().blocking.close(fd)
  } catch (error) {
    if (errnoOf(error) !== 'EINTR') throw error
  }
}
