import type { Awaitable, ByteSource } from '../../../kit/bytes.ts'
import { throwIfCancelled } from '../../../kit/clock.ts'
import { errnoOf } from '../../../kit/errors.ts'
import { call, type FileSteps, runBlocking, runPooled } from '../../../kit/file-steps.ts'
import { type FileSystem, READ_NOW } from '../../../kit/file-system.ts'
import { type ObjectRange, rangeWithin } from '../../ranges.ts'
import type { GetOptions, ObjectInfo } from '../../storage.ts'
import { checkAbsence, type FsPlace, fromFsError, objectNotFound, resolveKey } from './place.ts'
import type { CallMode } from './sink.ts'

interface OpenedObject extends ObjectRange {
  readonly fd: number
}

/** Size and time of an object; OBJECT_NOT_FOUND for anything but a regular file. */
export function* statObject(place: FsPlace, key: string): FileSteps<ObjectInfo> {
  const path = yield* resolveKey(place, key)
  try {
    const stat = yield* call('lstat', path)
    if (!stat.isFile()) throw objectNotFound(key, place.name)
    return { key, sizeBytes: Number(stat.size), modifiedNs: stat.mtimeNs }
  } catch (error) {
    yield* checkAbsence(place, key, error)
    throw fromFsError(error, place, 'read', key)
  }
}

/** Opens a source; a promise only in mode `pooled`. */
export function openFsSource(
  system: FileSystem,
  place: FsPlace,
  key: string,
  options: GetOptions,
  mode: CallMode,
): Awaitable<ByteSource> {
  const steps = openObject(place, key, options)
  if (mode === 'pooled') {
    return runPooled(system, steps, options.signal).then(
      opened => new FsSource(system, place, key, opened, options, mode),
    )
  }
  throwIfCancelled(options.signal)
  return new FsSource(system, place, key, runBlocking(system, steps), options, mode)
}

function* openObject(place: FsPlace, key: string, options: GetOptions): FileSteps<OpenedObject> {
  const path = yield* resolveKey(place, key)
  let fd = -1
  try {
    fd = yield* call('open', path, READ_NOW)
    const stat = yield* call('fstat', fd)
    if (!stat.isFile()) throw objectNotFound(key, place.name)
    return { fd, ...rangeWithin(key, place.name, Number(stat.size), options.range) }
  } catch (error) {
    if (fd !== -1) yield* call('close', fd)
    yield* checkAbsence(place, key, error)
    throw fromFsError(error, place, 'read', key)
  }
}

function* closeObject(place: FsPlace, key: string, fd: number): FileSteps<void> {
  try {
    yield* call('close', fd)
  } catch (error) {
    throw fromFsError(error, place, 'read', key)
  }
}

/** Reads one file from its first to its last wanted byte, into the caller's memory. */
class FsSource implements ByteSource {
  readonly #system: FileSystem
  readonly #place: FsPlace
  readonly #key: string
  readonly #signal: AbortSignal | undefined
  readonly #mode: CallMode
  readonly #endBytes: number
  #fd: number
  #at: number
  #underWay: Promise<unknown> | undefined

  constructor(
    system: FileSystem,
    place: FsPlace,
    key: string,
    opened: OpenedObject,
    options: GetOptions,
    mode: CallMode,
  ) {
    this.#system = system
    this.#place = place
    this.#key = key
    this.#fd = opened.fd
    this.#at = opened.firstBytes
    this.#endBytes = opened.endBytes
    this.#signal = options.signal
    this.#mode = mode
  }

  read(into: Uint8Array): Awaitable<number> {
    throwIfCancelled(this.#signal)
    const wanted = Math.min(into.length, this.#endBytes - this.#at)
    if (wanted <= 0 || this.#fd === -1) return 0
    if (this.#mode === 'pooled') return this.#readPooled(into, wanted)
    for (;;) {
      try {
        return this.#advance(this.#system.blocking.read(this.#fd, into, 0, wanted, this.#at))
      } catch (error) {
        if (errnoOf(error) !== 'EINTR') throw fromFsError(error, this.#place, 'read', this.#key)
      }
    }
  }

  async #readPooled(into: Uint8Array, wanted: number): Promise<number> {
    try {
      const work = runPooled(this.#system, call('read', this.#fd, into, 0, wanted, this.#at))
      this.#underWay = work
      return this.#advance(await work)
    } catch (error) {
      throw fromFsError(error, this.#place, 'read', this.#key)
    } finally {
      this.#underWay = undefined
    }
  }

  /** The file can be shorter than it was: an original before 3.0.9 writes into the final name. */
  #advance(count: number): number {
    this.#at = count === 0 ? this.#endBytes : this.#at + count
    return count
  }

  close(): Awaitable<void> {
    const fd = this.#fd
    this.#fd = -1
    if (fd === -1) return
    const steps = closeObject(this.#place, this.#key, fd)
    if (this.#mode === 'blocking') return runBlocking(this.#system, steps)
    return Promise.resolve(this.#underWay)
      .catch(() => {})
      .then(() => runPooled(this.#system, steps))
  }
}
