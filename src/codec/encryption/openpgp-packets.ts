import type { ByteSource } from '../../kit/bytes.ts'
import { WalgError } from '../../kit/errors.ts'
import type { Steps } from '../steps.ts'

/** Packet tags of RFC 9580, 5. */
export const TAG = {
  sessionKey: 1,
  onePassSignature: 4,
  passwordSessionKey: 3,
  compressed: 8,
  unprotected: 9,
  marker: 10,
  literal: 11,
  encrypted: 18,
  mdc: 19,
  aead: 20,
  padding: 21,
} as const

/** The length octet of a partial body of 2^`power` bytes. */
export function partialLength(power: number): number {
  return 0xe0 | power
}

/** Read at a time. */
export const RUN_BYTES: number = 1 << 16

const NEW_FORMAT = 0xc0

/** The first octet of a packet in the new format. */
export function packetTag(tag: number): number {
  return NEW_FORMAT | tag
}

export function cutMessage(): WalgError {
  return new WalgError('FORMAT_TRUNCATED', 'the OpenPGP message is cut')
}

export function badMessage(reason: string): WalgError {
  return new WalgError('FORMAT_INVALID', `the OpenPGP message is damaged: ${reason}`)
}

/** Reads a source byte by byte and in runs, from a buffer of its own. */
export class PacketInput {
  readonly #source: ByteSource
  readonly #buffer: Uint8Array
  #at = 0
  #end = 0

  constructor(source: ByteSource, bufferBytes: number = RUN_BYTES) {
    this.#source = source
    this.#buffer = new Uint8Array(bufferBytes)
  }

  /** The next byte; -1 at the end. */
  *byte(): Steps<number> {
    if (this.#at === this.#end && !(yield* this.#fill())) return -1
    return this.#buffer[this.#at++]!
  }

  /** At most `countMax` bytes, lent until the next call; none at the end. */
  *run(countMax: number): Steps<Uint8Array> {
    if (this.#at === this.#end) yield* this.#fill()
    const from = this.#at
    this.#at = Math.min(this.#end, from + countMax)
    return this.#buffer.subarray(from, this.#at)
  }

  *#fill(): Steps<boolean> {
    this.#at = 0
    this.#end = (yield this.#source.read(this.#buffer)) as number
    return this.#end > 0
  }
}

/** The body of one packet, whatever form its length has. RFC 9580 4.2. */
export class PacketBody {
  readonly tag: number
  readonly #input: PacketInput
  #left: number
  #isPartial: boolean

  private constructor(input: PacketInput, tag: number, left: number, isPartial: boolean) {
    this.tag = tag
    this.#input = input
    this.#left = left
    this.#isPartial = isPartial
  }

  /** Reads the header of the next packet; null at the end of the input. */
  static *open(input: PacketInput): Steps<PacketBody | null> {
    const first = yield* input.byte()
    if (first < 0) return null
    if ((first & 0x80) === 0) throw badMessage('a packet does not begin like one')
    if ((first & 0x40) === 0) {
      const lengthBytes = [1, 2, 4, 0][first & 3]!
      const length = lengthBytes === 0 ? Number.POSITIVE_INFINITY : yield* bigEndian(input, lengthBytes)
      return new PacketBody(input, (first >> 2) & 0x0f, length, false)
    }
    const body = new PacketBody(input, first & 0x3f, 0, true)
    yield* body.#readLength()
    return body
  }

  /** The next bytes of the body, at most `countMax`, lent; none at its end. FORMAT_TRUNCATED when the input ends before. */
  *read(countMax: number): Steps<Uint8Array> {
    while (this.#left === 0) {
      if (!this.#isPartial) return EMPTY
      yield* this.#readLength()
    }
    const bytes = yield* this.#input.run(Math.min(countMax, this.#left))
    if (bytes.length === 0) {
      if (this.#left === Number.POSITIVE_INFINITY) this.#left = 0
      else throw cutMessage()
    }
    this.#left -= bytes.length
    return bytes
  }

  /** Exactly `count` bytes, as a copy. */
  *take(count: number): Steps<Uint8Array> {
    const taken = new Uint8Array(count)
    for (let at = 0; at < count; ) {
      const bytes = yield* this.read(count - at)
      if (bytes.length === 0) throw cutMessage()
      taken.set(bytes, at)
      at += bytes.length
    }
    return taken
  }

  /** Reads to the end without looking. */
  *skip(): Steps<void> {
    while ((yield* this.read(RUN_BYTES)).length > 0) {
      // nothing in it is wanted
    }
  }

  *#readLength(): Steps<void> {
    const first = yield* this.#input.byte()
    if (first < 0) throw cutMessage()
    this.#isPartial = first >= 224 && first < 255
    if (first < 192) this.#left = first
    else if (first < 224) this.#left = ((first - 192) << 8) + (yield* bigEndian(this.#input, 1)) + 192
    else if (first < 255) this.#left = 2 ** (first & 0x1f)
    else this.#left = yield* bigEndian(this.#input, 4)
  }
}

const EMPTY = new Uint8Array(0)

function* bigEndian(input: PacketInput, count: number): Steps<number> {
  let value = 0
  for (let index = 0; index < count; index++) {
    const byte = yield* input.byte()
    if (byte < 0) throw cutMessage()
    value = value * 256 + byte
  }
  return value
}
