import { assert } from '../../kit/errors.ts'
import { CRC32C_BEGIN, updateCrc32c } from '../crc32c.ts'
import type { Crc32cEngine } from '../crc32c-engine.ts'

export const RECORD_HEADER_BYTES = 24
/**
 * All that can come before the data of a record: its header, 33 block headers with image and relation, origin, xid
 * and the length of the main data take about 900 bytes.
 */
const HEADERS_BYTES_MAX = 1024
const RMGR_AT = 17
/** Transactions, storage manager, databases, tablespaces: what they change stands in their main data. */
const KEPT_WHOLE: ReadonlySet<number> = new Set([1, 2, 4, 5])

/**
 * A record whose bytes come in pieces, page by page. It keeps what is needed to tell what the record changes: everything of
 * records that tell it in their main data, else the headers only.
 */
export class PartialRecord {
  readonly totalBytes: number
  /** undefined: it began before anything that was read. */
  readonly startLsn: bigint | undefined
  readonly #keepsWhole: boolean
  readonly #engine: Crc32cEngine | undefined
  #kept: Uint8Array
  #keptBytes = 0
  #receivedBytes = 0
  #bodyCrc = CRC32C_BEGIN

  constructor(
    totalBytes: number,
    startLsn: bigint | undefined,
    keepsWhole: boolean,
    engine?: Crc32cEngine | undefined,
  ) {
    this.totalBytes = totalBytes
    this.startLsn = startLsn
    this.#keepsWhole = keepsWhole
    this.#engine = engine
    this.#kept = new Uint8Array(Math.min(totalBytes, HEADERS_BYTES_MAX))
  }

  /** A record whose beginning is known from elsewhere. Its length stands in its first four bytes. */
  static resumed(bytes: Uint8Array, keepsWhole: boolean, engine?: Crc32cEngine): PartialRecord {
    assert(bytes.length >= 4, 'a record begins with its length')
    const totalBytes = new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true)
    assert(totalBytes > bytes.length, 'a record that goes on is longer than its beginning')
    const record = new PartialRecord(totalBytes, undefined, keepsWhole, engine)
    record.take(bytes, 0, bytes.length)
    return record
  }

  get missingBytes(): number {
    return this.totalBytes - this.#receivedBytes
  }

  /** What is kept, from the record's first byte on. */
  get keptBytes(): Uint8Array {
    return this.#kept.subarray(0, this.#keptBytes)
  }

  /** CRC-32C of what came after the header; not closed. */
  get bodyCrc(): number {
    return this.#bodyCrc
  }

  take(bytes: Uint8Array, at: number, count: number): void {
    const headerCount = Math.min(count, Math.max(0, RECORD_HEADER_BYTES - this.#receivedBytes))
    this.#bodyCrc = crcOver(this.#engine, this.#bodyCrc, bytes, at + headerCount, at + count)
    this.#keep(bytes, at, Math.min(count, HEADERS_BYTES_MAX - this.#keptBytes))
    const rest = this.#receivedBytes + count - this.#keptBytes
    if (rest > 0 && this.#isKeptWhole()) this.#keep(bytes, at + count - rest, rest)
    this.#receivedBytes += count
  }

  #isKeptWhole(): boolean {
    return this.#keepsWhole || KEPT_WHOLE.has(this.#kept[RMGR_AT]!)
  }

  #keep(bytes: Uint8Array, at: number, count: number): void {
    if (count <= 0) return
    const wanted = this.#keptBytes + count
    if (wanted > this.#kept.length) {
      const grown = new Uint8Array(Math.min(this.totalBytes, Math.max(wanted, this.#kept.length * 2)))
      grown.set(this.#kept.subarray(0, this.#keptBytes))
      this.#kept = grown
    }
    this.#kept.set(bytes.subarray(at, at + count), this.#keptBytes)
    this.#keptBytes = wanted
  }
}

/** Below this the call into WebAssembly costs more than it gains. */
const ENGINE_BYTES_MIN = 256

/** CRC-32C over `bytes[begin, end)`, by the engine where there is one and it pays. */
export function crcOver(
  engine: Crc32cEngine | undefined,
  crc: number,
  bytes: Uint8Array,
  begin: number,
  end: number,
): number {
  if (engine === undefined || end - begin < ENGINE_BYTES_MIN) return updateCrc32c(crc, bytes, begin, end)
  return engine.update(crc, bytes.subarray(begin, end))
}
