import type { Awaitable, ByteSource } from '../../kit/bytes.ts'
import { WalgError } from '../../kit/errors.ts'
import type { LinearMemory } from '../../kit/linear-memory.ts'
import type { BlockReader } from '../codec.ts'
import { badData, cutData, wrongChecksum } from '../damage.ts'
import { runSteps, type Steps } from '../steps.ts'
import { openStoredInput, type StoredInput } from '../stored-input.ts'
import { HASH_STATE_BYTES, type Lz4Module } from './lz4-module.ts'

const MAGIC = 0x184d2204
const MAGIC_SKIPPABLE = 0x184d2a50
const MAGIC_LEGACY = 0x184c2102
const LEGACY_BLOCK_BYTES = 8 << 20
const LEGACY_STORED_BYTES_MAX = LEGACY_BLOCK_BYTES + Math.floor(LEGACY_BLOCK_BYTES / 255) + 16
const HISTORY_BYTES = 65_536
const SLACK_BYTES = 64
const LENT_BYTES_MAX = 4 << 20
/** First read of an object: small ones need no second. */
const FIRST_READ_BYTES = 65_536

interface Frame {
  readonly isLegacy: boolean
  readonly isLinked: boolean
  readonly hasBlockChecksums: boolean
  readonly hasContentChecksum: boolean
  readonly contentBytes: bigint | undefined
  readonly blockBytesMax: number
}

/** A place in linear memory. */
interface Span {
  readonly at: number
  readonly count: number
}

/** Reads every kind of LZ4 frame that the original reads (observed A), and accepts none that is not whole. */
export function openLz4Reader(source: ByteSource, memory: LinearMemory, lz4: Lz4Module): BlockReader {
  return new Lz4Reader(openStoredInput(source, memory), memory, lz4)
}

class Lz4Reader implements BlockReader {
  readonly #input: StoredInput
  readonly #memory: LinearMemory
  readonly #lz4: Lz4Module
  readonly #hash: number
  #frame: Frame | undefined
  #hasFrame = false
  /** Where blocks are decompressed to, behind HISTORY_BYTES of history. */
  #output = 0
  #outputBytes = 0
  #historyBytes = 0
  #contentBytes = 0n
  /** Decompressed, not lent yet. */
  #rest: Span = { at: 0, count: 0 }
  #isOpen = true
  /** Blocks were passed over: the checksum of the content is not known. */
  #hasGaps = false

  constructor(input: StoredInput, memory: LinearMemory, lz4: Lz4Module) {
    this.#input = input
    this.#memory = memory
    this.#lz4 = lz4
    this.#hash = memory.allocate(HASH_STATE_BYTES)
  }

  next(): Awaitable<Uint8Array | null> {
    if (this.#rest.count > 0) return this.#lend(this.#rest)
    return runSteps(this.#nextBlock())
  }

  skip(bytesMax: number): Awaitable<number> {
    const frame = this.#frame
    if (frame === undefined || frame.isLegacy || frame.isLinked) return 0
    if (this.#rest.count > 0 || bytesMax < frame.blockBytesMax) return 0
    return runSteps(this.#skipBlocks(frame, bytesMax))
  }

  close(): Awaitable<void> {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#memory.release(this.#hash, HASH_STATE_BYTES)
    this.#releaseOutput()
    return this.#input.close()
  }

  *#nextBlock(): Steps<Uint8Array | null> {
    for (;;) {
      if (this.#frame === undefined) {
        this.#frame = yield* this.#readFrameHeader()
        if (this.#frame === undefined) return null
      }
      const block = this.#frame.isLegacy
        ? yield* this.#readLegacyBlock(this.#frame)
        : yield* this.#readBlock(this.#frame)
      if (block === undefined) this.#frame = undefined
      else if (block.count > 0) return this.#lend(block)
    }
  }

  #lend(span: Span): Uint8Array {
    const count = Math.min(span.count, LENT_BYTES_MAX)
    this.#rest = { at: span.at + count, count: span.count - count }
    return this.#memory.bytes.subarray(span.at, span.at + count)
  }

  /** The header of the next frame that has content; undefined at the end of the object. */
  *#readFrameHeader(): Steps<Frame | undefined> {
    const input = this.#input
    for (;;) {
      const count = yield* input.fill(4, FIRST_READ_BYTES)
      if (count === 0 && this.#hasFrame) return undefined
      if (count < 4 && !this.#hasFrame) throw cutData('lz4', input.consumedBytes + count)
      if (count < 4) throw badData('lz4', 'bytes follow the last frame', input.consumedBytes)
      const magic = this.#word(0)
      if ((magic & 0xfffffff0) >>> 0 === MAGIC_SKIPPABLE) {
        yield* this.#skipFrame()
        continue
      }
      if (magic !== MAGIC && magic !== MAGIC_LEGACY) {
        const reason = this.#hasFrame ? 'bytes follow the last frame' : 'it does not begin with an lz4 frame'
        throw badData('lz4', reason, input.consumedBytes)
      }
      this.#hasFrame = true
      this.#contentBytes = 0n
      this.#historyBytes = 0
      this.#lz4.resetHash(this.#hash)
      if (magic === MAGIC) return yield* this.#readDescriptor()
      input.consume(4)
      input.widen(LEGACY_STORED_BYTES_MAX + 8)
      this.#reserveOutput(LEGACY_BLOCK_BYTES)
      return { ...LEGACY_FRAME }
    }
  }

  *#skipFrame(): Steps<void> {
    yield* this.#need(8)
    let left = this.#word(4)
    this.#input.consume(8)
    while (left > 0) {
      const count = Math.min(left, FIRST_READ_BYTES)
      yield* this.#need(count)
      this.#input.consume(count)
      left -= count
    }
  }

  *#readDescriptor(): Steps<Frame> {
    const input = this.#input
    yield* this.#need(7, FIRST_READ_BYTES)
    const flags = this.#byte(4)
    const sizes = this.#byte(5)
    if (flags >> 6 !== 1) throw this.#unsupported(`frame version ${flags >> 6}`)
    if ((flags & 1) !== 0) throw this.#unsupported('a dictionary')
    const hasContentBytes = (flags & 8) !== 0
    const headerBytes = hasContentBytes ? 15 : 7
    yield* this.#need(headerBytes, FIRST_READ_BYTES)
    this.#lz4.updateHash(this.#hash, input.at + 4, headerBytes - 5)
    const check = (this.#lz4.digestHash(this.#hash) >>> 8) & 255
    if (check !== this.#byte(headerBytes - 1)) throw wrongChecksum('lz4', input.consumedBytes)
    this.#lz4.resetHash(this.#hash)
    const blockSizeCode = (sizes >> 4) & 7
    if ((flags & 2) !== 0 || (sizes & 0x8f) !== 0 || blockSizeCode < 4) {
      throw badData('lz4', 'its frame header is not valid', input.consumedBytes)
    }
    const blockBytesMax = 1 << (8 + 2 * blockSizeCode)
    const contentBytes = hasContentBytes ? BigInt(this.#word(6)) | (BigInt(this.#word(10)) << 32n) : undefined
    input.consume(headerBytes)
    input.widen(blockBytesMax + 12)
    this.#reserveOutput(blockBytesMax)
    return {
      isLegacy: false,
      isLinked: (flags & 0x20) === 0,
      hasBlockChecksums: (flags & 0x10) !== 0,
      hasContentChecksum: (flags & 4) !== 0,
      contentBytes,
      blockBytesMax,
    }
  }

  /** Undefined at the verified end of the frame. */
  *#readBlock(frame: Frame): Steps<Span | undefined> {
    const input = this.#input
    yield* this.#need(4)
    const word = this.#word(0)
    if (word === 0) {
      yield* this.#endFrame(frame)
      return undefined
    }
    const storedBytes = word & 0x7fffffff
    const isStored = word >>> 31 === 1
    if (storedBytes > frame.blockBytesMax) {
      throw badData('lz4', 'a block is larger than its frame allows', input.consumedBytes)
    }
    const checksumBytes = frame.hasBlockChecksums ? 4 : 0
    // the header of the next block comes with the same read
    yield* this.#need(4 + storedBytes + checksumBytes, 4 + storedBytes + checksumBytes + 4)
    if (frame.hasBlockChecksums) this.#checkBlock(storedBytes)
    const from = input.at + 4
    const span = isStored
      ? this.#takeStored(frame, from, storedBytes)
      : this.#decompress(from, storedBytes, frame.blockBytesMax)
    input.consume(4 + storedBytes + checksumBytes)
    if (frame.hasContentChecksum) this.#lz4.updateHash(this.#hash, span.at, span.count)
    this.#contentBytes += BigInt(span.count)
    if (frame.isLinked) this.#keepHistory(span.count)
    return span
  }

  /** Whole blocks; the last one of a frame, which may be short, is never passed over. */
  *#skipBlocks(frame: Frame, bytesMax: number): Steps<number> {
    const checksumBytes = frame.hasBlockChecksums ? 4 : 0
    let skippedBytes = 0
    while (bytesMax - skippedBytes >= frame.blockBytesMax) {
      yield* this.#need(4)
      const word = this.#word(0)
      const storedBytes = word & 0x7fffffff
      if (word === 0 || storedBytes > frame.blockBytesMax) break
      const blockBytes = 4 + storedBytes + checksumBytes
      yield* this.#need(blockBytes + 4)
      if (this.#word(blockBytes) === 0) break
      this.#input.consume(blockBytes)
      skippedBytes += frame.blockBytesMax
      this.#hasGaps = true
    }
    this.#contentBytes += BigInt(skippedBytes)
    return skippedBytes
  }

  *#endFrame(frame: Frame): Steps<void> {
    const input = this.#input
    yield* this.#need(frame.hasContentChecksum ? 8 : 4)
    const isVerified = frame.hasContentChecksum && !this.#hasGaps
    if (isVerified && this.#lz4.digestHash(this.#hash) >>> 0 !== this.#word(4)) {
      throw wrongChecksum('lz4', input.consumedBytes)
    }
    if (frame.contentBytes !== undefined && frame.contentBytes !== this.#contentBytes) {
      throw badData('lz4', 'its content has not the size that its header tells', input.consumedBytes)
    }
    input.consume(frame.hasContentChecksum ? 8 : 4)
  }

  /** Legacy frames have no end mark: they end with the object, or where another frame begins. */
  *#readLegacyBlock(frame: Frame): Steps<Span | undefined> {
    const input = this.#input
    const count = yield* input.fill(4)
    if (count === 0) return undefined
    if (count < 4) throw cutData('lz4', input.consumedBytes + count)
    const storedBytes = this.#word(0)
    if (storedBytes > LEGACY_STORED_BYTES_MAX) return undefined
    yield* this.#need(4 + storedBytes, 4 + storedBytes + 4)
    const span = this.#decompress(input.at + 4, storedBytes, frame.blockBytesMax)
    input.consume(4 + storedBytes)
    return span
  }

  #decompress(from: number, storedBytes: number, capacityBytes: number): Span {
    const at = this.#output + HISTORY_BYTES
    const count = this.#lz4.decompressBlock(from, storedBytes, at, capacityBytes, this.#historyBytes)
    if (count < 0) throw badData('lz4', 'a block is damaged', this.#input.consumedBytes)
    return { at, count }
  }

  /** A block that did not compress is lent where it was read, unless later blocks may refer to it. */
  #takeStored(frame: Frame, from: number, count: number): Span {
    if (!frame.isLinked) return { at: from, count }
    const at = this.#output + HISTORY_BYTES
    this.#memory.bytes.copyWithin(at, from, from + count)
    return { at, count }
  }

  #checkBlock(storedBytes: number): void {
    const state = this.#memory.allocate(HASH_STATE_BYTES)
    this.#lz4.resetHash(state)
    this.#lz4.updateHash(state, this.#input.at + 4, storedBytes)
    const digest = this.#lz4.digestHash(state) >>> 0
    this.#memory.release(state, HASH_STATE_BYTES)
    if (digest !== this.#word(4 + storedBytes)) throw wrongChecksum('lz4', this.#input.consumedBytes)
  }

  /** The last 64 KiB of content end where the next block begins. */
  #keepHistory(count: number): void {
    const begin = this.#output + HISTORY_BYTES
    const end = begin + count
    this.#memory.bytes.copyWithin(this.#output, end - HISTORY_BYTES, end)
    this.#historyBytes = Math.min(HISTORY_BYTES, this.#historyBytes + count)
  }

  #reserveOutput(blockBytesMax: number): void {
    const wantedBytes = HISTORY_BYTES + blockBytesMax + SLACK_BYTES
    if (this.#outputBytes === wantedBytes) return
    this.#releaseOutput()
    this.#output = this.#memory.allocate(wantedBytes)
    this.#outputBytes = wantedBytes
  }

  #releaseOutput(): void {
    if (this.#outputBytes > 0) this.#memory.release(this.#output, this.#outputBytes)
    this.#outputBytes = 0
  }

  *#need(countBytes: number, reachBytes?: number): Steps<void> {
    const count = yield* this.#input.fill(countBytes, reachBytes)
    if (count < countBytes) throw cutData('lz4', this.#input.consumedBytes + count)
  }

  #byte(offset: number): number {
    return this.#memory.bytes[this.#input.at + offset]!
  }

  #word(offset: number): number {
    const bytes = this.#memory.bytes
    const at = this.#input.at + offset
    return (bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0
  }

  #unsupported(what: string): WalgError {
    return new WalgError('FORMAT_UNSUPPORTED', `lz4 data with ${what} cannot be read`)
  }
}

const LEGACY_FRAME: Frame = {
  isLegacy: true,
  isLinked: false,
  hasBlockChecksums: false,
  hasContentChecksum: false,
  contentBytes: undefined,
  blockBytesMax: LEGACY_BLOCK_BYTES,
}
