import { WalgError } from '../../kit/errors.ts'
import type { Lsn } from '../../postgres/lsn.ts'
import { assertSegment, openSegmentChecker } from '../../postgres/wal/page-reader.ts'
import { RecordReader } from '../../postgres/wal/record-reader.ts'
import {
  decodeSegmentHeader,
  LONG_HEADER_BYTES,
  majorByMagic,
  type WalSegmentHeader,
} from '../../postgres/wal/wal-page.ts'
import { nextSegmentName, parseSegmentName, segmentStartLsn } from '../../postgres/wal-segment.ts'
import type { WalObject } from '../../repository/wal-catalog.ts'
import { type ReadLane, readStored } from './read-object.ts'

/** Where the records of a run of segments are at its end. */
interface Run {
  readonly file: string
  readonly reader: RecordReader
  /** The segment that goes on with it. */
  readonly next: string
  readonly systemIdentifier: bigint
}

/** A record that proved whole, see `RecordSink`. `startLsn` undefined: it began before the first segment that was read. */
export type RecordTaker = (
  record: { readonly view: DataView; readonly at: number; readonly totalBytes: number },
  startLsn: Lsn | undefined,
  major: number,
) => void

/**
 * Reads segments one after the other: size, page addresses and the checksum of every record; a record that
 * crosses from one segment into the next is checked when both are read in a row.
 */
export class WalReader {
  readonly #lane: ReadLane
  readonly #page: Uint8Array = new Uint8Array(64 << 10)
  readonly #onRecord: RecordTaker | undefined
  #run: Run | undefined

  constructor(lane: ReadLane, onRecord?: RecordTaker) {
    this.#lane = lane
    this.#onRecord = onRecord
  }

  /** `expected`: the cluster it must be of, where that is known. Throws WAL_INVALID, FORMAT_*, CHECKSUM_MISMATCH, DECRYPT_FAILED. */
  async read({ key, file, extension }: WalObject, expected: bigint | null): Promise<void> {
    const before = this.#run
    this.#run = undefined
    const pages = openSegmentChecker(file)
    const records = new SegmentRecords(
      file,
      before?.next === file ? before : undefined,
      this.#page,
      this.#onRecord,
    )
    await readStored(this.#lane, key, extension, block => {
      pages.update(block)
      records.take(block)
    })
    const report = pages.end()
    assertSegment(report)
    const found = report.systemIdentifier!
    const wanted = expected ?? (before?.next === file ? before.systemIdentifier : found)
    if (found !== wanted) {
      throw new WalgError('WAL_INVALID', `segment ${file} is of the cluster ${found}, not of ${wanted}`)
    }
    const reader = records.end()
    const segmentBytes = report.segmentBytes!
    const next = nextSegmentName(file, segmentBytes)
    // Where nothing more is written a new reading begins: whether that is right only the next segment tells.
    this.#run = { file, reader, next, systemIdentifier: found }
  }
}

class SegmentRecords {
  readonly #file: string
  readonly #before: Run | undefined
  /** One page that comes in pieces. */
  readonly #held: Uint8Array
  #heldBytes = 0
  #pageBytes = 0
  #reader: RecordReader | undefined
  readonly #onRecord: RecordTaker | undefined
  #hasGap = false

  constructor(file: string, before: Run | undefined, held: Uint8Array, onRecord: RecordTaker | undefined) {
    this.#file = file
    this.#before = before
    this.#held = held
    this.#onRecord = onRecord
  }

  take(block: Uint8Array): void {
    let rest = block
    while (rest.length > 0) {
      const wantedBytes = this.#pageBytes === 0 ? LONG_HEADER_BYTES : this.#pageBytes
      if (this.#heldBytes === 0 && this.#pageBytes > 0 && rest.length >= wantedBytes) {
        this.#read(rest.subarray(0, wantedBytes))
        rest = rest.subarray(wantedBytes)
        continue
      }
      const piece = rest.subarray(0, wantedBytes - this.#heldBytes)
      this.#held.set(piece, this.#heldBytes)
      this.#heldBytes += piece.length
      rest = rest.subarray(piece.length)
      if (this.#heldBytes < wantedBytes) return
      if (this.#pageBytes === 0) {
        if (!this.#begin()) return
      } else {
        this.#heldBytes = 0
        this.#read(this.#held.subarray(0, wantedBytes))
      }
    }
  }

  /** Throws WAL_INVALID when PostgreSQL would find the end of WAL although more is there. */
  end(): RecordReader {
    const reader = this.#reader
    if (reader === undefined) throw this.#invalid('its first page is not readable')
    if (reader.stopReason !== undefined && (!reader.isAtUnwritten || this.#hasGap)) {
      throw this.#invalid(reader.stopReason)
    }
    return reader
  }

  #begin(): boolean {
    const header = decodeSegmentHeader(new DataView(this.#held.buffer), 0)
    if (header === undefined || header.walPageBytes > this.#held.length) return false
    this.#pageBytes = header.walPageBytes
    const { reader } = this.#before ?? {}
    if (reader?.isAtUnwritten === true) {
      throw new WalgError(
        'WAL_INVALID',
        `segment ${this.#before!.file} was never finished (${reader.stopReason}): recovery ends there, and does not come to ${this.#file}`,
        { facts: { name: this.#before!.file, later: this.#file } },
      )
    }
    const segment = parseSegmentName(this.#file, header.segmentBytes)
    this.#reader =
      reader ?? this.#open(header, segmentStartLsn(segment, header.segmentBytes), segment.timeline)
    return true
  }

  #open(header: WalSegmentHeader, firstLsn: Lsn, timeline: number): RecordReader {
    const onRecord = this.#onRecord
    if (onRecord === undefined) return new RecordReader(header, firstLsn, timeline)
    const major = majorByMagic(this.#held[0]! | (this.#held[1]! << 8)) ?? 0
    const reader: RecordReader = new RecordReader(header, firstLsn, timeline, {
      sink: (view, at, totalBytes) => onRecord({ view, at, totalBytes }, reader.lastStartLsn, major),
    })
    return reader
  }

  #read(page: Uint8Array): void {
    const reader = this.#reader!
    if (reader.stopReason === undefined) reader.readPage(page)
    else if (reader.isAtUnwritten && !this.#hasGap) this.#hasGap = page.some(byte => byte !== 0)
  }

  #invalid(what: string): WalgError {
    return new WalgError('WAL_INVALID', `segment ${this.#file} is damaged: ${what}`, {
      facts: { name: this.#file },
    })
  }
}
