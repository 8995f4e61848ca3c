import { errnoOf, fromSystemError } from '../../../kit/errors.ts'
import { fileSystem } from '../../../kit/file-system.ts'

/** Files of which the flush is still under way. */
const IN_FLIGHT_MAX = 16

/**
 * Flushes and closes finished files on the thread pool while the part goes on, at most 16 at a time. The first
 * failure is kept and thrown by `room` and `drained`.
 */
export class Flusher {
  readonly #isDurable: boolean
  #inFlight = 0
  #failure: unknown
  #wake: (() => void) | undefined
  /** Early write-back of a file that is still being written. */
  readonly #early = new Map<number, Promise<void>>()

  constructor(isDurable: boolean) {
    this.#isDurable = isDurable
  }

  /** Undefined when another file may be finished at once, else a promise of that. */
  room(): Promise<void> | undefined {
    this.#check()
    return this.#inFlight < IN_FLIGHT_MAX ? undefined : this.#wait(() => this.#inFlight < IN_FLIGHT_MAX)
  }

  /** All files are flushed and closed. */
  async drained(): Promise<void> {
    if (this.#inFlight > 0 || this.#early.size > 0) {
      await this.#wait(() => this.#inFlight === 0 && this.#early.size === 0)
    }
    this.#check()
  }

  /** Lets the disk begin with what is written so far, unless it still is at it. */
  writeBack(fd: number, path: string): void {
    if (!this.#isDurable || this.#early.has(fd)) return
    const flush = fileSystem()
      .pooled.fdatasync(fd)
      .catch(error => this.#fail(error, path))
      .finally(() => {
        this.#early.delete(fd)
        this.#wake?.()
      })
    this.#early.set(fd, flush)
  }

  /** Takes over the descriptor of a file that is completely written. */
  finish(fd: number, path: string): void {
    if (!this.#isDurable) {
      this.#close(fd, path)
      return
    }
    this.#inFlight++
    this.#flush(fd, path)
      .catch(error => this.#fail(error, path))
      .finally(() => {
        this.#inFlight--
        this.#wake?.()
      })
  }

  /** Closes the descriptor of a file that is given up. */
  abandon(fd: number): Promise<void> {
    const early = this.#early.get(fd) ?? Promise.resolve()
    return early.then(() => this.#close(fd, 'an unfinished file'))
  }

  async #flush(fd: number, path: string): Promise<void> {
    try {
      await this.#early.get(fd)
      await fileSystem().pooled.fsync(fd)
    } finally {
      this.#close(fd, path)
    }
  }

  #close(fd: number, path: string): void {
    try {
      fileSystem().blocking.close(fd)
    } catch (error) {
      // Linux has closed it even when it says EINTR
      if (errnoOf(error) !== 'EINTR') this.#fail(error, path)
    }
  }

  #fail(error: unknown, path: string): void {
    this.#failure ??= fromSystemError(error, 'flush', path)
    this.#wake?.()
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure
  }

  async #wait(isDone: () => boolean): Promise<void> {
    while (!isDone() && this.#failure === undefined) {
      await new Promise<void>(resolve => {
        this.#wake = resolve
      })
    }
    this.#wake = undefined
    this.#check()
  }
}
