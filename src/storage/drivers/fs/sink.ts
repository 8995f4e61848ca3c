import type { Awaitable } from '../../../kit/bytes.ts'
import { throwIfCancelled } from '../../../kit/clock.ts'
import { errnoOf } from '../../../kit/errors.ts'
import { type FileSteps, runBlocking, runPooled } from '../../../kit/file-steps.ts'
import type { FileSystem } from '../../../kit/file-system.ts'
import { sinkClosed } from '../../lifetime.ts'
import type { ObjectSink, PutOptions } from '../../storage.ts'
import { type FsPlace, fromFsError } from './place.ts'
import { isDrawn, sweepFolder } from './sweep.ts'
import { discard, openTemporary, publish, syncFoldersAbove, type Temporary } from './temporary.ts'

/** How calls are made while bytes move: in this thread, or on the thread pool where they can be waited for. */
export type CallMode = 'blocking' | 'pooled'

/** After so many bytes their way to the disk is begun in the background: the closing fsync is then short. */
const SYNC_EVERY_BYTES = 64 * 1024 * 1024

/** A small object (a WAL segment) would come to its closing fsync before that: so its first bytes set out early. */
const EARLY_SYNC_BYTES = 2 * 1024 * 1024

/** Beyond this many the disk is behind anyhow; the closing fsync takes the rest. */
const SYNCS_UNDER_WAY_MAX = 32

export interface FsSinkOptions extends PutOptions {
  readonly mode: CallMode
  /** Makes the temporary's file by other means, for copies. */
  readonly fill?: (path: string) => FileSteps<number>
}

/** Opens the sink of an object; a promise only in mode `pooled`. */
export function openFsSink(
  system: FileSystem,
  place: FsPlace,
  key: string,
  options: FsSinkOptions,
): Awaitable<FsSink> {
  const steps = translated(openTemporary(place, key, options, options.fill), place, key)
  const open = (temporary: Temporary): FsSink => new FsSink(system, place, temporary, options)
  if (options.mode === 'blocking') {
    throwIfCancelled(options.signal)
    return open(runBlocking(system, steps))
  }
  return runPooled(system, steps, options.signal).then(open)
}

/**
 * An object of the file system being written. Anything that fails here fails the object: in particular an fsync,
 * since the system reports a lost page only once.
 */
export class FsSink implements ObjectSink {
  readonly #system: FileSystem
  readonly #place: FsPlace
  readonly #temporary: Temporary
  readonly #options: FsSinkOptions
  #putBytes = 0
  #unsyncedBytes = 0
  #failure: Error | undefined
  #state: 'open' | 'ended' | 'aborted' = 'open'
  /** Background syncing and calls under way: the descriptor is not closed before they have come back. */
  #underWay: Promise<void> = Promise.resolve()
  #syncsUnderWay = 0

  constructor(system: FileSystem, place: FsPlace, temporary: Temporary, options: FsSinkOptions) {
    this.#system = system
    this.#place = place
    this.#temporary = temporary
    this.#options = options
    if (place.isDurable) {
      this.#inBackground(runPooled(system, syncFoldersAbove(place, temporary.folder)))
    }
  }

  write(bytes: Uint8Array): Awaitable<void> {
    this.#checkOpen()
    if (this.#options.mode === 'pooled') return this.#writePooled(bytes)
    const calls = this.#system.blocking
    for (let at = 0; at < bytes.length; ) {
      try {
        at += written(calls.write(this.#temporary.fd, bytes, at, bytes.length - at))
      } catch (error) {
        if (errnoOf(error) !== 'EINTR') throw this.#fail(error)
      }
    }
    this.#afterWrite(bytes.length)
  }

  async #writePooled(bytes: Uint8Array): Promise<void> {
    const work = this.#writeAll(bytes)
    this.#underWay = Promise.allSettled([this.#underWay, work]).then(() => {})
    await work
    this.#afterWrite(bytes.length)
  }

  async #writeAll(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      try {
        at += written(await this.#system.pooled.write(this.#temporary.fd, bytes, at, bytes.length - at))
      } catch (error) {
        if (errnoOf(error) !== 'EINTR') throw this.#fail(error)
      }
    }
  }

  #afterWrite(bytes: number): void {
    this.#unsyncedBytes += bytes
    this.#putBytes += bytes
    const isEarly = this.#putBytes < SYNC_EVERY_BYTES && this.#syncsUnderWay === 0
    const afterBytes = isEarly ? EARLY_SYNC_BYTES : SYNC_EVERY_BYTES
    if (this.#unsyncedBytes < afterBytes || !this.#place.isDurable) return
    if (this.#syncsUnderWay >= SYNCS_UNDER_WAY_MAX) return
    this.#unsyncedBytes = 0
    this.#syncsUnderWay++
    const sync = this.#system.pooled.fdatasync(this.#temporary.fd).finally(() => {
      this.#syncsUnderWay--
    })
    this.#inBackground(sync)
  }

  #inBackground(work: Promise<void>): void {
    const settled = work.catch(error => {
      this.#fail(error)
    })
    this.#underWay = Promise.all([this.#underWay, settled]).then(() => {})
  }

  /** Whatever fails here or has failed before leaves nothing, without an `abort`. */
  async end(): Promise<void> {
    if (this.#state !== 'open') this.#checkOpen()
    this.#state = 'ended'
    try {
      await this.#underWay
      if (this.#failure !== undefined) throw this.#failure
      throwIfCancelled(this.#options.signal)
      await runPooled(
        this.#system,
        publish(this.#place, this.#temporary, this.#options),
        this.#options.signal,
      )
    } catch (error) {
      const failure = this.#fail(error)
      await this.#discard()
      throw failure
    }
    if (isDrawn(this.#temporary.path, this.#place.sweepOneIn)) {
      await runPooled(this.#system, sweepFolder(this.#temporary.folder))
    }
  }

  async abort(): Promise<void> {
    if (this.#state !== 'open') return
    this.#state = 'aborted'
    await this.#underWay
    await this.#discard()
  }

  /** What cannot be removed stays hidden, and is swept when it is old: the first failure is the one to report. */
  async #discard(): Promise<void> {
    try {
      await runPooled(this.#system, discard(this.#temporary))
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
    this.#failure ??= fromFsError(error, this.#place, 'put', this.#temporary.key)
    return this.#failure
  }
}

/** A write of nothing that is no error would be repeated for ever. */
function written(count: number): number {
  if (count > 0) return count
  throw Object.assign(new Error('the system wrote nothing and gave no reason'), { code: 'EIO' })
}

function* translated<T>(steps: FileSteps<T>, place: FsPlace, key: string): FileSteps<T> {
  try {
    return yield* steps
  } catch (error) {
    throw fromFsError(error, place, 'put', key)
  }
}
