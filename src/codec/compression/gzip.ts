import zlib from 'node:zlib'
import type { Awaitable } from '../../kit/bytes.ts'
import type { LinearMemory } from '../../kit/linear-memory.ts'
import type { BlockReader, Compression } from '../codec.ts'
import { badData, cutData, wrongChecksum } from '../damage.ts'
import { runSteps, type Steps } from '../steps.ts'
import { openStoredInput, type StoredInput } from '../stored-input.ts'
import { runEngine } from './zlib-blocks.ts'
import { openZlibEngine, type ZlibEngine } from './zlib-engine.ts'

const FORMAT = 'gzip'
const READ_BYTES = 256 << 10
const LENT_BYTES = 1 << 20
const HEADER_BYTES = 10
const TRAILER_BYTES = 8
const FLAG_HEADER_CRC = 2
const FLAG_EXTRA = 4
const FLAG_NAME = 8
const FLAG_COMMENT = 16
const FLAGS_RESERVED = 0xe0

/** gzip (RFC 1952), only read: any number of members, nothing behind the last one. */
export function openGzip(memory: () => LinearMemory): Compression {
  return {
    name: 'gzip',
    extension: 'gz',
    openReader: source => new GzipReader(openStoredInput(source, memory()), memory()),
  }
}

class GzipReader implements BlockReader {
  readonly #input: StoredInput
  readonly #memory: LinearMemory
  readonly #output: number
  #engine: ZlibEngine | undefined
  #crc = 0
  /** Content of the open member modulo 2^32, as its trailer has it. */
  #contentBytes = 0
  #hasMember = false
  #isOpen = true

  constructor(input: StoredInput, memory: LinearMemory) {
    this.#input = input
    this.#memory = memory
    input.widen(READ_BYTES)
    this.#output = memory.allocate(LENT_BYTES)
  }

  next(): Awaitable<Uint8Array | null> {
    return runSteps(this.#next())
  }

  close(): Awaitable<void> {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#engine?.close()
    this.#memory.release(this.#output, LENT_BYTES)
    return this.#input.close()
  }

  *#next(): Steps<Uint8Array | null> {
    for (;;) {
      if (this.#engine === undefined && !(yield* this.#beginMember())) return null
      const engine = this.#engine!
      const count = yield* this.#input.fill(1, READ_BYTES)
      if (count === 0) throw cutData(FORMAT, this.#input.consumedBytes)
      yield runEngine(engine, this.#input, this.#memory, this.#output, LENT_BYTES, FORMAT)
      const { consumed, written } = engine
      this.#input.consume(consumed)
      if (written > 0) return this.#take(written)
      // a trailer always follows, so bytes that are refused tell the end of the compressed data
      if (consumed === 0) yield* this.#endMember()
    }
  }

  #take(written: number): Uint8Array {
    const content = this.#memory.bytes.subarray(this.#output, this.#output + written)
    this.#crc = zlib.crc32(content, this.#crc)
    this.#contentBytes = (this.#contentBytes + written) >>> 0
    return content
  }

  /** False at the end of the object. */
  *#beginMember(): Steps<boolean> {
    const input = this.#input
    const count = yield* input.fill(HEADER_BYTES, READ_BYTES)
    if (count === 0 && this.#hasMember) return false
    if (count === 0) throw cutData(FORMAT, 0)
    const isGzip = this.#byte(0) === 0x1f && (count < 2 || this.#byte(1) === 0x8b)
    if (!isGzip) {
      const reason = this.#hasMember ? 'bytes follow the last member' : 'it does not begin with a gzip header'
      throw badData(FORMAT, reason, input.consumedBytes)
    }
    if (count < HEADER_BYTES) throw cutData(FORMAT, input.consumedBytes + count)
    const flags = this.#byte(3)
    if (this.#byte(2) !== 8 || (flags & FLAGS_RESERVED) !== 0) {
      throw badData(FORMAT, 'its header asks for an unknown method', input.consumedBytes)
    }
    yield* this.#skipHeaderFields(flags)
    this.#engine = openZlibEngine(() => zlib.createInflateRaw())
    this.#crc = 0
    this.#contentBytes = 0
    this.#hasMember = true
    return true
  }

  *#skipHeaderFields(flags: number): Steps<void> {
    const crc = { value: 0, isWanted: (flags & FLAG_HEADER_CRC) !== 0 }
    const skip = (count: number): void => {
      if (crc.isWanted) crc.value = zlib.crc32(this.#bytes(count), crc.value)
      this.#input.consume(count)
    }
    skip(HEADER_BYTES)
    if ((flags & FLAG_EXTRA) !== 0) {
      yield* this.#need(2)
      const extraBytes = 2 + this.#byte(0) + (this.#byte(1) << 8)
      yield* this.#need(extraBytes)
      skip(extraBytes)
    }
    for (const flag of [FLAG_NAME, FLAG_COMMENT]) {
      if ((flags & flag) === 0) continue
      let isLast = false
      while (!isLast) {
        yield* this.#need(1)
        isLast = this.#byte(0) === 0
        skip(1)
      }
    }
    if (!crc.isWanted) return
    yield* this.#need(2)
    if ((crc.value & 0xffff) !== this.#byte(0) + (this.#byte(1) << 8)) {
      throw wrongChecksum(FORMAT, this.#input.consumedBytes)
    }
    this.#input.consume(2)
  }

  *#endMember(): Steps<void> {
    yield* this.#need(TRAILER_BYTES)
    const trailer = Buffer.from(this.#bytes(TRAILER_BYTES))
    if (trailer.readUInt32LE(0) !== this.#crc || trailer.readUInt32LE(4) !== this.#contentBytes) {
      throw wrongChecksum(FORMAT, this.#input.consumedBytes)
    }
    this.#input.consume(TRAILER_BYTES)
    this.#engine?.close()
    this.#engine = undefined
  }

  *#need(countBytes: number): Steps<void> {
    const count = yield* this.#input.fill(countBytes, READ_BYTES)
    if (count < countBytes) throw cutData(FORMAT, this.#input.consumedBytes + count)
  }

  #byte(offset: number): number {
    return this.#memory.bytes[this.#input.at + offset]!
  }

  #bytes(count: number): Uint8Array {
    return this.#memory.bytes.subarray(this.#input.at, this.#input.at + count)
  }
}
