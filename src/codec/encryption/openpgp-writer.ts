import { type Cipheriv, createCipheriv, createHash, type Hash, randomBytes } from 'node:crypto'
import type { Awaitable, ByteSink } from '../../kit/bytes.ts'
import { runSteps, type Steps } from '../steps.ts'
import { packetTag, partialLength, TAG } from './openpgp-packets.ts'

const BLOCK_BYTES = 16
const LENGTH_BYTES_MAX = 5
/**
 * Binary, no file name, no date. The original says `u` (text) here and reads both; from text gpg drops every byte
 * 0x0d, so that what it decrypts in an emergency would be destroyed.
 */
const LITERAL_HEADER = Uint8Array.of(0x62, 0, 0, 0, 0, 0)
const PACKET_VERSION = 1

/** A body that is written in partial lengths, the last one in a plain length. */
class PartialBody {
  /** Tag octet, length octets and content: what is handed on never starts before `#start`. */
  readonly #chunk: Uint8Array
  readonly #power: number
  readonly #tag: number
  #filled = 0
  #isFirst = true

  /** Partial lengths of 2^`power` bytes. */
  constructor(tag: number, power: number) {
    this.#tag = packetTag(tag)
    this.#power = power
    this.#chunk = new Uint8Array(1 + LENGTH_BYTES_MAX + 2 ** power)
  }

  /** Takes as much as fits; returns the count. */
  take(bytes: Uint8Array): number {
    const count = Math.min(bytes.length, 2 ** this.#power - this.#filled)
    this.#chunk.set(bytes.subarray(0, count), 1 + LENGTH_BYTES_MAX + this.#filled)
    this.#filled += count
    return count
  }

  get isFull(): boolean {
    return this.#filled === 2 ** this.#power
  }

  /** The full chunk with its header, lent. */
  partial(): Uint8Array {
    const at = this.#header(Uint8Array.of(partialLength(this.#power)))
    this.#filled = 0
    return this.#chunk.subarray(at)
  }

  /** The rest, which ends the packet. */
  last(): Uint8Array {
    const end = 1 + LENGTH_BYTES_MAX + this.#filled
    return this.#chunk.subarray(this.#header(plainLength(this.#filled)), end)
  }

  #header(length: Uint8Array): number {
    let at = 1 + LENGTH_BYTES_MAX - length.length
    this.#chunk.set(length, at)
    if (this.#isFirst) {
      at -= 1
      this.#chunk[at] = this.#tag
    }
    this.#isFirst = false
    return at
  }

  wipe(): void {
    this.#chunk.fill(0)
  }
}

function plainLength(count: number): Uint8Array {
  if (count < 192) return Uint8Array.of(count)
  if (count < 8384) return Uint8Array.of(((count - 192) >> 8) + 192, (count - 192) & 0xff)
  return Uint8Array.of(0xff, count >>> 24, (count >>> 16) & 0xff, (count >>> 8) & 0xff, count & 0xff)
}

/**
 * Writes an OpenPGP message as the original does (storage-format 6.2): the session key packets, then an encrypted
 * packet of version 1 (AES-256, CFB, SHA-1 MDC) around one literal packet. Memory is bounded by two partial bodies.
 */
export class OpenPgpSink implements ByteSink {
  readonly #sink: ByteSink
  readonly #sessionPackets: Uint8Array
  readonly #cipher: Cipheriv
  readonly #mdc: Hash = createHash('sha1')
  readonly #literal = new PartialBody(TAG.literal, 16)
  readonly #encrypted = new PartialBody(TAG.encrypted, 18)
  #isBegun = false

  constructor(sink: ByteSink, sessionPackets: Uint8Array, sessionKey: Uint8Array) {
    this.#sink = sink
    this.#sessionPackets = sessionPackets
    this.#cipher = createCipheriv('aes-256-cfb', sessionKey, new Uint8Array(BLOCK_BYTES))
  }

  write(bytes: Uint8Array): Awaitable<void> {
    return runSteps(this.#write(bytes))
  }

  end(): Awaitable<void> {
    return runSteps(this.#end())
  }

  *#write(bytes: Uint8Array): Steps<void> {
    if (!this.#isBegun) yield* this.#begin()
    for (let at = 0; at < bytes.length; ) {
      at += this.#literal.take(bytes.subarray(at))
      if (this.#literal.isFull) yield* this.#seal(this.#literal.partial())
    }
  }

  *#begin(): Steps<void> {
    this.#isBegun = true
    yield this.#sink.write(this.#sessionPackets)
    this.#encrypted.take(Uint8Array.of(PACKET_VERSION))
    const prefix = new Uint8Array(BLOCK_BYTES + 2)
    prefix.set(randomBytes(BLOCK_BYTES))
    prefix.copyWithin(BLOCK_BYTES, BLOCK_BYTES - 2, BLOCK_BYTES)
    yield* this.#seal(prefix)
    this.#literal.take(LITERAL_HEADER)
  }

  *#end(): Steps<void> {
    if (!this.#isBegun) yield* this.#begin()
    yield* this.#seal(this.#literal.last())
    this.#literal.wipe()
    yield* this.#seal(Uint8Array.of(packetTag(TAG.mdc), 20))
    const digest = this.#mdc.digest()
    yield* this.#hand(this.#cipher.update(digest))
    yield* this.#hand(this.#cipher.final())
    yield this.#sink.write(this.#encrypted.last())
    yield this.#sink.end()
  }

  *#seal(plain: Uint8Array): Steps<void> {
    this.#mdc.update(plain)
    yield* this.#hand(this.#cipher.update(plain))
  }

  *#hand(bytes: Uint8Array): Steps<void> {
    for (let at = 0; at < bytes.length; ) {
      at += this.#encrypted.take(bytes.subarray(at))
      if (this.#encrypted.isFull) yield this.#sink.write(this.#encrypted.partial())
    }
  }
}
