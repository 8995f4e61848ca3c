import { CRC32C_BEGIN, endCrc32c, updateCrc32c } from '../crc32c.ts'
import { formatLsn, type Lsn, toLsn } from '../lsn.ts'
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

const RECORD_HEADER_BYTES = 24
/** Offset of the CRC in a record's header; it covers everything after the header, then the header up to here. */
const CRC_AT = 20
const RECORD_BYTES_MAX = 1020 * 1024 * 1024
const XLOG_RMGR = 0
const XLOG_SWITCH = 0x40

/** A record whose bytes are still coming. */
interface Pending {
  readonly startLsn: bigint
  readonly totalBytes: number
  receivedBytes: number
  crc: number
}

/**
 * Reads records out of consecutive WAL pages and checks them: page addresses, continuation lengths, CRC-32C, back
 * links. Bounded memory whatever the size of a record. Begin with the first page of a segment.
 */
export class RecordReader {
  readonly #segment: WalSegmentHeader
  readonly #timeline: number
  readonly #header = new Uint8Array(RECORD_HEADER_BYTES)
  readonly #headerView = new DataView(this.#header.buffer)
  #nextPageLsn: bigint
  #pending: Pending | undefined
  /** Bytes left of a record that began before the first page. */
  #skipBytes = 0
  #isFirstPage = true
  /** After a switch record the rest of the segment means nothing. */
  #isSwitched = false
  #previousLsn: bigint | undefined
  #endLsn: bigint | undefined
  #recordCount = 0
  #stopReason: string | undefined
  #isAtUnwritten = false

  /** `firstLsn`: address of the first page; `timeline`: of the segment names, no page may be of a newer one. */
  constructor(segment: WalSegmentHeader, firstLsn: Lsn, timeline: number) {
    this.#segment = segment
    this.#nextPageLsn = firstLsn
    this.#timeline = timeline
  }

  /** End of the last good record, aligned; of its segment after a switch record. */
  get endLsn(): Lsn | undefined {
    return this.#endLsn === undefined ? undefined : toLsn(this.#endLsn)
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

  /** Takes the next page. Returns false when reading has ended. */
  readPage(page: Uint8Array): boolean {
    if (this.#stopReason !== undefined) return false
    const pageLsn = this.#nextPageLsn
    this.#nextPageLsn += BigInt(page.length)
    if (pageLsn % BigInt(this.#segment.segmentBytes) === 0n) this.#isSwitched = false
    if (this.#isSwitched) return true
    const view = new DataView(page.buffer, page.byteOffset, page.byteLength)
    const header = this.#checkHeader(view, pageLsn)
    if (header === undefined) return false
    const bodyAt = (header.flags & FLAG_LONG_HEADER) === 0 ? SHORT_HEADER_BYTES : LONG_HEADER_BYTES
    const recordsAt = this.#continueRecord(page, header, bodyAt, pageLsn)
    this.#isFirstPage = false
    if (recordsAt !== undefined) this.#readRecords(page, view, recordsAt, pageLsn)
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
  #continueRecord(
    page: Uint8Array,
    header: WalPageHeader,
    bodyAt: number,
    pageLsn: bigint,
  ): number | undefined {
    const isContinuation = (header.flags & FLAG_CONTRECORD) !== 0
    if ((header.flags & FLAG_OVERWRITE_CONTRECORD) !== 0) {
      // a crash cut the record off; the server went on behind it, and the cut bytes are void
      this.#pending = undefined
      this.#skipBytes = 0
      this.#previousLsn = undefined
      return bodyAt
    }
    if (this.#isFirstPage && isContinuation) this.#skipBytes = header.remainingBytes
    const expected = this.#pending ? this.#pending.totalBytes - this.#pending.receivedBytes : this.#skipBytes
    if (isContinuation !== expected > 0 || (isContinuation && header.remainingBytes !== expected)) {
      return this.#stop(`the record before ${text(pageLsn)} does not go on there`)
    }
    if (expected === 0) return bodyAt
    const count = Math.min(expected, page.length - bodyAt)
    if (this.#pending === undefined) this.#skipBytes -= count
    else this.#take(this.#pending, page, bodyAt, count, pageLsn)
    return count === expected && bodyAt + count < page.length ? alignUp(bodyAt + count) : undefined
  }

  #readRecords(page: Uint8Array, view: DataView, from: number, pageLsn: bigint): undefined {
    let at = from
    while (at < page.length && this.#stopReason === undefined && !this.#isSwitched) {
      const totalBytes = view.getUint32(at, true)
      const startLsn = pageLsn + BigInt(at)
      if (totalBytes === 0) {
        this.#isAtUnwritten = true
        return this.#stop(`the last record ends at ${text(this.#endLsn ?? startLsn)}`)
      }
      if (totalBytes < RECORD_HEADER_BYTES || totalBytes > RECORD_BYTES_MAX) {
        return this.#stop(`no record begins at ${text(startLsn)}`)
      }
      const pending = { startLsn, totalBytes, receivedBytes: 0, crc: CRC32C_BEGIN }
      this.#pending = pending
      const count = Math.min(totalBytes, page.length - at)
      this.#take(pending, page, at, count, pageLsn)
      at = alignUp(at + count)
    }
  }

  #take(pending: Pending, page: Uint8Array, at: number, count: number, pageLsn: bigint): void {
    const headerCount = Math.min(count, Math.max(0, RECORD_HEADER_BYTES - pending.receivedBytes))
    if (headerCount > 0) this.#header.set(page.subarray(at, at + headerCount), pending.receivedBytes)
    pending.crc = updateCrc32c(pending.crc, page, at + headerCount, at + count)
    pending.receivedBytes += count
    if (pending.receivedBytes === pending.totalBytes) this.#endRecord(pending, pageLsn + BigInt(at + count))
  }

  #endRecord(pending: Pending, endLsn: bigint): undefined {
    const { startLsn } = pending
    const view = this.#headerView
    const previousLsn = view.getBigUint64(8, true)
    this.#pending = undefined
    if (endCrc32c(updateCrc32c(pending.crc, this.#header, 0, CRC_AT)) !== view.getUint32(CRC_AT, true)) {
      return this.#stop(`the checksum of the record at ${text(startLsn)} does not match`)
    }
    if (this.#previousLsn === undefined ? previousLsn >= startLsn : previousLsn !== this.#previousLsn) {
      return this.#stop(`the record at ${text(startLsn)} does not follow the one before it`)
    }
    this.#previousLsn = startLsn
    this.#endLsn = (endLsn + 7n) & ~7n
    this.#recordCount++
    if (view.getUint8(17) === XLOG_RMGR && (view.getUint8(16) & 0xf0) === XLOG_SWITCH) {
      const segmentBytes = BigInt(this.#segment.segmentBytes)
      this.#isSwitched = true
      this.#endLsn = ((this.#endLsn + segmentBytes - 1n) / segmentBytes) * segmentBytes
    }
    return undefined
  }

  #stop(reason: string): undefined {
    this.#stopReason = reason
    return undefined
  }
}

function alignUp(at: number): number {
  return (at + 7) & ~7
}

function text(lsn: bigint): string {
  return formatLsn(toLsn(lsn))
}
