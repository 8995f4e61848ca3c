import type { ByteSource } from '../../kit/bytes.ts'
import { throwIfCancelled } from '../../kit/clock.ts'
import { withDeadline } from '../../kit/deadline.ts'
import { WalgError } from '../../kit/errors.ts'
import { notice } from '../../kit/log.ts'
import { isPassing } from '../../kit/retry.ts'
import { rangeWithin } from '../ranges.ts'
import type { GetOptions } from '../storage.ts'
import { type PatienceOptions, patientRequest, silence } from './patient-request.ts'

/** The answer to a read: which bytes come, and of which version of the object. */
export interface ReadAnswer {
  readonly sizeBytes: number
  /** ETag or generation: a read that is taken up again must be of the same content. */
  readonly version: string
  /** Chunks of the body; an error of theirs is translated by the driver. `return` ends the request. */
  readonly body: AsyncIterator<Uint8Array>
}

export interface ReadRequest {
  readonly firstBytes: number
  /** Exclusive; undefined: to the end. */
  readonly endBytes: number | undefined
  /** Set when a read is taken up again: another version is FORMAT_TRUNCATED. */
  readonly version: string | undefined
}

/** A driver's side of a `ResumedSource`. */
export interface RangeReader {
  readonly key: string
  readonly storage: string
  /** Answers before the first byte: OBJECT_NOT_FOUND, or undefined when the range begins at or after the end. */
  request(range: ReadRequest, signal: AbortSignal): Promise<ReadAnswer | undefined>
  stat(signal: AbortSignal | undefined): Promise<{ readonly sizeBytes: number }>
  readonly patience: PatienceOptions
}

/** Opens an object for reading; a broken transfer is taken up where it broke, while there is progress. */
export async function openResumedSource(reader: RangeReader, options: GetOptions): Promise<ByteSource> {
  const { key, storage } = reader
  const { range, signal } = options
  throwIfCancelled(signal)
  const first = range?.first ?? 0
  const end = range?.end
  const isOdd = !Number.isSafeInteger(first) || first < 0 || (end !== undefined && !(end > first))
  const source = new ResumedSource(reader, { first, end, signal })
  if (!isOdd && (await source.open())) return source
  const { sizeBytes } = await reader.stat(signal)
  const { firstBytes, endBytes } = rangeWithin(key, storage, sizeBytes, range)
  if (firstBytes === endBytes) return emptySource
  throw new WalgError(
    'STORAGE_UNAVAILABLE',
    `object "${key}" in storage "${storage}" changed while it was opened`,
    {
      facts: { key, storage },
    },
  )
}

const emptySource: ByteSource = { read: () => 0, close: () => {} }

class ResumedSource implements ByteSource {
  readonly #reader: RangeReader
  readonly #signal: AbortSignal | undefined
  #at: number
  #endBytes: number | undefined
  #version: string | undefined
  #body: AsyncIterator<Uint8Array> | undefined
  #rest: Uint8Array = new Uint8Array(0)
  #stop: AbortController | undefined
  #isClosed = false

  constructor(
    reader: RangeReader,
    range: { first: number; end: number | undefined; signal: AbortSignal | undefined },
  ) {
    this.#reader = reader
    this.#at = range.first
    this.#endBytes = range.end
    this.#signal = range.signal
  }

  /** false when no byte lies in the range. */
  async open(): Promise<boolean> {
    let stop = new AbortController()
    const answer = await patientRequest(
      async tried => {
        // the signal of the try ends with the answer, the body lives on with one of its own
        stop = new AbortController()
        const { signal } = stop
        const end = (): void => stop.abort(tried.reason)
        tried.addEventListener('abort', end, { once: true })
        try {
          const range = { firstBytes: this.#at, endBytes: this.#endBytes, version: this.#version }
          return await this.#reader.request(range, signal)
        } finally {
          tried.removeEventListener('abort', end)
        }
      },
      this.#reader.patience,
      this.#signal,
    )
    if (answer === undefined) return false
    const { signal } = stop
    const forward = (): void => stop.abort(this.#signal?.reason)
    this.#signal?.addEventListener('abort', forward, { once: true })
    signal.addEventListener('abort', () => this.#signal?.removeEventListener('abort', forward), {
      once: true,
    })
    this.#stop = stop
    this.#body = answer.body
    this.#version = answer.version
    this.#endBytes = Math.min(this.#endBytes ?? answer.sizeBytes, answer.sizeBytes)
    return true
  }

  async read(into: Uint8Array): Promise<number> {
    let fruitless = 0
    for (;;) {
      throwIfCancelled(this.#signal)
      if (this.#rest.length > 0) return this.#hand(into)
      if (this.#isClosed || this.#at >= (this.#endBytes ?? 0)) return this.#finish()
      try {
        const next = await this.#nextChunk()
        if (next === undefined || next.done === true) throw this.#broken('the connection ended')
        const leftBytes = (this.#endBytes ?? 0) - this.#at
        this.#rest = next.value.length > leftBytes ? next.value.subarray(0, leftBytes) : next.value
        fruitless = 0
      } catch (error) {
        throwIfCancelled(this.#signal)
        if (this.#isClosed) return 0
        if (!isPassing(error) || ++fruitless > RESUMES_WITHOUT_A_BYTE_MAX) throw error
        await this.#endBody()
        notice(`${error.message}; it is taken up there`)
        if (!(await this.open())) throw error
      }
    }
  }

  async #nextChunk(): Promise<IteratorResult<Uint8Array> | undefined> {
    const next = this.#body?.next()
    if (next === undefined) return undefined
    const { tryTimeoutMs, stallTimeoutMs: timeoutMs = tryTimeoutMs } = this.#reader.patience
    return withDeadline(next, { timeoutMs, onTimeout: () => this.#broken(silence(timeoutMs).message) })
  }

  #hand(into: Uint8Array): number {
    const count = Math.min(into.length, this.#rest.length)
    into.set(this.#rest.subarray(0, count))
    this.#rest = this.#rest.subarray(count)
    this.#at += count
    return count
  }

  async #finish(): Promise<number> {
    await this.#endBody()
    return 0
  }

  async close(): Promise<void> {
    this.#isClosed = true
    this.#rest = new Uint8Array(0)
    await this.#endBody()
  }

  async #endBody(): Promise<void> {
    const body = this.#body
    this.#body = undefined
    this.#stop?.abort()
    this.#stop = undefined
    await body?.return?.()?.catch(() => {})
  }

  #broken(reason: string): WalgError {
    const { key, storage } = this.#reader
    const where = `at byte ${this.#at} of ${this.#endBytes}`
    return new WalgError(
      'STORAGE_UNAVAILABLE',
      `unable to get object "${key}" in storage "${storage}": it broke off ${where}, ${reason}`,
      {
        facts: { key, storage, atBytes: this.#at },
        hint: 'see whether the storage can be reached from here, then run the command again',
      },
    )
  }
}

/** In a row, without one byte between them. Each of them is patient by itself. */
const RESUMES_WITHOUT_A_BYTE_MAX = 5

/** Two halves of different objects are no object. */
export function replacedWhileRead(key: string, storage: string): WalgError {
  return new WalgError(
    'FORMAT_TRUNCATED',
    `object "${key}" in storage "${storage}" was replaced while it was read`,
    { facts: { key, storage }, hint: 'run the command again' },
  )
}
