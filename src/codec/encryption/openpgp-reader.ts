import { createDecipheriv, createHash, type Decipheriv, type Hash, timingSafeEqual } from 'node:crypto'
import type { Awaitable, ByteSource } from '../../kit/bytes.ts'
import { WalgError } from '../../kit/errors.ts'
import { runSteps, type Steps } from '../steps.ts'
import { badMessage, cutMessage, PacketBody, PacketInput, packetTag, TAG } from './openpgp-packets.ts'

const BLOCK_BYTES = 16
/** Stored bytes read at a time. */
const OUTER_RUN_BYTES = 1 << 18
const PREFIX_BYTES = BLOCK_BYTES + 2
/** Tag, length and SHA-1. */
const MDC_BYTES = 22
const MDC_HEADER: readonly number[] = [packetTag(TAG.mdc), MDC_BYTES - 2]

/** Ciphers that node:crypto streams; the others are the library's. */
const CIPHERS: Readonly<Record<string, string>> = { aes128: 'aes-128-cfb', aes256: 'aes-256-cfb' }

export function streamsCipher(algorithm: string): boolean {
  return algorithm in CIPHERS
}

/**
 * The plaintext of an encrypted packet of version 1, MDC held back and verified: it ends only when the MDC is right.
 * RFC 4880 5.13.
 */
class ProtectedSource implements ByteSource {
  readonly #body: PacketBody
  readonly #decipher: Decipheriv
  readonly #mdc: Hash = createHash('sha1')
  /** Decrypted, not handed on: always at least the last 22 bytes. */
  #held: Uint8Array = new Uint8Array(0)
  #isEnded = false

  private constructor(body: PacketBody, algorithm: string, sessionKey: Uint8Array) {
    this.#body = body
    this.#decipher = createDecipheriv(CIPHERS[algorithm]!, sessionKey, new Uint8Array(BLOCK_BYTES))
  }

  static *open(body: PacketBody, algorithm: string, sessionKey: Uint8Array): Steps<ProtectedSource> {
    const source = new ProtectedSource(body, algorithm, sessionKey)
    const prefix = source.#decipher.update(yield* body.take(PREFIX_BYTES))
    const repeated = prefix.subarray(BLOCK_BYTES)
    if (Buffer.compare(repeated, prefix.subarray(BLOCK_BYTES - 2, BLOCK_BYTES)) !== 0) {
      throw new WalgError('DECRYPT_FAILED', 'the session key of the OpenPGP message does not fit its content')
    }
    source.#mdc.update(prefix)
    return source
  }

  read(into: Uint8Array): Awaitable<number> {
    return runSteps(this.#read(into))
  }

  close(): void {
    this.#held.fill(0)
  }

  *#read(into: Uint8Array): Steps<number> {
    while (!this.#isEnded && this.#held.length <= MDC_BYTES) {
      const sealed = yield* this.#body.read(OUTER_RUN_BYTES)
      if (sealed.length === 0) this.#verify()
      else this.#hold(this.#decipher.update(sealed))
    }
    if (this.#isEnded) return 0
    const count = Math.min(into.length, this.#held.length - MDC_BYTES)
    const handed = this.#held.subarray(0, count)
    this.#mdc.update(handed)
    into.set(handed)
    this.#held = this.#held.subarray(count)
    return count
  }

  #hold(plain: Uint8Array): void {
    if (this.#held.length === 0) {
      this.#held = plain
      return
    }
    const joined = new Uint8Array(this.#held.length + plain.length)
    joined.set(this.#held)
    joined.set(plain, this.#held.length)
    this.#held = joined
  }

  #verify(): void {
    if (this.#held.length < MDC_BYTES) throw cutMessage()
    this.#mdc.update(Uint8Array.from(MDC_HEADER))
    const isRight =
      this.#held[0] === MDC_HEADER[0] &&
      this.#held[1] === MDC_HEADER[1] &&
      timingSafeEqual(this.#mdc.digest(), this.#held.subarray(2))
    if (!isRight) {
      throw new WalgError(
        'CHECKSUM_MISMATCH',
        'the OpenPGP message does not match its modification detection code: it is damaged or cut',
      )
    }
    this.#isEnded = true
  }
}

/** What a reader of our own can do, decided by the first bytes of a message. */
export type MessageContent =
  | { readonly kind: 'literal'; readonly source: ByteSource }
  /** Compressed or signed first: the library reads the whole message. */
  | { readonly kind: 'other' }

/**
 * Opens the encrypted packet at the start of `source` (behind the session key packets). The content ends only after
 * the MDC is verified and nothing follows; what flowed before must not count until then.
 */
export async function openProtected(
  source: ByteSource,
  algorithm: string,
  sessionKey: Uint8Array,
): Promise<MessageContent> {
  const outer = new PacketInput(source, OUTER_RUN_BYTES)
  const packet = await runSteps(nextOf(outer, TAG.encrypted))
  const [version] = await runSteps(packet.take(1))
  if (version !== 1) throw badMessage(`an encrypted packet has version ${version}`)
  const plain = await runSteps(ProtectedSource.open(packet, algorithm, sessionKey))
  const inner = new PacketInput(plain)
  const content = await runSteps(PacketBody.open(inner))
  if (content === null) throw badMessage('it holds nothing')
  if (content.tag !== TAG.literal) return { kind: 'other' }
  await runSteps(skipLiteralHeader(content))
  return { kind: 'literal', source: new LiteralSource(content, inner, outer, source) }
}

/** The next packet with `tag`; markers and padding before it mean nothing. */
function* nextOf(input: PacketInput, tag: number): Steps<PacketBody> {
  for (;;) {
    const packet = yield* PacketBody.open(input)
    if (packet === null) throw cutMessage()
    if (packet.tag === tag) return packet
    if (packet.tag !== TAG.marker && packet.tag !== TAG.padding) {
      throw badMessage(`a packet of type ${packet.tag} stands where type ${tag} belongs`)
    }
    yield* packet.skip()
  }
}

function* skipLiteralHeader(content: PacketBody): Steps<void> {
  const [, nameBytes] = yield* content.take(2)
  yield* content.take(nameBytes! + 4)
}

class LiteralSource implements ByteSource {
  readonly #content: PacketBody
  readonly #inner: PacketInput
  readonly #outer: PacketInput
  readonly #source: ByteSource
  #isEnded = false

  constructor(content: PacketBody, inner: PacketInput, outer: PacketInput, source: ByteSource) {
    this.#content = content
    this.#inner = inner
    this.#outer = outer
    this.#source = source
  }

  read(into: Uint8Array): Awaitable<number> {
    return this.#isEnded ? 0 : runSteps(this.#read(into))
  }

  close(): Awaitable<void> {
    return this.#source.close()
  }

  *#read(into: Uint8Array): Steps<number> {
    const bytes = yield* this.#content.read(into.length)
    if (bytes.length > 0) {
      into.set(bytes)
      return bytes.length
    }
    // to the end of the encrypted packet, which is behind the MDC; signatures on the way say nothing to us
    for (
      let next = yield* PacketBody.open(this.#inner);
      next !== null;
      next = yield* PacketBody.open(this.#inner)
    ) {
      yield* next.skip()
    }
    if ((yield* this.#outer.byte()) >= 0) throw badMessage('something follows its end')
    this.#isEnded = true
    return 0
  }
}
