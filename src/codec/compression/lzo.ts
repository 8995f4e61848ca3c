import zlib from 'node:zlib'
import type { Awaitable } from '../../kit/bytes.ts'
import { WalgError } from '../../kit/errors.ts'
import { type LinearMemory, openModule } from '../../kit/linear-memory.ts'
import type { BlockReader, Compression } from '../codec.ts'
import { badData, cutData, wrongChecksum } from '../damage.ts'
import path from '../lzo.wasm' with { type: 'file' }
import { runSteps, type Steps } from '../steps.ts'
import { openStoredInput, type StoredInput } from '../stored-input.ts'

const FORMAT = 'lzo'
const MAGIC = [0x89, 0x4c, 0x5a, 0x4f, 0x00, 0x0d, 0x0a, 0x1a, 0x0a] as const
const READ_BYTES = 65_536
/** The tool itself writes blocks of 256 KiB and reads up to this. */
const BLOCK_BYTES_MAX = 64 << 20
const LENT_BYTES_MAX = 4 << 20
const SLACK_BYTES = 64
/** From this version on headers have the version needed, a level and a 64-bit time. */
const VERSION_LONG_HEADER = 0x0940
const FLAG_ADLER_CONTENT = 0x1
const FLAG_ADLER_STORED = 0x2
const FLAG_EXTRA_FIELD = 0x40
const FLAG_CRC_CONTENT = 0x100
const FLAG_CRC_STORED = 0x200
const FLAG_FILTER = 0x800
const FLAG_CRC_HEADER = 0x1000
const METHODS_LZO1X = [1, 2, 3]

interface LzoModule {
  decompressLzo1x(source: number, count: number, target: number, capacity: number): number
  adler32(source: number, count: number, seed: number): number
}

/** `.lzo` of the WAL-E era: the container of the lzop tool around LZO1X blocks; only read. */
export function openLzo(memory: () => LinearMemory): Compression {
  return {
    name: 'lzo',
    extension: 'lzo',
    openReader: source => new LzoReader(openStoredInput(source, memory()), memory()),
  }
}

class LzoReader implements BlockReader {
  readonly #input: StoredInput
  readonly #memory: LinearMemory
  readonly #lzo: LzoModule
  #flags: number | undefined
  #hasMember = false
  #output = 0
  #outputBytes = 0
  #rest = { at: 0, count: 0 }
  #isOpen = true

  constructor(input: StoredInput, memory: LinearMemory) {
    this.#input = input
    this.#memory = memory
    this.#lzo = openModule<LzoModule>(memory, path)
  }

  next(): Awaitable<Uint8Array | null> {
    return this.#rest.count > 0 ? this.#lend() : runSteps(this.#next())
  }

  close(): Awaitable<void> {
    if (!this.#isOpen) return
    this.#isOpen = false
    if (this.#outputBytes > 0) this.#memory.release(this.#output, this.#outputBytes)
    return this.#input.close()
  }

  *#next(): Steps<Uint8Array | null> {
    for (;;) {
      if (this.#flags === undefined) {
        this.#flags = yield* this.#readHeader()
        if (this.#flags === undefined) return null
      }
      if (yield* this.#readBlock(this.#flags)) return this.#lend()
      this.#flags = undefined
    }
  }

  #lend(): Uint8Array {
    const { at, count } = this.#rest
    const lentBytes = Math.min(count, LENT_BYTES_MAX)
    this.#rest = { at: at + lentBytes, count: count - lentBytes }
    return this.#memory.bytes.subarray(at, at + lentBytes)
  }

  /** The flags of the next member, or undefined at the end of the object. */
  *#readHeader(): Steps<number | undefined> {
    const input = this.#input
    const count = yield* input.fill(MAGIC.length, READ_BYTES)
    if (count === 0 && this.#hasMember) return undefined
    for (let i = 0; i < Math.min(count, MAGIC.length); i++) {
      if (this.#byte(i) === MAGIC[i]) continue
      const reason = this.#hasMember ? 'bytes follow its end' : 'it does not begin with an lzop header'
      throw badData(FORMAT, reason, input.consumedBytes)
    }
    if (count < MAGIC.length) throw cutData(FORMAT, input.consumedBytes + count)
    input.consume(MAGIC.length)
    const flags = yield* this.#readHeaderFields()
    this.#hasMember = true
    return flags
  }

  *#readHeaderFields(): Steps<number> {
    yield* this.#need(4)
    const isLong = this.#number(0, 2) >= VERSION_LONG_HEADER
    const methodAt = isLong ? 6 : 4
    const flagsAt = isLong ? 8 : 5
    yield* this.#need(flagsAt + 4)
    const flags = this.#number(flagsAt, 4)
    const method = this.#byte(methodAt)
    const nameAt = flagsAt + 4 + ((flags & FLAG_FILTER) !== 0 ? 4 : 0) + (isLong ? 12 : 8)
    yield* this.#need(nameAt + 1)
    const headerBytes = nameAt + 1 + this.#byte(nameAt)
    yield* this.#need(headerBytes + 4)
    this.#check(0, headerBytes, this.#number(headerBytes, 4), (flags & FLAG_CRC_HEADER) !== 0)
    if (!METHODS_LZO1X.includes(method) || (flags & FLAG_FILTER) !== 0) {
      throw new WalgError('FORMAT_UNSUPPORTED', `lzo data with method ${method} or a filter cannot be read`)
    }
    this.#input.consume(headerBytes + 4)
    if ((flags & FLAG_EXTRA_FIELD) !== 0) yield* this.#skipExtraField()
    return flags
  }

  *#skipExtraField(): Steps<void> {
    yield* this.#need(4)
    let left = 4 + this.#number(0, 4) + 4
    while (left > 0) {
      const count = Math.min(left, READ_BYTES)
      yield* this.#need(count)
      this.#input.consume(count)
      left -= count
    }
  }

  /** False at the end of the member. */
  *#readBlock(flags: number): Steps<boolean> {
    const input = this.#input
    yield* this.#need(4)
    const contentBytes = this.#number(0, 4)
    if (contentBytes === 0) {
      input.consume(4)
      return false
    }
    yield* this.#need(8)
    const storedBytes = this.#number(4, 4)
    if (contentBytes > BLOCK_BYTES_MAX || storedBytes > contentBytes || storedBytes === 0) {
      throw badData(FORMAT, 'the sizes of a block cannot be', input.consumedBytes)
    }
    const isStored = storedBytes === contentBytes
    const sums = checksumsOf(flags, isStored)
    const headerBytes = 8 + sums.length * 4
    input.widen(headerBytes + storedBytes + 4)
    yield* this.#need(headerBytes + storedBytes, headerBytes + storedBytes + 4)
    const content = isStored
      ? { at: input.at + headerBytes, count: contentBytes }
      : this.#decompress(headerBytes, storedBytes, contentBytes)
    for (const [i, sum] of sums.entries()) {
      const wanted = this.#number(8 + i * 4, 4)
      if (sum.ofContent) this.#check(content.at - input.at, content.count, wanted, sum.isCrc)
      else this.#check(headerBytes, storedBytes, wanted, sum.isCrc)
    }
    input.consume(headerBytes + storedBytes)
    this.#rest = content
    return true
  }

  #decompress(offset: number, storedBytes: number, contentBytes: number): { at: number; count: number } {
    const wantedBytes = contentBytes + SLACK_BYTES
    if (wantedBytes > this.#outputBytes) {
      if (this.#outputBytes > 0) this.#memory.release(this.#output, this.#outputBytes)
      this.#output = this.#memory.allocate(wantedBytes)
      this.#outputBytes = wantedBytes
    }
    const from = this.#input.at + offset
    const count = this.#lzo.decompressLzo1x(from, storedBytes, this.#output, contentBytes)
    if (count !== contentBytes) throw badData(FORMAT, 'a block is damaged', this.#input.consumedBytes)
    return { at: this.#output, count }
  }

  #check(offset: number, count: number, wanted: number, isCrc: boolean): void {
    const at = this.#input.at + offset
    const sum = isCrc
      ? zlib.crc32(this.#memory.bytes.subarray(at, at + count))
      : this.#lzo.adler32(at, count, 1) >>> 0
    if (sum !== wanted) throw wrongChecksum(FORMAT, this.#input.consumedBytes)
  }

  *#need(countBytes: number, reachBytes?: number): Steps<void> {
    const count = yield* this.#input.fill(countBytes, reachBytes ?? READ_BYTES)
    if (count < countBytes) throw cutData(FORMAT, this.#input.consumedBytes + count)
  }

  #byte(offset: number): number {
    return this.#memory.bytes[this.#input.at + offset]!
  }

  /** Big-endian. */
  #number(offset: number, bytes: number): number {
    let value = 0
    for (let i = 0; i < bytes; i++) value = value * 256 + this.#byte(offset + i)
    return value
  }
}

/** The checksums in front of a block, in their order; those of the stored form only where it is another. */
function checksumsOf(flags: number, isStored: boolean): { ofContent: boolean; isCrc: boolean }[] {
  const sums: { ofContent: boolean; isCrc: boolean }[] = []
  if ((flags & FLAG_ADLER_CONTENT) !== 0) sums.push({ ofContent: true, isCrc: false })
  if ((flags & FLAG_CRC_CONTENT) !== 0) sums.push({ ofContent: true, isCrc: true })
  if (isStored) return sums
  if ((flags & FLAG_ADLER_STORED) !== 0) sums.push({ ofContent: false, isCrc: false })
  if ((flags & FLAG_CRC_STORED) !== 0) sums.push({ ofContent: false, isCrc: true })
  return sums
}
