import type { Awaitable, ByteSource } from '../../kit/bytes.ts'
import { WalgError } from '../../kit/errors.ts'
import { badData, cutData } from '../damage.ts'

const MAGIC = 0xfd2fb528
const MAGIC_SKIPPABLE = 0x184d2a50
const FORMAT = 'zstd'

/** Bytes of the frame header fields, by their code in the descriptor. */
const DICTIONARY_ID_BYTES = [0, 1, 2, 4] as const
const CONTENT_SIZE_BYTES = [0, 2, 4, 8] as const

type Expecting = 'magic' | 'skippable' | 'descriptor' | 'header' | 'block' | 'checksum'

/**
 * Follows the frames of a zstd object (RFC 8878) without looking into their blocks. The library decodes frame
 * after frame and does not tell where one ends; this does, so that a cut is never taken for the end.
 */
export class ZstdFrames {
  #expecting: Expecting = 'magic'
  /** The field that is being collected, little-endian. */
  readonly #field = new Uint8Array(16)
  #fieldBytes = 0
  #wantedBytes = 4
  #skipBytes = 0
  #hasChecksum = false
  #isLastBlock = false
  #seenBytes = 0
  #hasFrame = false

  /** Takes the next stored bytes. FORMAT_INVALID where no frame can be. */
  push(bytes: Uint8Array): void {
    let at = 0
    while (at < bytes.length) {
      if (this.#skipBytes > 0) {
        const count = Math.min(this.#skipBytes, bytes.length - at)
        this.#skipBytes -= count
        at += count
      } else {
        const count = Math.min(this.#wantedBytes - this.#fieldBytes, bytes.length - at)
        this.#field.set(bytes.subarray(at, at + count), this.#fieldBytes)
        this.#fieldBytes += count
        at += count
        if (this.#fieldBytes === this.#wantedBytes) this.#takeField(this.#seenBytes + at)
      }
    }
    this.#seenBytes += bytes.length
  }

  /** No more bytes: FORMAT_TRUNCATED unless a frame has just ended. */
  end(): void {
    const isBetween = this.#expecting === 'magic' && this.#skipBytes === 0
    if (isBetween && this.#fieldBytes === 0 && this.#hasFrame) return
    if (isBetween && this.#hasFrame) throw badData(FORMAT, 'bytes follow the last frame', this.#seenBytes)
    throw cutData(FORMAT, this.#seenBytes)
  }

  #expect(what: Expecting, wantedBytes: number): void {
    this.#expecting = what
    this.#wantedBytes = wantedBytes
    this.#fieldBytes = 0
  }

  #takeField(seenBytes: number): void {
    const word = this.#number(4)
    switch (this.#expecting) {
      case 'magic':
        if (word === MAGIC) this.#expect('descriptor', 1)
        else if ((word & 0xfffffff0) >>> 0 === MAGIC_SKIPPABLE) this.#expect('skippable', 4)
        else {
          const reason = this.#hasFrame
            ? 'bytes follow the last frame'
            : 'it does not begin with a zstd frame'
          throw badData(FORMAT, reason, seenBytes - 4)
        }
        return
      case 'skippable':
        this.#expect('magic', 4)
        this.#skipBytes = word
        return
      case 'descriptor':
        this.#expect('header', this.#headerBytes(this.#field[0]!, seenBytes))
        if (this.#wantedBytes === 0) this.#expect('block', 3)
        return
      case 'header':
        this.#expect('block', 3)
        return
      case 'block':
        this.#takeBlockHeader(seenBytes)
        return
      case 'checksum':
        this.#endFrame()
    }
  }

  #headerBytes(descriptor: number, seenBytes: number): number {
    if ((descriptor & 8) !== 0) throw badData(FORMAT, 'a reserved bit is set', seenBytes)
    if ((descriptor & 3) !== 0) {
      throw new WalgError('FORMAT_UNSUPPORTED', 'zstd data with a dictionary cannot be read')
    }
    this.#hasChecksum = (descriptor & 4) !== 0
    const isSingleSegment = (descriptor & 32) !== 0
    const sizeCode = descriptor >> 6
    const sizeBytes = sizeCode === 0 && isSingleSegment ? 1 : CONTENT_SIZE_BYTES[sizeCode]!
    return (isSingleSegment ? 0 : 1) + DICTIONARY_ID_BYTES[descriptor & 3]! + sizeBytes
  }

  #takeBlockHeader(seenBytes: number): void {
    const header = this.#number(3)
    const type = (header >> 1) & 3
    if (type === 3) throw badData(FORMAT, 'a block has no known type', seenBytes - 3)
    this.#isLastBlock = (header & 1) === 1
    this.#skipBytes = type === 1 ? 1 : header >> 3
    if (!this.#isLastBlock) this.#expect('block', 3)
    else if (this.#hasChecksum) this.#expect('checksum', 4)
    else this.#endFrame()
  }

  #endFrame(): void {
    this.#hasFrame = true
    this.#expect('magic', 4)
  }

  #number(count: number): number {
    let value = 0
    for (let i = Math.min(count, this.#fieldBytes) - 1; i >= 0; i--) value = value * 256 + this.#field[i]!
    return value
  }
}

/** A source whose bytes are followed on their way; its end is an error unless frames are whole. */
export function followFrames(source: ByteSource): ByteSource {
  const frames = new ZstdFrames()
  const follow = (into: Uint8Array, count: number): number => {
    if (count === 0) frames.end()
    else frames.push(into.subarray(0, count))
    return count
  }
  return {
    read(into: Uint8Array): Awaitable<number> {
      const count = source.read(into)
      return count instanceof Promise ? count.then(read => follow(into, read)) : follow(into, count)
    },
    close: () => source.close(),
  }
}
