import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import type { Awaitable, ByteSink, ByteSource } from '../../kit/bytes.ts'
import { WalgError } from '../../kit/errors.ts'
import { runSteps, type Steps } from '../steps.ts'
import type { OpenChaCha20 } from './secretstream.ts'

const VERSION = 0x20
const AES_256_GCM = 0
const HEADER_BYTES = 16
const TAG_BYTES = 16
const PAYLOAD_BYTES_MAX = 1 << 16
const PACKAGE_BYTES_MAX: number = HEADER_BYTES + PAYLOAD_BYTES_MAX + TAG_BYTES
const FINAL_FLAG = 0x80
const NONCE_BYTES = 12
/** Version, cipher and length: what is authenticated beside the payload. */
const AUTHENTICATED_BYTES = 4

/**
 * Writes a stream of DARE 2.0 packages with AES-256-GCM (storage-format 6.4). Every package but the last is full;
 * the last one is marked. No bytes give no package, as in the original.
 */
export class DareSink implements ByteSink {
  readonly #sink: ByteSink
  readonly #head: Uint8Array
  readonly #key: Uint8Array
  readonly #nonce: Uint8Array = randomBytes(NONCE_BYTES)
  readonly #payload = new Uint8Array(PAYLOAD_BYTES_MAX)
  readonly #package = new Uint8Array(PACKAGE_BYTES_MAX)
  #filled = 0
  #sequence = 0
  #isBegun = false

  /** `head` is written in front. */
  constructor(sink: ByteSink, head: Uint8Array, key: Uint8Array) {
    this.#sink = sink
    this.#head = head
    this.#key = key
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
      // a full package is only sealed when more follows: the last one carries the mark
      if (this.#filled === PAYLOAD_BYTES_MAX) yield this.#sink.write(this.#seal(false))
      const count = Math.min(bytes.length - at, PAYLOAD_BYTES_MAX - this.#filled)
      this.#payload.set(bytes.subarray(at, at + count), this.#filled)
      this.#filled += count
      at += count
    }
  }

  *#begin(): Steps<void> {
    this.#isBegun = true
    yield this.#sink.write(this.#head)
  }

  *#end(): Steps<void> {
    if (!this.#isBegun) yield* this.#begin()
    if (this.#filled > 0) yield this.#sink.write(this.#seal(true))
    this.#payload.fill(0)
    yield this.#sink.end()
  }

  #seal(isFinal: boolean): Uint8Array {
    const header = this.#package.subarray(0, HEADER_BYTES)
    header[0] = VERSION
    header[1] = AES_256_GCM
    new DataView(header.buffer).setUint16(2, this.#filled - 1, true)
    header.set(this.#nonce, AUTHENTICATED_BYTES)
    const flags = header[AUTHENTICATED_BYTES]!
    header[AUTHENTICATED_BYTES] = isFinal ? flags | FINAL_FLAG : flags & ~FINAL_FLAG
    const cipher = createCipheriv('aes-256-gcm', this.#key, packageNonce(header, this.#sequence))
    cipher.setAAD(header.subarray(0, AUTHENTICATED_BYTES))
    const end = HEADER_BYTES + this.#filled
    this.#package.set(cipher.update(this.#payload.subarray(0, this.#filled)), HEADER_BYTES)
    cipher.final()
    this.#package.set(cipher.getAuthTag(), end)
    this.#sequence += 1
    this.#filled = 0
    return this.#package.subarray(0, end + TAG_BYTES)
  }
}

/** The nonce of a header with the package's number in its last four bytes. */
function packageNonce(header: Uint8Array, sequence: number): Uint8Array {
  const nonce = header.slice(AUTHENTICATED_BYTES, HEADER_BYTES)
  const view = new DataView(nonce.buffer)
  view.setUint32(8, (view.getUint32(8, true) ^ sequence) >>> 0, true)
  return nonce
}

/**
 * Reads DARE 2.0 packages. Throws FORMAT_TRUNCATED when the marked last one is missing, FORMAT_INVALID for a package
 * that does not authenticate, in the first one DECRYPT_FAILED. A stream without any package has no mark, and
 * is refused: whoever cuts an object there would not be noticed.
 */
export class DareSource implements ByteSource {
  readonly #source: ByteSource
  readonly #key: Uint8Array
  readonly #openChaCha20: OpenChaCha20 | undefined
  readonly #package = new Uint8Array(PACKAGE_BYTES_MAX)
  #filled = 0
  #isSourceDone = false
  #payload: Uint8Array = new Uint8Array(0)
  #sequence = 0
  #streamNonce: Uint8Array | undefined
  #isFinished = false

  /** `openChaCha20` may be left out for streams that never use it. */
  constructor(source: ByteSource, key: Uint8Array, openChaCha20?: OpenChaCha20) {
    this.#source = source
    this.#key = key
    this.#openChaCha20 = openChaCha20
  }

  read(into: Uint8Array): Awaitable<number> {
    if (this.#payload.length > 0) return this.#hand(into)
    return runSteps(this.#read(into))
  }

  close(): Awaitable<void> {
    this.#payload.fill(0)
    return this.#source.close()
  }

  #hand(into: Uint8Array): number {
    const count = Math.min(into.length, this.#payload.length)
    into.set(this.#payload.subarray(0, count))
    this.#payload = this.#payload.subarray(count)
    return count
  }

  *#read(into: Uint8Array): Steps<number> {
    if (this.#isFinished) return 0
    yield* this.#fill(HEADER_BYTES)
    if (this.#filled < HEADER_BYTES) throw truncated()
    const length = new DataView(this.#package.buffer).getUint16(2, true) + 1
    const size = HEADER_BYTES + length + TAG_BYTES
    yield* this.#fill(size)
    if (this.#filled < size) throw truncated()
    this.#payload = this.#open(length)
    this.#package.copyWithin(0, size, this.#filled)
    this.#filled -= size
    if ((this.#streamNonce![0]! & FINAL_FLAG) !== 0) {
      this.#isFinished = true
      yield* this.#fill(1)
      if (this.#filled > 0) throw invalid('something follows its last package')
    }
    return this.#hand(into)
  }

  #open(length: number): Uint8Array {
    const header = this.#package.slice(0, HEADER_BYTES)
    const [version, cipher] = header
    if (version !== VERSION) {
      throw version === 0x10
        ? new WalgError('FORMAT_UNSUPPORTED', 'the encrypted stream has version 1.0, which is not read')
        : invalid('a package does not begin like one')
    }
    const isFinal = (header[AUTHENTICATED_BYTES]! & FINAL_FLAG) !== 0
    if (!isFinal && length !== PAYLOAD_BYTES_MAX) throw invalid('a package in its middle is not full')
    this.#checkNonce(header)
    const payload = this.#openPackage(cipher!, header, length)
    if (payload === undefined) {
      if (this.#sequence > 0) throw invalid('a package does not authenticate')
      throw new WalgError('DECRYPT_FAILED', 'the data key does not open its first package', {
        hint: 'it is another KEY than the one it was sealed with, or the object is damaged',
      })
    }
    this.#sequence += 1
    return payload
  }

  #openPackage(cipher: number, header: Uint8Array, length: number): Uint8Array | undefined {
    const openers = [openAesGcm, this.#openChaCha20]
    const opener = openers[cipher]
    if (opener === undefined) throw invalid(`its cipher ${cipher} has no place there`)
    const sealed = this.#package.subarray(HEADER_BYTES, HEADER_BYTES + length + TAG_BYTES)
    const nonce = packageNonce(header, this.#sequence)
    return opener(this.#key, nonce, sealed, header.subarray(0, AUTHENTICATED_BYTES))
  }

  /** All packages of a stream have one nonce, but for the mark. */
  #checkNonce(header: Uint8Array): void {
    const nonce = header.slice(AUTHENTICATED_BYTES)
    const expected = this.#streamNonce
    this.#streamNonce = nonce
    if (expected === undefined) return
    const isSame = nonce.every((byte, index) =>
      index === 0 ? (byte & ~FINAL_FLAG) === (expected[0]! & ~FINAL_FLAG) : byte === expected[index],
    )
    if (!isSame) throw invalid('a package belongs to another stream')
  }

  *#fill(wanted: number): Steps<void> {
    while (this.#filled < wanted && !this.#isSourceDone) {
      const got = (yield this.#source.read(this.#package.subarray(this.#filled))) as number
      if (got === 0) this.#isSourceDone = true
      this.#filled += got
    }
  }
}

function openAesGcm(
  key: Uint8Array,
  nonce: Uint8Array,
  sealedWithTag: Uint8Array,
  authenticated: Uint8Array,
): Uint8Array | undefined {
  const length = sealedWithTag.length - TAG_BYTES
  const decipher = createDecipheriv('aes-256-gcm', key, nonce)
  decipher.setAAD(authenticated)
  decipher.setAuthTag(sealedWithTag.subarray(length))
  const payload = decipher.update(sealedWithTag.subarray(0, length))
  try {
    decipher.final()
    return payload
  } catch {
    // the only reason there is: it does not authenticate
    payload.fill(0)
    return undefined
  }
}

function truncated(): WalgError {
  return new WalgError('FORMAT_TRUNCATED', 'the encrypted stream is cut: its last package is missing')
}

function invalid(reason: string): WalgError {
  return new WalgError('FORMAT_INVALID', `the encrypted stream is damaged: ${reason}`)
}
