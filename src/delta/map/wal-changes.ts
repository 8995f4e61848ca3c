import type { Crc32cEngine } from '../../postgres/crc32c-engine.ts'
import type { Lsn } from '../../postgres/lsn.ts'
import { readRecordChanges, WAL_MAJORS_READ } from '../../postgres/wal/record-content.ts'
import { RecordReader } from '../../postgres/wal/record-reader.ts'
import { majorByMagic, type WalSegmentHeader } from '../../postgres/wal/wal-page.ts'
import { ChangeMap } from './change-map.ts'

export interface WalChangeOptions {
  readonly segment: WalSegmentHeader
  /** Address of the first page, the first of a segment. */
  readonly firstLsn: Lsn
  readonly timeline: number
  /** See RecordReader. */
  readonly keepsWhole?: boolean
  readonly engine?: Crc32cEngine
  readonly pendingBytes?: Uint8Array
}

/** Reads consecutive WAL pages and collects what their records change. */
export class WalChangeReader {
  readonly map: ChangeMap = new ChangeMap()
  readonly records: RecordReader
  #major: number | undefined
  #magic = 0
  #malformed: string | undefined

  constructor({ segment, firstLsn, timeline, ...options }: WalChangeOptions) {
    this.records = new RecordReader(segment, firstLsn, timeline, {
      ...options,
      sink: (view, at, totalBytes) => this.#read(view, at, totalBytes),
    })
  }

  /** PostgreSQL major that wrote the pages; undefined before the first one. */
  get major(): number | undefined {
    return this.#major
  }

  /** Why reading ended, or why what was read says nothing; undefined while all is well. */
  get trouble(): string | undefined {
    return this.#malformed ?? this.records.stopReason
  }

  /** Takes the next page. Returns false when reading has ended. */
  readPage(page: Uint8Array): boolean {
    if (this.#malformed !== undefined) return false
    const magic = page[0]! | (page[1]! << 8)
    if (magic !== this.#magic && !this.#takeMagic(magic)) return false
    return this.records.readPage(page) && this.#malformed === undefined
  }

  /** Pages of zeros have none; the record reader has to say about those. */
  #takeMagic(magic: number): boolean {
    if (magic === 0) return true
    const major = majorByMagic(magic)
    if (major === undefined || major < WAL_MAJORS_READ.min || major > WAL_MAJORS_READ.max) {
      this.#malformed = `pages with magic ${magic.toString(16)} are not understood`
      return false
    }
    this.#magic = magic
    this.#major = major
    return true
  }

  #read(view: DataView, at: number, totalBytes: number): void {
    const reason = readRecordChanges(view, at, totalBytes, this.#major ?? 0, this.map)
    if (reason !== undefined) this.#malformed ??= `a record is not understood: ${reason}`
  }
}
