import type { Awaitable, ByteSource } from '../../kit/bytes.ts'
import { WalgError } from '../../kit/errors.ts'
import { type LinearMemory, openModule } from '../../kit/linear-memory.ts'
import type { BlockReader } from '../codec.ts'
import { badData, cutData } from '../damage.ts'
import path from '../lzma.wasm' with { type: 'file' }
import { runSteps, type Steps } from '../steps.ts'
import { openStoredInput, type StoredInput } from '../stored-input.ts'

const FORMAT = 'lzma'
/** Properties, dictionary size, content size; then the first five bytes of the range coder. */
const HEADER_BYTES = 13 + 5
const READ_BYTES = 65_536
const LENT_BYTES = 1 << 20
/** With fewer bytes the decoder waits, unless they are the last. */
const SYMBOL_BYTES_MAX = 24
/** A header may ask for 4 GiB; data that really reaches further back than this is refused. */
const RING_BYTES_MAX = 512 << 20
const STATE_BYTES = 96
const STATE_CONSUMED = 80
const STATE_WRITTEN = 84
const SIZE_UNKNOWN = 0xffff_ffff_ffff_ffffn

const ENDED = 1
const DAMAGED = -1
const CUT = -2
const TOO_FAR = -3

interface LzmaModule {
  probabilityBytes(literalBits: number): number
  open(
    state: number,
    lc: number,
    lp: number,
    pb: number,
    probabilities: number,
    ring: number,
    ringBytes: number,
    size: bigint,
    firstWord: number,
  ): void
  decode(state: number, input: number, count: number, isLast: boolean, room: number): number
}

interface Area {
  readonly at: number
  readonly count: number
}

/** Reads one LZMA stream with known size, end mark or both; nothing may follow it. */
export function openLzmaReader(source: ByteSource, memory: LinearMemory): BlockReader {
  return new LzmaReader(openStoredInput(source, memory), memory)
}

class LzmaReader implements BlockReader {
  readonly #input: StoredInput
  readonly #memory: LinearMemory
  readonly #lzma: LzmaModule
  readonly #state: Area
  #probabilities: Area | undefined
  #ring: Area | undefined
  #ringAt = 0
  #isEnded = false
  #isOpen = true

  constructor(input: StoredInput, memory: LinearMemory) {
    this.#input = input
    this.#memory = memory
    this.#lzma = openModule<LzmaModule>(memory, path)
    this.#state = this.#allocate(STATE_BYTES)
  }

  next(): Awaitable<Uint8Array | null> {
    return runSteps(this.#next())
  }

  close(): Awaitable<void> {
    if (!this.#isOpen) return
    this.#isOpen = false
    for (const area of [this.#state, this.#probabilities, this.#ring]) {
      if (area !== undefined) this.#memory.release(area.at, area.count)
    }
    return this.#input.close()
  }

  *#next(): Steps<Uint8Array | null> {
    if (this.#isEnded) return null
    this.#ring ??= yield* this.#readHeader()
    const ring = this.#ring
    const input = this.#input
    for (;;) {
      const isLast = (yield* input.fill(SYMBOL_BYTES_MAX, READ_BYTES)) < SYMBOL_BYTES_MAX
      const result = this.#lzma.decode(this.#state.at, input.at, input.count, isLast, LENT_BYTES)
      if (result < 0) throw this.#failure(result, ring)
      input.consume(this.#stateWord(STATE_CONSUMED))
      const written = this.#stateWord(STATE_WRITTEN)
      const at = this.#ringAt
      this.#ringAt = at + written === ring.count ? 0 : at + written
      if (result === ENDED) {
        this.#isEnded = true
        if ((yield* input.fill(1)) > 0) throw badData(FORMAT, 'bytes follow its end', input.consumedBytes)
      }
      if (written > 0) return this.#memory.bytes.subarray(ring.at + at, ring.at + at + written)
      if (this.#isEnded) return null
    }
  }

  /** Opens the decoder; returns its ring. */
  *#readHeader(): Steps<Area> {
    const input = this.#input
    const count = yield* input.fill(HEADER_BYTES, READ_BYTES)
    if (count === 0) throw cutData(FORMAT, 0)
    const header = Buffer.from(
      this.#memory.bytes.subarray(input.at, input.at + Math.min(count, HEADER_BYTES)),
    )
    const properties = header[0]!
    if (properties >= 9 * 5 * 5) {
      const isXz = header.subarray(0, 6).equals(Buffer.from('fd377a585a00', 'hex'))
      throw badData(FORMAT, isXz ? 'it is in the .xz container' : 'its properties cannot be', 0)
    }
    if (count < HEADER_BYTES) throw cutData(FORMAT, count)
    if (header[13] !== 0) throw badData(FORMAT, 'it does not begin with an lzma header', 0)
    const lc = properties % 9
    const lp = Math.floor(properties / 9) % 5
    const pb = Math.floor(properties / 45)
    const size = header.readBigUInt64LE(5)
    const ring = this.#allocate(ringBytesFor(header.readUInt32LE(1), size))
    const probabilities = this.#allocate(this.#lzma.probabilityBytes(lc + lp))
    this.#probabilities = probabilities
    const firstWord = header.readUInt32BE(14)
    this.#lzma.open(this.#state.at, lc, lp, pb, probabilities.at, ring.at, ring.count, size, firstWord)
    input.consume(HEADER_BYTES)
    return ring
  }

  #failure(result: number, ring: Area): WalgError {
    const storedBytes = this.#input.consumedBytes
    if (result === CUT) return cutData(FORMAT, storedBytes + this.#input.count)
    if (result === TOO_FAR && ring.count === RING_BYTES_MAX) {
      return new WalgError('FORMAT_UNSUPPORTED', 'lzma data with a dictionary above 512 MiB cannot be read')
    }
    const isKnown = result === DAMAGED || result === TOO_FAR
    return badData(FORMAT, isKnown ? 'it is damaged' : `result ${result}`, storedBytes)
  }

  #allocate(count: number): Area {
    return { at: this.#memory.allocate(count), count }
  }

  #stateWord(offset: number): number {
    return Buffer.from(this.#memory.bytes.buffer, this.#state.at + offset, 4).readUInt32LE(0)
  }
}

/** No less than what is lent at once, no more than the content can fill: memory that is not touched costs nothing. */
function ringBytesFor(dictionaryBytes: number, size: bigint): number {
  const useful = size === SIZE_UNKNOWN ? dictionaryBytes : Math.min(dictionaryBytes, Number(size))
  return Math.min(Math.max(useful, LENT_BYTES), RING_BYTES_MAX)
}
