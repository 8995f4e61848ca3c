import type { Awaitable, ByteSink, ByteSource } from '../../kit/bytes.ts'
import { WalgError } from '../../kit/errors.ts'
import {
  HEADER_BYTES,
  SEAL_BYTES,
  type SecretStreamPull,
  type SecretStreamPush,
  type SecretStreams,
} from './secretstream.ts'

/** Plain bytes of a full message (storage-format 6.1). */
const MESSAGE_BYTES = 8192
const SEALED_BYTES = MESSAGE_BYTES + SEAL_BYTES
/** Messages handed on at a time. */
const BATCH_MESSAGES = 64

/**
 * Seals everything that is written: 24 bytes of header, messages of 8192 bytes with tag MESSAGE, and always a last
 * one of 0 to 8191 bytes with tag FINAL, as the original writes and demands it. No bytes at all still give a header
 * and a FINAL message, which can be read back.
 */
export function encryptLibsodium(streams: SecretStreams, key: Uint8Array, sink: ByteSink): ByteSink {
  return new LibsodiumSink(streams.openPush(key), sink)
}

class LibsodiumSink implements ByteSink {
  readonly #push: SecretStreamPush
  readonly #sink: ByteSink
  readonly #message = new Uint8Array(MESSAGE_BYTES)
  readonly #sealed = new Uint8Array(HEADER_BYTES + BATCH_MESSAGES * SEALED_BYTES)
  #held = 0
  #filled: number

  constructor(push: SecretStreamPush, sink: ByteSink) {
    this.#push = push
    this.#sink = sink
    this.#sealed.set(push.header)
    this.#filled = HEADER_BYTES
  }

  write(bytes: Uint8Array): Awaitable<void> {
    return this.#writeFrom(bytes, 0)
  }

  #writeFrom(bytes: Uint8Array, from: number): Awaitable<void> {
    let at = from
    while (at < bytes.length) {
      const count = Math.min(bytes.length - at, MESSAGE_BYTES - this.#held)
      if (this.#held === 0 && count === MESSAGE_BYTES) this.#seal(bytes.subarray(at, at + count), false)
      else {
        this.#message.set(bytes.subarray(at, at + count), this.#held)
        this.#held += count
        if (this.#held === MESSAGE_BYTES) {
          this.#seal(this.#message, false)
          this.#held = 0
        }
      }
      at += count
      if (this.#filled + SEALED_BYTES <= this.#sealed.length) continue
      const rest = at
      const handed = this.#handOn()
      if (handed instanceof Promise) return handed.then(() => this.#writeFrom(bytes, rest))
    }
  }

  end(): Awaitable<void> {
    this.#seal(this.#message.subarray(0, this.#held), true)
    this.#message.fill(0)
    const handed = this.#handOn()
    return handed instanceof Promise ? handed.then(() => this.#sink.end()) : this.#sink.end()
  }

  #seal(message: Uint8Array, isFinal: boolean): void {
    const size = message.length + SEAL_BYTES
    this.#push.push(message, this.#sealed.subarray(this.#filled, this.#filled + size), isFinal)
    this.#filled += size
  }

  #handOn(): Awaitable<void> {
    const count = this.#filled
    this.#filled = 0
    return this.#sink.write(this.#sealed.subarray(0, count))
  }
}

/**
 * Opens a sealed object with the first of `keys` that fits its first message. Throws DECRYPT_FAILED when none does,
 * FORMAT_TRUNCATED for a stream without its FINAL message (also when cut between two messages, which the original
 * does not notice), FORMAT_INVALID for bytes that do not authenticate further on.
 */
export function decryptLibsodium(
  streams: SecretStreams,
  keys: readonly Uint8Array[],
  source: ByteSource,
): ByteSource {
  return new LibsodiumSource(streams, keys, source)
}

class LibsodiumSource implements ByteSource {
  readonly #streams: SecretStreams
  readonly #keys: readonly Uint8Array[]
  readonly #source: ByteSource
  readonly #sealed = new Uint8Array(BATCH_MESSAGES * SEALED_BYTES)
  readonly #plain = new Uint8Array(MESSAGE_BYTES)
  #sealedAt = 0
  #sealedEnd = 0
  #isSourceDone = false
  #pull: SecretStreamPull | undefined
  #plainAt = 0
  #plainEnd = 0
  #isFinished = false

  constructor(streams: SecretStreams, keys: readonly Uint8Array[], source: ByteSource) {
    this.#streams = streams
    this.#keys = keys
    this.#source = source
  }

  read(into: Uint8Array): Awaitable<number> {
    if (this.#plainAt === this.#plainEnd) {
      const next = this.#openNext(into)
      if (next instanceof Promise) return next.then(count => this.#openMore(into, count))
      return this.#openMore(into, next)
    }
    return this.#hand(into)
  }

  /** Behind a message that went straight into `into`: every further one that is here and fits. */
  #openMore(into: Uint8Array, count: number): number {
    if (count === 0) return this.#hand(into)
    let filled = count
    while (
      !this.#isFinished &&
      into.length - filled >= MESSAGE_BYTES &&
      this.#sealedEnd - this.#sealedAt >= SEALED_BYTES
    ) {
      filled += this.#openHeld(into.subarray(filled))
    }
    return filled
  }

  close(): Awaitable<void> {
    this.#plain.fill(0)
    return this.#source.close()
  }

  #hand(into: Uint8Array): number {
    const count = Math.min(into.length, this.#plainEnd - this.#plainAt)
    into.set(this.#plain.subarray(this.#plainAt, this.#plainAt + count))
    this.#plainAt += count
    return count
  }

  /** Opens the next message, straight into `into` when it fits (then its size is returned), else into the own buffer. */
  #openNext(into: Uint8Array): Awaitable<number> {
    if (this.#isFinished) return 0
    const wanted = this.#pull === undefined ? HEADER_BYTES + SEALED_BYTES : SEALED_BYTES
    const filled = this.#fill(wanted)
    if (filled instanceof Promise) return filled.then(() => this.#openHeld(into))
    return this.#openHeld(into)
  }

  #openHeld(into: Uint8Array): number {
    if (this.#pull === undefined) this.#chooseKey()
    const size = Math.min(SEALED_BYTES, this.#sealedEnd - this.#sealedAt)
    if (size < SEAL_BYTES) throw truncated()
    const plainSize = size - SEAL_BYTES
    const isDirect = into.length >= plainSize && plainSize > 0
    const target = isDirect ? into.subarray(0, plainSize) : this.#plain.subarray(0, plainSize)
    const sealed = this.#sealed.subarray(this.#sealedAt, this.#sealedAt + size)
    const opened = this.#pull?.pull(sealed, target)
    if (opened === undefined) throw size < SEALED_BYTES ? truncated() : corrupted()
    this.#sealedAt += size
    this.#finish(opened.isFinal, size)
    if (isDirect) return plainSize
    this.#plainAt = 0
    this.#plainEnd = plainSize
    return 0
  }

  #finish(isFinal: boolean, size: number): void {
    if (isFinal) {
      if (size === SEALED_BYTES)
        throw new WalgError('FORMAT_INVALID', 'the encrypted stream ends with a full message')
      this.#isFinished = true
    } else if (size < SEALED_BYTES) throw truncated()
  }

  /** The format does not say which key it was sealed with: its first message tells. */
  #chooseKey(): void {
    if (this.#sealedEnd - this.#sealedAt < HEADER_BYTES + SEAL_BYTES) throw truncated()
    const header = this.#sealed.slice(this.#sealedAt, this.#sealedAt + HEADER_BYTES)
    this.#sealedAt += HEADER_BYTES
    const first = this.#sealed.subarray(
      this.#sealedAt,
      Math.min(this.#sealedEnd, this.#sealedAt + SEALED_BYTES),
    )
    const trial = new Uint8Array(first.length - SEAL_BYTES)
    for (const key of this.#keys) {
      if (this.#streams.openPull(key, header).pull(first, trial) === undefined) continue
      trial.fill(0)
      this.#pull = this.#streams.openPull(key, header)
      return
    }
    throw new WalgError(
      'DECRYPT_FAILED',
      'none of the libsodium keys opens it, or its beginning is damaged',
      {
        hint: 'check WALG_LIBSODIUM_KEY (or _PATH) and its transform; keys that were used before go into WALG_LIBSODIUM_OLD_KEY_PATHS',
      },
    )
  }

  #fill(wanted: number): Awaitable<void> {
    if (this.#sealedEnd - this.#sealedAt >= wanted || this.#isSourceDone) return
    this.#sealed.copyWithin(0, this.#sealedAt, this.#sealedEnd)
    this.#sealedEnd -= this.#sealedAt
    this.#sealedAt = 0
    return this.#readOn(wanted)
  }

  #readOn(wanted: number): Awaitable<void> {
    while (this.#sealedEnd < wanted) {
      const got = this.#source.read(this.#sealed.subarray(this.#sealedEnd))
      if (got instanceof Promise) {
        return got.then(count => (this.#took(count) ? this.#readOn(wanted) : undefined))
      }
      if (!this.#took(got)) return
    }
  }

  #took(count: number): boolean {
    this.#sealedEnd += count
    if (count === 0) this.#isSourceDone = true
    return count > 0
  }
}

function truncated(): WalgError {
  return new WalgError('FORMAT_TRUNCATED', 'the encrypted stream is cut: its final message is missing')
}

function corrupted(): WalgError {
  return new WalgError('FORMAT_INVALID', 'an encrypted message does not authenticate: the object is damaged')
}
