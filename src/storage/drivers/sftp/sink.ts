import type { Awaitable } from '../../../kit/bytes.ts'
import { throwIfCancelled } from '../../../kit/clock.ts'
import { hasCode, WalgError } from '../../../kit/errors.ts'
import { sinkClosed } from '../../lifetime.ts'
import type { ObjectSink, PutOptions } from '../../storage.ts'
import type { SftpLink } from './link.ts'
import { fromSftpError, fromWriteError, lostTooOften, type SftpPlace } from './place.ts'
import type { SftpHandle, SftpSession } from './session.ts'
import { isDrawn, sweepFolder } from './sweep.ts'
import {
  discard,
  giveName,
  openTemporary,
  syncFile,
  syncFolder,
  syncFoldersAbove,
  type Temporary,
} from './temporary.ts'

/** Bytes on their way to the server at a time: what a fast line with a long way has room for. */
const IN_FLIGHT_BYTES_MAX = 2 * 1024 * 1024

/** So often an object may lose its connection: then something is wrong that trying again does not cure. */
const RESUMES_MAX = 16

/** A piece of the object that the server has not confirmed: kept, because its connection may be lost. */
interface Flight {
  readonly position: number
  readonly buffer: Buffer
  readonly bytes: Buffer
  isConfirmed: boolean
  settled: Promise<void>
}

/** Opens the sink of an object. */
export async function openSftpSink(
  link: SftpLink,
  place: SftpPlace,
  key: string,
  options: PutOptions,
): Promise<SftpSink> {
  throwIfCancelled(options.signal)
  try {
    return await link.run(async session => {
      const { temporary, handle } = await openTemporary(session, place, key, options)
      return new SftpSink(link, place, { session, temporary, handle }, options)
    }, options.signal)
  } catch (error) {
    throw fromSftpError(error, place, 'put', key)
  }
}

interface OpenedTemporary {
  readonly session: SftpSession
  readonly temporary: Temporary
  readonly handle: SftpHandle
}

/**
 * An object being written: many requests under way, and their bytes kept until they are confirmed. After a lost
 * connection it goes on in the same temporary with what was not.
 */
export class SftpSink implements ObjectSink {
  readonly #link: SftpLink
  readonly #place: SftpPlace
  readonly #temporary: Temporary
  readonly #options: PutOptions
  readonly #requestBytes: number
  readonly #spare: Buffer[] = []
  #session: SftpSession
  #handle: SftpHandle
  #flights: Flight[] = []
  #buffer: Buffer
  #filledBytes = 0
  #position = 0
  #resumes = 0
  #isBroken = false
  /** The handle has been given back. */
  #isClosed = false
  #failure: Error | undefined
  #state: 'open' | 'ended' | 'aborted' = 'open'
  /** The folders above are made durable meanwhile. */
  #foldersAbove: Promise<void>

  constructor(link: SftpLink, place: SftpPlace, opened: OpenedTemporary, options: PutOptions) {
    this.#link = link
    this.#place = place
    this.#temporary = opened.temporary
    this.#session = opened.session
    this.#handle = opened.handle
    this.#options = options
    this.#requestBytes = opened.session.requestBytes
    this.#buffer = Buffer.allocUnsafe(this.#requestBytes)
    this.#foldersAbove = syncFoldersAbove(opened.session, place, opened.temporary.folder).catch(() => {
      this.#isBroken = true
    })
  }

  write(bytes: Uint8Array): Awaitable<void> {
    this.#checkOpen()
    return this.#fill(bytes, 0)
  }

  /** Synchronous while there is room; else the rest follows when there is. */
  #fill(bytes: Uint8Array, from: number): Awaitable<void> {
    for (let at = from; at < bytes.length; ) {
      const count = Math.min(bytes.length - at, this.#requestBytes - this.#filledBytes)
      this.#buffer.set(bytes.subarray(at, at + count), this.#filledBytes)
      this.#filledBytes += count
      at += count
      if (this.#filledBytes < this.#requestBytes) return
      this.#depart()
      if (this.#isFull()) return this.#makeRoom().then(() => this.#fill(bytes, at))
    }
  }

  #depart(): void {
    const flight: Flight = {
      position: this.#position,
      buffer: this.#buffer,
      bytes: this.#buffer.subarray(0, this.#filledBytes),
      isConfirmed: false,
      settled: Promise.resolve(),
    }
    this.#position += this.#filledBytes
    this.#filledBytes = 0
    this.#flights.push(flight)
    this.#send(flight)
    this.#land()
    this.#buffer = this.#spare.pop() ?? Buffer.allocUnsafe(this.#requestBytes)
  }

  #send(flight: Flight): void {
    const session = this.#session
    flight.settled = session.write(this.#handle, flight.bytes, flight.position).then(
      () => {
        flight.isConfirmed = true
      },
      async error => {
        if (hasCode(error, 'STORAGE_UNAVAILABLE')) this.#isBroken = true
        else this.#failure ??= await fromWriteError(error, session, this.#place, this.#temporary.key)
      },
    )
  }

  /** Buffers of confirmed bytes are used again. */
  #land(): void {
    while (this.#flights[0]?.isConfirmed === true) this.#spare.push(this.#flights.shift()!.buffer)
  }

  #isFull(): boolean {
    return this.#flights.length * this.#requestBytes >= IN_FLIGHT_BYTES_MAX
  }

  async #makeRoom(): Promise<void> {
    do {
      await this.#flights[0]?.settled
      if (this.#failure !== undefined) throw this.#failure
      if (this.#isBroken) await this.#resume()
      this.#land()
    } while (this.#isFull())
    this.#checkOpen()
  }

  /** Goes on with the temporary in a new session: what was confirmed must be there, the rest is sent again. */
  async #resume(): Promise<void> {
    await Promise.all(this.#flights.map(flight => flight.settled))
    if (this.#failure !== undefined) throw this.#failure
    if (++this.#resumes > RESUMES_MAX)
      throw this.#fail(lostTooOften(this.#place, 'put', this.#temporary.key, RESUMES_MAX))
    this.#land()
    const confirmedBytes = this.#flights[0]?.position ?? this.#position
    try {
      await this.#link.run(async session => {
        const handle = await session.open(this.#temporary.path, 'r+')
        const { sizeBytes } = await session.fstat(handle)
        if (sizeBytes < confirmedBytes)
          throw bytesLost(this.#place, this.#temporary.key, sizeBytes, confirmedBytes)
        this.#session = session
        this.#handle = handle
      }, this.#options.signal)
    } catch (error) {
      throw this.#fail(error)
    }
    this.#isBroken = false
    this.#foldersAbove = syncFoldersAbove(this.#session, this.#place, this.#temporary.folder).catch(() => {
      this.#isBroken = true
    })
    for (const flight of this.#flights) if (!flight.isConfirmed) this.#send(flight)
  }

  /** Whatever fails here or has failed before leaves nothing, without an `abort`. */
  async end(): Promise<void> {
    this.#checkOpen()
    this.#state = 'ended'
    try {
      if (this.#filledBytes > 0) this.#depart()
      await this.#confirm()
      throwIfCancelled(this.#options.signal)
      await this.#publish()
    } catch (error) {
      const failure = this.#fail(error)
      await this.#discard()
      throw failure
    }
  }

  /** Everything is on the server's disk, and as much as was written. */
  async #confirm(): Promise<void> {
    for (;;) {
      await Promise.all(this.#flights.map(flight => flight.settled))
      await this.#foldersAbove
      if (this.#failure !== undefined) throw this.#failure
      try {
        if (!this.#isBroken) return await this.#syncWhole()
      } catch (error) {
        if (!hasCode(error, 'STORAGE_UNAVAILABLE') || !this.#session.isLost) throw error
      }
      await this.#resume()
    }
  }

  async #syncWhole(): Promise<void> {
    const [{ sizeBytes }] = await Promise.all([
      this.#session.fstat(this.#handle),
      syncFile(this.#session, this.#handle),
    ])
    if (sizeBytes !== this.#position)
      throw bytesLost(this.#place, this.#temporary.key, sizeBytes, this.#position)
    await this.#session.closeHandle(this.#handle)
    this.#isClosed = true
  }

  async #publish(): Promise<void> {
    const { folder } = this.#temporary
    await this.#link.run(async (session, attempt) => {
      await giveName(session, this.#place, this.#temporary, { ...this.#options, isRepeated: attempt > 1 })
      await syncFolder(session, folder)
      if (isDrawn(this.#temporary.path, this.#place.sweepOneIn)) await sweepFolder(session, folder)
    })
  }

  async abort(): Promise<void> {
    if (this.#state !== 'open') return
    this.#state = 'aborted'
    await this.#discard()
  }

  /** What cannot be removed stays hidden, and is swept when it is old: the first failure is the one to report. */
  async #discard(): Promise<void> {
    try {
      await Promise.all(this.#flights.map(flight => flight.settled))
      await this.#link.run(
        async session => {
          // a file that is open keeps its room
          if (session === this.#session && !this.#isClosed) await session.closeHandle(this.#handle)
          await discard(session, this.#temporary)
        },
        undefined,
        1,
      )
    } catch (error) {
      this.#fail(error)
    }
  }

  #checkOpen(): void {
    if (this.#failure !== undefined) throw this.#failure
    throwIfCancelled(this.#options.signal)
    if (this.#state !== 'open') throw sinkClosed(this.#temporary.key, this.#place.name)
  }

  #fail(error: unknown): Error {
    this.#failure ??= fromSftpError(error, this.#place, 'put', this.#temporary.key)
    return this.#failure
  }
}

/** The server has not kept what it confirmed: it was switched off between two connections, or its disk is full. */
function bytesLost(place: SftpPlace, key: string, sizeBytes: number, wantedBytes: number): WalgError {
  return new WalgError(
    'FORMAT_TRUNCATED',
    `unable to put object "${key}" in storage "${place.name}": "${place.host}" has ${sizeBytes} bytes of it where it confirmed ${wantedBytes}`,
    { facts: { key, storage: place.name, sizeBytes, wantedBytes } },
  )
}
