import { eventTurn, throwIfCancelled } from '../../../kit/clock.ts'
import { hasCode, WalgError } from '../../../kit/errors.ts'
import { sinkClosed } from '../../lifetime.ts'
import type { BlockPool, PartBlocks } from '../../part-blocks.ts'
import type { ObjectSink, PutOptions } from '../../storage.ts'
import { MultipartUpload, type PartReceipt, putObject } from './multipart.ts'
import type { S3Requests } from './requests.ts'

export interface S3SinkOptions extends PutOptions {
  readonly requests: S3Requests
  readonly pool: BlockPool
  /** The whole key in the bucket. */
  readonly key: string
  /** As the caller names it. */
  readonly shownKey: string
  readonly storage: string
  /** Of the object; throws OBJECT_NOT_FOUND. */
  readonly stat: (signal: AbortSignal) => Promise<unknown>
  /** False: the store is known to have no conditional puts. */
  readonly isConditional: boolean
  /** It was found out that it has none. */
  readonly onUnconditional: () => void
}

const MIB = 1 << 20
const PART_BYTES_MIN = 5 * MIB
/** Parts of one size before the size doubles: 10,000 parts must hold any object. */
const PARTS_OF_A_SIZE = 2000
/** A part that takes longer shows that the network is slower than the writer: then more go at a time. */
const PART_PATIENCE_MS = 200
/** Bytes after which the thread lets its sockets work while parts are under way. */
const YIELD_BYTES = 1 << 19

/**
 * An object on its way to S3. What fits into a part is one PUT at the end; what does not becomes a multipart upload,
 * parts going out while the next one is filled. It holds two parts of memory, more only while the network is slower than
 * the writer, and as long as the budget of the process allows; waiting for its own parts it never needs more to go on.
 */
export class S3Sink implements ObjectSink {
  readonly #options: S3SinkOptions
  readonly #stop = new AbortController()
  /** Parts under way, with the time at which they set out. */
  readonly #running = new Map<Promise<void>, number>()
  readonly #receipts: PartReceipt[] = []
  #state: 'open' | 'ended' | 'aborted' = 'open'
  #current: PartBlocks | undefined
  #spare: PartBlocks | undefined
  #upload: MultipartUpload | undefined
  #partNumber = 1
  #failure: unknown
  #sinceYieldBytes = 0
  readonly #onAbort = (): void => this.#stop.abort(this.#options.signal?.reason)

  constructor(options: S3SinkOptions) {
    this.#options = options
    const { signal } = options
    if (signal?.aborted === true) this.#onAbort()
    else signal?.addEventListener('abort', this.#onAbort, { once: true })
  }

  write(bytes: Uint8Array): Promise<void> | void {
    this.#check()
    const count = this.#current?.fill(bytes) ?? 0
    if (count < bytes.length) return this.#writeRest(bytes.subarray(count))
    if (this.#running.size === 0) return
    this.#sinceYieldBytes += bytes.length
    if (this.#sinceYieldBytes < YIELD_BYTES) return
    this.#sinceYieldBytes = 0
    return eventTurn()
  }

  async end(): Promise<void> {
    this.#check()
    this.#state = 'ended'
    try {
      await this.#finish()
    } catch (error) {
      this.#stop.abort()
      await this.#cleanUp()
      throw error
    } finally {
      this.#release()
    }
  }

  async abort(): Promise<void> {
    if (this.#state !== 'open') return
    this.#state = 'aborted'
    this.#stop.abort()
    await this.#cleanUp()
    this.#release()
  }

  async #writeRest(bytes: Uint8Array): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      this.#check()
      if (this.#current?.isFull === true) await this.#startPart(this.#current)
      this.#current ??= await this.#nextPart()
      const part = this.#current
      at += part.fill(bytes.subarray(at))
      if (at < bytes.length && !part.isFull) await part.grow(this.#stop.signal)
    }
  }

  async #nextPart(): Promise<PartBlocks> {
    const { pool, expectedSizeBytes } = this.#options
    const bytesMax = this.#partBytes()
    if (this.#partNumber === 1) {
      const expected =
        expectedSizeBytes === undefined || expectedSizeBytes > bytesMax ? undefined : expectedSizeBytes
      return pool.openPart(bytesMax, expected, this.#stop.signal)
    }
    for (;;) {
      this.#check()
      const spare = this.#spare
      this.#spare = undefined
      if (spare?.bytesMax === bytesMax) return spare
      spare?.release()
      if (this.#running.size === 0) return pool.openPart(bytesMax, bytesMax, this.#stop.signal)
      const part = this.#mayOpenMore() ? pool.tryOpenPart(bytesMax) : undefined
      if (part !== undefined) return part
      await Promise.race([...this.#running.keys(), sleep(PART_PATIENCE_MS)])
    }
  }

  /** One part under way and one being filled are enough, unless the network is slow. */
  #mayOpenMore(): boolean {
    const { uploadsMax } = this.#options.requests.description
    if (this.#running.size >= uploadsMax) return false
    const nowMs = performance.now()
    const isSlow = this.#running.values().every(beganMs => nowMs - beganMs > PART_PATIENCE_MS)
    return this.#partNumber === 2 || isSlow
  }

  #partBytes(): number {
    const { partSizeBytes } = this.#options.requests.description
    const share = Math.max(PART_BYTES_MIN, Math.floor(this.#options.pool.limitBytes / 4 / MIB) * MIB)
    const bytes = Math.min(partSizeBytes, share)
    return bytes * 2 ** Math.floor((this.#partNumber - 1) / PARTS_OF_A_SIZE)
  }

  async #startPart(part: PartBlocks): Promise<void> {
    const { requests, key, onProgress } = this.#options
    this.#upload ??= new MultipartUpload(requests, key, { signal: this.#stop.signal, onProgress })
    const upload = this.#upload
    const number = this.#partNumber++
    this.#current = undefined
    const work = (async (): Promise<void> => {
      try {
        this.#receipts.push(await upload.putPart(number, part.bytes()))
      } catch (error) {
        this.#failure ??= error
        this.#stop.abort(error)
      }
      part.clear()
      if (this.#spare === undefined && this.#state === 'open') this.#spare = part
      else part.release()
    })()
    this.#running.set(work, performance.now())
    void work.then(() => this.#running.delete(work))
    this.#throwFailure()
  }

  async #finish(): Promise<void> {
    const rest = this.#current
    if (this.#upload !== undefined) {
      if (rest !== undefined && rest.sizeBytes > 0) await this.#startPart(rest)
      await Promise.all(this.#running.keys())
      this.#throwFailure()
    }
    const { ifAbsent, mayLookFirst, isConditional, onUnconditional } = this.#options
    if (ifAbsent !== true) return await this.#publish(rest, false)
    if (isConditional) {
      try {
        return await this.#publish(rest, true)
      } catch (error) {
        if (!hasCode(error, 'FORMAT_UNSUPPORTED')) throw error
        onUnconditional()
        if (mayLookFirst !== true) throw error
      }
    }
    await this.#assertAbsent()
    await this.#publish(rest, false)
  }

  async #publish(rest: PartBlocks | undefined, ifAbsent: boolean): Promise<void> {
    if (this.#upload !== undefined) return await this.#upload.complete(this.#receipts, ifAbsent)
    const { requests, key, onProgress } = this.#options
    const signal = this.#stop.signal
    await putObject(requests, { key, body: rest?.bytes() ?? [], ifAbsent, signal, onProgress })
  }

  /** Throws OBJECT_EXISTS. */
  async #assertAbsent(): Promise<void> {
    const { stat, shownKey, storage } = this.#options
    try {
      await stat(this.#stop.signal)
    } catch (error) {
      if (hasCode(error, 'OBJECT_NOT_FOUND')) return
      throw error
    }
    throw new WalgError('OBJECT_EXISTS', `object "${shownKey}" exists already in storage "${storage}"`, {
      facts: { key: shownKey, storage },
    })
  }

  async #cleanUp(): Promise<void> {
    await Promise.all(this.#running.keys())
    await this.#upload?.abort()
  }

  #release(): void {
    this.#options.signal?.removeEventListener('abort', this.#onAbort)
    this.#current?.release()
    this.#current = undefined
    this.#spare?.release()
    this.#spare = undefined
  }

  #check(): void {
    throwIfCancelled(this.#options.signal)
    this.#throwFailure()
    if (this.#state !== 'open') throw sinkClosed(this.#options.key, this.#options.storage)
  }

  #throwFailure(): void {
    if (this.#failure !== undefined) throw this.#failure
  }
}

function sleep(delayMs: number): Promise<void> {
  return new Promise(resolve => {
    setTimeout(resolve, delayMs)
  })
}
