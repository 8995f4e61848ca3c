import { CRC32C_BEGIN, endCrc32c, updateCrc32c } from '../crc32c.ts'
import type { Crc32cEngine } from '../crc32c-engine.ts'
import { formatLsn, type Lsn, toLsn } from '../lsn.ts'
import { isEndOfSwitch } from './carried-switch.ts'
import { crcOver, PartialRecord, RECORD_HEADER_BYTES } from './partial-record.ts'
import {
  decodePageHeader,
  FLAG_CONTRECORD,
  FLAG_LONG_HEADER,
  FLAG_OVERWRITE_CONTRECORD,
  isZeroHeader,
  LONG_HEADER_BYTES,
  SHORT_HEADER_BYTES,
  type WalPageHeader,
  type WalSegmentHeader,
} from './wal-page.ts'

/** Offset of the CRC in a record's header; it covers everything after the header, then the header up to here. */
const CRC_AT = 20
const RECORD_BYTES_MAX = 1020 * 1024 * 1024
const XLOG_RMGR = 0
const XLOG_SWITCH = 0x40
const UNKNOWN = -1

/**
 * Takes a record that proved whole: `totalBytes` long, it begins at `at` of `view`. All of it is there, or as much of
 * it as `PartialRecord` keeps of one that crosses pages. Lent until the call returns.
 */
export type RecordSink = (view: DataView, at: number, totalBytes: number) => void

export interface RecordReaderOptions {
  readonly sink?: RecordSink
  /** Keep every byte of records that cross pages: `openingBytes` and `pendingBytes` are then whole. */
  readonly keepsWhole?: boolean
  /** For much WAL: twice as fast, best on the memory that the pages lie in. */
  readonly engine?: Crc32cEngine
  /** The beginning of the record that goes on in the first page, without page headers. */
  readonly pendingBytes?: Uint8Array
}

/**
 * Reads records out of consecutive WAL pages and checks them: page addresses, continuation lengths, CRC-32C, back
 * links. Bounded memory whatever the size of a record. Begin with the first page of a segment.
 */
export class RecordReader {
  readonly #segment: WalSegmentHeader
  readonly #timeline: number
  readonly #sink: RecordSink | undefined
  readonly #keepsWhole: boolean
  readonly #engine: Crc32cEngine | undefined
  #nextPageLsn: bigint
  /** Of the page that is being read; records are compared by number, which is much cheaper than by bigint. */
  #pageLsn = 0n
  #pageHigh = 0
  #pageLow = 0
  #pending: PartialRecord | undefined
  /** Bytes left of a record that began before the first page, and those that have come, if kept. */
  #skipBytes = 0
  #opening: PartialRecord | undefined
  #openingBytes = 0
  #isOpeningVoid = false
  #isFirstPage = true
  /** After a switch record the rest of the segment means nothing. */
  #isSwitched = false
  /** Where the record that ends now begins; UNKNOWN when it began before the first page. */
  #startHigh = UNKNOWN
  #startLow = UNKNOWN
  /** Where the one before it began; UNKNOWN before the first and after a cut one. */
  #previousHigh = UNKNOWN
  #previousLow = UNKNOWN
  #firstBackLink: bigint | undefined
  /** The last good record ends at `#endAt` of this page. */
  #endPageLsn = 0n
  #endAt = UNKNOWN
  #recordCount = 0
  #stopReason: string | undefined
  #isAtUnwritten = false

  /** `firstLsn`: address of the first page; `timeline`: of the segment names, no page may be of a newer one. */
  constructor(
    segment: WalSegmentHeader,
    firstLsn: Lsn,
    timeline: number,
    { sink, keepsWhole = false, engine, pendingBytes }: RecordReaderOptions = {},
  ) {
    this.#segment = segment
    this.#nextPageLsn = firstLsn
    this.#timeline = timeline
    this.#sink = sink
    this.#keepsWhole = keepsWhole
    this.#engine = engine
    if (pendingBytes !== undefined && pendingBytes.length > 0) {
      this.#pending = PartialRecord.resumed(pendingBytes, keepsWhole, engine)
      this.#isFirstPage = false
    }
  }

  /** End of the last good record, aligned; of its segment after a switch record. */
  get endLsn(): Lsn | undefined {
    return this.#endAt === UNKNOWN ? undefined : toLsn(this.#endPageLsn + BigInt(this.#endAt))
  }

  /** Where the last good record begins; undefined before the first, and when it began before the first page. */
  get lastStartLsn(): Lsn | undefined {
    return this.#previousHigh === UNKNOWN ? undefined : toLsn(joinLsn(this.#previousHigh, this.#previousLow))
  }

  /** Where the record before the first good one begins, as that one says. */
  get firstBackLink(): bigint | undefined {
    return this.#firstBackLink
  }

  get recordCount(): number {
    return this.#recordCount
  }

  /** Why reading ended, undefined while it goes on. */
  get stopReason(): string | undefined {
    return this.#stopReason
  }

  /** True when reading ended where nothing is written any more, not at something wrong. */
  get isAtUnwritten(): boolean {
    return this.#isAtUnwritten
  }

  /** True between two records: everything seen so far is proved. */
  get isBetweenRecords(): boolean {
    return this.#pending === undefined && this.#skipBytes === 0
  }

  /** What has come of a record that is not complete yet; with `keepsWhole`. */
  get pendingBytes(): Uint8Array {
    return this.#pending?.keptBytes ?? new Uint8Array(0)
  }

  /** Where that record begins. */
  get pendingStartLsn(): Lsn | undefined {
    const startLsn = this.#pending?.startLsn
    return startLsn === undefined ? undefined : toLsn(startLsn)
  }

  /** What the pages have of a record that began before the first one: none of it, its end, not yet its end, or bytes that became void. */
  get opening(): 'none' | 'ended' | 'open' | 'void' {
    if (this.#isOpeningVoid) return 'void'
    if (this.#skipBytes > 0) return 'open'
    return this.#openingBytes > 0 ? 'ended' : 'none'
  }

  /** Those bytes; with `keepsWhole`. */
  get openingBytes(): Uint8Array {
    return this.#opening?.keptBytes ?? new Uint8Array(0)
  }

  /** Takes the next page. Returns false when reading has ended. */
  readPage(page: Uint8Array): boolean {
    if (this.#stopReason !== undefined) return false
    const pageLsn = this.#nextPageLsn
    this.#nextPageLsn += BigInt(page.length)
    if (pageLsn % BigInt(this.#segment.segmentBytes) === 0n) this.#isSwitched = false
    if (this.#isSwitched) return true
    this.#pageLsn = pageLsn
    this.#pageHigh = Number(pageLsn >> 32n)
    this.#pageLow = Number(pageLsn & 0xffffffffn)
    const view = new DataView(page.buffer, page.byteOffset, page.byteLength)
    const header = this.#checkHeader(view, pageLsn)
    if (header === undefined) return false
    const bodyAt = (header.flags & FLAG_LONG_HEADER) === 0 ? SHORT_HEADER_BYTES : LONG_HEADER_BYTES
    const recordsAt = this.#continueRecord(page, header, bodyAt)
    this.#isFirstPage = false
    if (recordsAt !== undefined) this.#readRecords(page, view, recordsAt)
    return this.#stopReason === undefined
  }

  #checkHeader(view: DataView, pageLsn: bigint): WalPageHeader | undefined {
    if (isZeroHeader(view, 0)) {
      this.#isAtUnwritten = true
      return this.#stop(`nothing is written at ${text(pageLsn)}`)
    }
    const header = decodePageHeader(view, 0)
    if (header.pageLsn !== pageLsn) {
      return this.#stop(`the page at ${text(pageLsn)} is the one of ${text(header.pageLsn)}`)
    }
    if (header.timeline > this.#timeline) {
      return this.#stop(`the page at ${text(pageLsn)} is of timeline ${header.timeline}`)
    }
    return header
  }

  /** What comes before the first record of a page. Returns where that begins; undefined when none does. */
  #continueRecord(page: Uint8Array, header: WalPageHeader, bodyAt: number): number | undefined {
    const isContinuation = (header.flags & FLAG_CONTRECORD) !== 0
    if ((header.flags & FLAG_OVERWRITE_CONTRECORD) !== 0) {
      // a crash cut the record off; the server went on behind it, and the cut bytes are void
      if (this.#isFirstPage || this.#skipBytes > 0) this.#isOpeningVoid = true
      this.#pending = undefined
      this.#skipBytes = 0
      this.#previousHigh = UNKNOWN
      return bodyAt
    }
    if (this.#isFirstPage && isContinuation) {
      this.#skipBytes = header.remainingBytes
      this.#openingBytes = header.remainingBytes
      if (this.#keepsWhole) this.#opening = new PartialRecord(header.remainingBytes, undefined, true)
    }
    const expected = this.#pending?.missingBytes ?? this.#skipBytes
    if (isContinuation !== expected > 0 || (isContinuation && header.remainingBytes !== expected)) {
      return this.#stop(`the record before ${text(this.#pageLsn)} does not go on there`)
    }
    if (expected === 0) return bodyAt
    const count = Math.min(expected, page.length - bodyAt)
    if (this.#pending === undefined) {
      this.#skipBytes -= count
      this.#opening?.take(page, bodyAt, count)
      if (this.#skipBytes === 0 && isEndOfSwitch(page, bodyAt, bodyAt + count)) {
        this.#endSegment()
        return undefined
      }
    } else this.#take(this.#pending, page, bodyAt, count)
    return count === expected && bodyAt + count < page.length ? alignUp(bodyAt + count) : undefined
  }

  #readRecords(page: Uint8Array, view: DataView, from: number): undefined {
    let at = from
    while (at < page.length && this.#stopReason === undefined && !this.#isSwitched) {
      const totalBytes = view.getUint32(at, true)
      if (totalBytes === 0) {
        this.#isAtUnwritten = true
        return this.#stop(`the last record ends at ${text(this.endLsn ?? this.#pageLsn + BigInt(at))}`)
      }
      if (totalBytes < RECORD_HEADER_BYTES || totalBytes > RECORD_BYTES_MAX) {
        return this.#stop(`no record begins at ${text(this.#pageLsn + BigInt(at))}`)
      }
      if (totalBytes > page.length - at) {
        const pending = new PartialRecord(
          totalBytes,
          this.#pageLsn + BigInt(at),
          this.#keepsWhole,
          this.#engine,
        )
        this.#pending = pending
        return this.#take(pending, page, at, page.length - at)
      }
      const crc = crcOver(this.#engine, CRC32C_BEGIN, page, at + RECORD_HEADER_BYTES, at + totalBytes)
      this.#startHigh = this.#pageHigh
      this.#startLow = this.#pageLow + at
      this.#endRecord(view, at, totalBytes, updateCrc32c(crc, page, at, at + CRC_AT), at + totalBytes)
      at = alignUp(at + totalBytes)
    }
  }

  #take(pending: PartialRecord, page: Uint8Array, at: number, count: number): undefined {
    pending.take(page, at, count)
    if (pending.missingBytes > 0) return
    this.#pending = undefined
    const { startLsn, keptBytes } = pending
    this.#startHigh = startLsn === undefined ? UNKNOWN : Number(startLsn >> 32n)
    this.#startLow = startLsn === undefined ? UNKNOWN : Number(startLsn & 0xffffffffn)
    const view = new DataView(keptBytes.buffer, keptBytes.byteOffset, keptBytes.byteLength)
    const crc = updateCrc32c(pending.bodyCrc, keptBytes, 0, CRC_AT)
    this.#endRecord(view, 0, pending.totalBytes, crc, at + count)
  }

  /** The record from `#startHigh`/`#startLow` on is complete; it ends at `endAt` of the page. */
  #endRecord(view: DataView, at: number, totalBytes: number, crc: number, endAt: number): undefined {
    if (endCrc32c(crc) !== view.getUint32(at + CRC_AT, true)) {
      return this.#stop(`the checksum of the record at ${this.#startText()} does not match`)
    }
    const backLow = view.getUint32(at + 8, true)
    const backHigh = view.getUint32(at + 12, true)
    if (!this.#follows(backHigh, backLow)) {
      return this.#stop(`the record at ${this.#startText()} does not follow the one before it`)
    }
    if (this.#recordCount++ === 0) this.#firstBackLink = (BigInt(backHigh) << 32n) | BigInt(backLow)
    this.#previousHigh = this.#startHigh
    this.#previousLow = this.#startLow
    this.#endPageLsn = this.#pageLsn
    this.#endAt = alignUp(endAt)
    this.#sink?.(view, at, totalBytes)
    if (view.getUint8(at + 17) === XLOG_RMGR && (view.getUint8(at + 16) & 0xf0) === XLOG_SWITCH)
      this.#endSegment()
    return undefined
  }

  /** A switch ends the segment of this page. */
  #endSegment(): void {
    const segmentBytes = BigInt(this.#segment.segmentBytes)
    this.#isSwitched = true
    this.#endPageLsn = (this.#pageLsn / segmentBytes + 1n) * segmentBytes
    this.#endAt = 0
  }

  /** A back link names the record before; where that is not known, it goes back at least. */
  #follows(backHigh: number, backLow: number): boolean {
    if (this.#previousHigh !== UNKNOWN)
      return backLow === this.#previousLow && backHigh === this.#previousHigh
    if (this.#startHigh === UNKNOWN) return true
    return backHigh < this.#startHigh || (backHigh === this.#startHigh && backLow < this.#startLow)
  }

  #startText(): string {
    if (this.#startHigh === UNKNOWN) return `the beginning`
    return text(joinLsn(this.#startHigh, this.#startLow))
  }

  #stop(reason: string): undefined {
    this.#stopReason = reason
    return undefined
  }
}

function alignUp(at: number): number {
  return (at + 7) & ~7
}

function joinLsn(high: number, low: number): bigint {
  return (BigInt(high) << 32n) | BigInt(low)
}

function text(lsn: bigint): string {
  return formatLsn(toLsn(lsn))
}
