import { WalgError } from '../../kit/errors.ts'
import { crc32c } from '../../postgres/crc32c.ts'

const CRC_BYTES = 4

/** Grows as numbers (little-endian) and bytes are added. */
export class BinaryWriter {
  #bytes = new Uint8Array(4096)
  #view = new DataView(this.#bytes.buffer)
  #length = 0

  u8(value: number): void {
    this.#reserve(1)
    this.#view.setUint8(this.#length, value)
    this.#length += 1
  }

  u32(...values: number[]): void {
    this.#reserve(values.length * 4)
    for (const value of values) {
      this.#view.setUint32(this.#length, value, true)
      this.#length += 4
    }
  }

  u64(value: bigint): void {
    this.#reserve(8)
    this.#view.setBigUint64(this.#length, value, true)
    this.#length += 8
  }

  raw(bytes: Uint8Array): void {
    this.#reserve(bytes.length)
    this.#bytes.set(bytes, this.#length)
    this.#length += bytes.length
  }

  /** Length (u32), then the bytes. */
  counted(bytes: Uint8Array): void {
    this.u32(bytes.length)
    this.raw(bytes)
  }

  /** What was added. */
  end(): Uint8Array {
    return this.#bytes.subarray(0, this.#length)
  }

  /** The same, and a CRC-32C of all of it behind. */
  endWithCrc(): Uint8Array {
    this.u32(crc32c(this.end()))
    return this.end()
  }

  #reserve(count: number): void {
    const wanted = this.#length + count
    if (wanted <= this.#bytes.length) return
    const grown = new Uint8Array(Math.max(wanted, this.#bytes.length * 2))
    grown.set(this.end())
    this.#bytes = grown
    this.#view = new DataView(grown.buffer)
  }
}

/** Reads what a BinaryWriter wrote; throws FORMAT_TRUNCATED, naming `what`, beyond the end. */
export class BinaryReader {
  readonly #bytes: Uint8Array
  readonly #view: DataView
  readonly #what: string
  #at = 0

  constructor(bytes: Uint8Array, what: string) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    this.#what = what
  }

  get position(): number {
    return this.#at
  }

  get restBytes(): number {
    return this.#bytes.length - this.#at
  }

  u8(): number {
    return this.#view.getUint8(this.#take(1))
  }

  u32(): number {
    return this.#view.getUint32(this.#take(4), true)
  }

  u64(): bigint {
    return this.#view.getBigUint64(this.#take(8), true)
  }

  /** Lent from the bytes that are read. */
  raw(count: number): Uint8Array {
    const at = this.#take(count)
    return this.#bytes.subarray(at, at + count)
  }

  counted(): Uint8Array {
    return this.raw(this.u32())
  }

  /** Throws CHECKSUM_MISMATCH unless what follows, the last four bytes, is the CRC-32C of everything before. */
  endWithCrc(): void {
    const expected = crc32c(this.#bytes.subarray(0, this.#at))
    if (this.restBytes !== CRC_BYTES || this.u32() !== expected) {
      throw new WalgError('CHECKSUM_MISMATCH', `the checksum of ${this.#what} does not match`)
    }
  }

  #take(count: number): number {
    const at = this.#at
    if (count > this.restBytes) throw new WalgError('FORMAT_TRUNCATED', `${this.#what} is cut short`)
    this.#at += count
    return at
  }
}
