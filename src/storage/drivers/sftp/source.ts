import type { Awaitable, ByteSource } from '../../../kit/bytes.ts'
import { throwIfCancelled } from '../../../kit/clock.ts'
import { hasCode, WalgError } from '../../../kit/errors.ts'
import { rangeWithin } from '../../ranges.ts'
import type { GetOptions, ObjectInfo } from '../../storage.ts'
import type { SftpLink } from './link.ts'
import { checkAbsence, fromSftpError, lostTooOften, objectNotFound, pathOf, type SftpPlace } from './place.ts'
import type { SftpHandle, SftpSession, SftpStat } from './session.ts'

/** Bytes asked for ahead of the reader. */
const IN_FLIGHT_BYTES_MAX = 2 * 1024 * 1024

/** So often an object may lose its connection. */
const RESUMES_MAX = 16

/** A piece that was asked for. */
interface Flight {
  readonly position: number
  readonly bytes: Buffer
  arrivedBytes: number
  settled: Promise<void>
}

/** Size and time of an object; OBJECT_NOT_FOUND for anything but a file. */
export async function statObject(session: SftpSession, place: SftpPlace, key: string): Promise<ObjectInfo> {
  try {
    const stat = await session.stat(pathOf(place, key))
    if (stat.kind !== 'file') throw objectNotFound(key, place)
    return { key, sizeBytes: stat.sizeBytes, modifiedNs: stat.modifiedNs }
  } catch (error) {
    await checkAbsence(session, place, key, error)
    throw fromSftpError(error, place, 'read', key)
  }
}

/** Opens a source; OBJECT_NOT_FOUND and RANGE_INVALID before the first byte. */
export function openSftpSource(
  link: SftpLink,
  place: SftpPlace,
  key: string,
  options: GetOptions,
): Promise<ByteSource> {
  return link.run(async session => {
    const opened = await openObject(session, place, key)
    try {
      const range = rangeWithin(key, place.name, opened.stat.sizeBytes, options.range)
      return new SftpSource(link, place, key, { ...opened, ...range }, options)
    } catch (error) {
      await session.closeHandle(opened.handle)
      throw error
    }
  }, options.signal)
}

interface OpenedObject {
  readonly session: SftpSession
  readonly handle: SftpHandle
  readonly stat: SftpStat
}

async function openObject(session: SftpSession, place: SftpPlace, key: string): Promise<OpenedObject> {
  try {
    const handle = await session.open(pathOf(place, key), 'r')
    const stat = await session.fstat(handle)
    if (stat.kind === 'file') return { session, handle, stat }
    await session.closeHandle(handle)
    throw objectNotFound(key, place)
  } catch (error) {
    await checkAbsence(session, place, key, error)
    throw fromSftpError(error, place, 'read', key)
  }
}

/** Reads one file with many requests under way, and goes on after a lost connection when it is still the same file. */
class SftpSource implements ByteSource {
  readonly #link: SftpLink
  readonly #place: SftpPlace
  readonly #key: string
  readonly #signal: AbortSignal | undefined
  readonly #stat: SftpStat
  readonly #endBytes: number
  readonly #requestBytes: number
  readonly #spare: Buffer[] = []
  #session: SftpSession
  #handle: SftpHandle | undefined
  #flights: Flight[] = []
  /** Next byte to ask for. */
  #asked: number
  /** Next byte to hand out. */
  #at: number
  #resumes = 0
  #isBroken = false
  #failure: Error | undefined

  constructor(
    link: SftpLink,
    place: SftpPlace,
    key: string,
    opened: OpenedObject & { readonly firstBytes: number; readonly endBytes: number },
    options: GetOptions,
  ) {
    this.#link = link
    this.#place = place
    this.#key = key
    this.#signal = options.signal
    this.#stat = opened.stat
    this.#session = opened.session
    this.#handle = opened.handle
    this.#requestBytes = opened.session.requestBytes
    this.#at = opened.firstBytes
    this.#asked = opened.firstBytes
    this.#endBytes = opened.endBytes
    this.#askAhead()
  }

  read(into: Uint8Array): Awaitable<number> {
    throwIfCancelled(this.#signal)
    if (this.#at >= this.#endBytes || this.#handle === undefined || into.length === 0) return 0
    return this.#readNext(into)
  }

  async #readNext(into: Uint8Array): Promise<number> {
    await this.#arrive()
    let filled = 0
    while (filled < into.length) {
      const flight = this.#flights[0]
      if (flight === undefined || flight.arrivedBytes < flight.bytes.length) break
      const from = this.#at - flight.position
      const count = Math.min(into.length - filled, flight.bytes.length - from)
      into.set(flight.bytes.subarray(from, from + count), filled)
      filled += count
      this.#at += count
      if (from + count === flight.bytes.length) {
        this.#flights.shift()
        this.#spare.push(flight.bytes)
        this.#askAhead()
      }
    }
    throwIfCancelled(this.#signal)
    return filled
  }

  /** Waits until the first piece is there as a whole. */
  async #arrive(): Promise<void> {
    for (;;) {
      const flight = this.#flights[0]
      await flight?.settled
      if (this.#failure !== undefined) throw this.#failure
      if (this.#isBroken) await this.#resume()
      else if (flight === undefined || flight.arrivedBytes === flight.bytes.length) return
    }
  }

  #askAhead(): void {
    if (this.#isBroken || this.#handle === undefined) return
    while (this.#asked < this.#endBytes && this.#flights.length * this.#requestBytes < IN_FLIGHT_BYTES_MAX) {
      const sizeBytes = Math.min(this.#requestBytes, this.#endBytes - this.#asked)
      const spare = this.#spare.pop()
      const bytes =
        spare !== undefined && spare.length >= sizeBytes
          ? spare.subarray(0, sizeBytes)
          : Buffer.allocUnsafe(sizeBytes)
      const flight: Flight = { position: this.#asked, bytes, arrivedBytes: 0, settled: Promise.resolve() }
      this.#asked += sizeBytes
      this.#flights.push(flight)
      this.#ask(flight, this.#handle)
    }
  }

  #ask(flight: Flight, handle: SftpHandle): void {
    flight.settled = this.#fetch(flight, handle).catch(error => {
      if (hasCode(error, 'STORAGE_UNAVAILABLE')) this.#isBroken = true
      else this.#failure ??= fromSftpError(error, this.#place, 'read', this.#key)
    })
  }

  /** A server may give less than it was asked for; nothing at all means that the file has become shorter. */
  async #fetch(flight: Flight, handle: SftpHandle): Promise<void> {
    const session = this.#session
    while (flight.arrivedBytes < flight.bytes.length) {
      const rest = flight.bytes.subarray(flight.arrivedBytes)
      const count = await session.read(handle, rest, flight.position + flight.arrivedBytes)
      if (count === 0) throw changed(this.#place, this.#key)
      flight.arrivedBytes += count
    }
  }

  async #resume(): Promise<void> {
    await Promise.all(this.#flights.map(flight => flight.settled))
    if (this.#failure !== undefined) throw this.#failure
    try {
      if (++this.#resumes > RESUMES_MAX) throw lostTooOften(this.#place, 'read', this.#key, RESUMES_MAX)
      await this.#link.run(async session => {
        const opened = await openObject(session, this.#place, this.#key)
        const { sizeBytes, modifiedNs } = opened.stat
        if (sizeBytes !== this.#stat.sizeBytes || modifiedNs !== this.#stat.modifiedNs) {
          throw changed(this.#place, this.#key)
        }
        this.#session = session
        this.#handle = opened.handle
      }, this.#signal)
    } catch (error) {
      this.#failure = fromSftpError(error, this.#place, 'read', this.#key)
      throw this.#failure
    }
    this.#isBroken = false
    const handle = this.#handle
    if (handle === undefined) return
    for (const flight of this.#flights)
      if (flight.arrivedBytes < flight.bytes.length) this.#ask(flight, handle)
  }

  async close(): Promise<void> {
    const handle = this.#handle
    this.#handle = undefined
    if (handle === undefined) return
    await Promise.all(this.#flights.map(flight => flight.settled))
    // a lost connection has closed it already
    if (!this.#session.isLost) await this.#session.closeHandle(handle).catch(() => {})
  }
}

/** Of two contents under one name a reader gets one, never a mixture. */
function changed(place: SftpPlace, key: string): WalgError {
  return new WalgError(
    'FORMAT_TRUNCATED',
    `object "${key}" in storage "${place.name}" has changed, or become shorter, while it was read`,
    { facts: { key, storage: place.name }, hint: 'run the command again' },
  )
}
