import { WalgError } from '../../kit/errors.ts'
import { parseSegmentName, segmentStartLsn } from '../wal-segment.ts'
import { RecordReader } from './record-reader.ts'
import { decodeSegmentHeader, LONG_HEADER_BYTES, type WalSegmentHeader } from './wal-page.ts'

/** Checks the records of one segment while its bytes pass by; keeps one page. */
export interface RecordChecker {
  /** Takes the next bytes, in any pieces. */
  update(bytes: Uint8Array): void
  /**
   * Throws WAL_INVALID when PostgreSQL would find the end of WAL inside this segment although more is written
   * behind. Nothing is said of what began before the segment or goes on after it, nor of a page header.
   */
  end(): void
}

/** Opens a checker for the segment `name`. What is no segment at all is left to the page checker. */
export function openRecordChecker(name: string): RecordChecker {
  return new SegmentRecords(name)
}

class SegmentRecords implements RecordChecker {
  readonly #name: string
  /** The beginning of the segment, then a page that comes in pieces. */
  #held = new Uint8Array(LONG_HEADER_BYTES)
  #heldBytes = 0
  #segment: WalSegmentHeader | undefined
  #reader: RecordReader | undefined
  /** Something follows where nothing should. */
  #isGap = false

  constructor(name: string) {
    this.#name = name
  }

  update(bytes: Uint8Array): void {
    let at = 0
    if (this.#segment === undefined) {
      at = this.#hold(bytes, 0)
      if (this.#heldBytes < this.#held.length || !this.#begin()) return
    }
    while (at < bytes.length) {
      const pageBytes = this.#held.length
      if (this.#heldBytes === 0 && bytes.length - at >= pageBytes) {
        this.#read(bytes.subarray(at, at + pageBytes))
        at += pageBytes
        continue
      }
      at = this.#hold(bytes, at)
      if (this.#heldBytes < pageBytes) return
      this.#heldBytes = 0
      this.#read(this.#held)
    }
  }

  end(): void {
    const reader = this.#reader
    if (reader?.stopReason === undefined || (reader.isAtUnwritten && !this.#isGap)) return
    throw new WalgError('WAL_INVALID', `WAL segment ${this.#name} is damaged: ${reader.stopReason}`, {
      facts: { name: this.#name },
    })
  }

  /** Fills what is held; returns how far `bytes` are used up. */
  #hold(bytes: Uint8Array, at: number): number {
    const count = Math.min(this.#held.length - this.#heldBytes, bytes.length - at)
    this.#held.set(bytes.subarray(at, at + count), this.#heldBytes)
    this.#heldBytes += count
    return at + count
  }

  /** The first header says how large a page is; what is held of it becomes the beginning of the first one. */
  #begin(): boolean {
    const segment = decodeSegmentHeader(new DataView(this.#held.buffer), 0)
    if (segment === undefined) {
      this.#heldBytes = 0
      return false
    }
    const { timeline, ...place } = parseSegmentName(this.#name, segment.segmentBytes)
    const firstLsn = segmentStartLsn({ timeline, ...place }, segment.segmentBytes)
    const page = new Uint8Array(segment.walPageBytes)
    page.set(this.#held)
    this.#held = page
    this.#segment = segment
    this.#reader = new RecordReader(segment, firstLsn, timeline)
    return true
  }

  #read(page: Uint8Array): void {
    const reader = this.#reader
    if (reader === undefined) return
    if (reader.stopReason === undefined) reader.readPage(page)
    else if (reader.isAtUnwritten && !this.#isGap) this.#isGap = page.some(byte => byte !== 0)
  }
}
