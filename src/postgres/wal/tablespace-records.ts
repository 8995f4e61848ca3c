import { closeSync, openSync, readSync, writeSync } from 'node:fs'
import { fromSystemError, WalgError } from '../../kit/errors.ts'
import { CRC32C_BEGIN, endCrc32c, updateCrc32c } from '../crc32c.ts'
import { formatLsn, type Lsn } from '../lsn.ts'
import { parseSegmentName, segmentStartLsn } from '../wal-segment.ts'
import { RECORD_HEADER_BYTES } from './partial-record.ts'
import { RecordReader } from './record-reader.ts'
import { mainDataAt } from './recovery-records.ts'
import {
  decodeSegmentHeader,
  LONG_HEADER_BYTES,
  SHORT_HEADER_BYTES,
  type WalSegmentHeader,
} from './wal-page.ts'

/** A CREATE TABLESPACE in WAL: `xl_tblspc_create_rec` of commands/tablespace.h, PostgreSQL 13 to 18. */
export interface TablespaceCreation {
  readonly startLsn: Lsn
  readonly totalBytes: number
  readonly oid: number
  /** Absolute; empty for one that lies in `pg_tblspc` itself. */
  readonly location: string
  /** Of the location, from the record's first byte on. */
  readonly locationAt: number
}

/** What one segment says of tablespaces. */
export interface SegmentTablespaces {
  readonly header: WalSegmentHeader
  readonly creations: readonly TablespaceCreation[]
}

const RMGR_TABLESPACE = 5
const TBLSPC_CREATE = 0x00
const INFO_AT = 16
const RMGR_AT = 17
const CRC_AT = 20
const OID_BYTES = 4
const CHUNK_BYTES = 1 << 18
/** Info, resource manager and two bytes of padding of its header. */
const CREATION_MARK = Buffer.of(TBLSPC_CREATE, RMGR_TABLESPACE, 0, 0)
/** What can follow the header of a record without blocks: short and long main data, origin, top-level transaction. */
const DATA_MARKS: ReadonlySet<number> = new Set([255, 254, 253, 252])

/**
 * The tablespaces that the records of a segment create, which lies in the file `path`. What is no segment has none. Throws WAL_INVALID
 * for one whose record goes on in the next segment (it cannot be judged from here), FILE_ACCESS.
 */
export function readTablespaceCreations(path: string, name: string): SegmentTablespaces | undefined {
  return withFile(path, 'r', descriptor => {
    const opening = new Uint8Array(LONG_HEADER_BYTES)
    if (readSync(descriptor, opening, 0, opening.length, 0) < opening.length) return undefined
    const header = decodeSegmentHeader(new DataView(opening.buffer), 0)
    if (header === undefined) return undefined
    if (!mayCreate(descriptor, header)) return { header, creations: [] }
    const segment = parseSegmentName(name, header.segmentBytes)
    const creations: TablespaceCreation[] = []
    const reader: RecordReader = new RecordReader(
      header,
      segmentStartLsn(segment, header.segmentBytes),
      segment.timeline,
      {
        keepsWhole: true,
        sink(view, at, totalBytes) {
          const startLsn = reader.lastStartLsn
          if (startLsn === undefined || !isCreation(view, at)) return
          const creation = decodeCreation(view, at, totalBytes, startLsn)
          if (creation !== undefined) creations.push(creation)
        },
      },
    )
    readPages(descriptor, header, reader)
    const pending = reader.pendingBytes
    if (pending.length > RMGR_AT && isCreation(new DataView(pending.buffer, pending.byteOffset), 0)) {
      throw new WalgError(
        'WAL_INVALID',
        `a tablespace is created by a record that leaves WAL segment ${name}: where it lies cannot be told`,
        { facts: { name }, hint: 'let the server recover on a host where no other one has files' },
      )
    }
    return { header, creations }
  })
}

/**
 * Rewrites such a record in the file: the tablespace will lie in `pg_tblspc` of the server that replays it (13.8, 14.5, 15 and
 * later do that for an empty location) and nowhere else. For a server that is thrown away.
 */
export function relocateCreation(path: string, header: WalSegmentHeader, creation: TablespaceCreation): void {
  const ranges = rangesOf(header, creation)
  withFile(path, 'r+', descriptor => {
    const record = new Uint8Array(creation.totalBytes)
    for (const { recordAt, fileAt, bytes } of ranges) readSync(descriptor, record, recordAt, bytes, fileAt)
    record.fill(0, creation.locationAt)
    const crc = updateCrc32c(CRC32C_BEGIN, record, RECORD_HEADER_BYTES, record.length)
    const closed = endCrc32c(updateCrc32c(crc, record, 0, CRC_AT))
    new DataView(record.buffer).setUint32(CRC_AT, closed, true)
    for (const { recordAt, fileAt, bytes } of ranges) writeSync(descriptor, record, recordAt, bytes, fileAt)
  })
}

/**
 * Whether a record that creates a tablespace can be in a segment: false is sure, and found a hundred times faster than by reading
 * records. Info, resource manager and padding of a record lie together at a multiple of 8 in the file, whatever pages it crosses.
 */
function mayCreate(descriptor: number, { segmentBytes, walPageBytes }: WalSegmentHeader): boolean {
  const chunk = Buffer.alloc(Math.max(CHUNK_BYTES, walPageBytes))
  for (let position = 0; position < segmentBytes; position += chunk.length) {
    const count = readSync(descriptor, chunk, 0, chunk.length, position)
    const bytes = chunk.subarray(0, count)
    for (let at = bytes.indexOf(CREATION_MARK); at >= 0; at = bytes.indexOf(CREATION_MARK, at + 1)) {
      if (at % 8 !== 0) continue
      const next = at + 8
      // what follows the checksum may be on the next page
      if (next % walPageBytes === 0 || DATA_MARKS.has(bytes[next]!)) return true
    }
    if (count < chunk.length) return false
  }
  return false
}

function isCreation(view: DataView, at: number): boolean {
  return (
    view.getUint8(at + RMGR_AT) === RMGR_TABLESPACE && (view.getUint8(at + INFO_AT) & 0xf0) === TBLSPC_CREATE
  )
}

function decodeCreation(
  view: DataView,
  at: number,
  totalBytes: number,
  startLsn: Lsn,
): TablespaceCreation | undefined {
  const record = new DataView(view.buffer, view.byteOffset + at, totalBytes)
  const mainAt = mainDataAt(record)
  if (mainAt === undefined || mainAt + OID_BYTES >= totalBytes) return undefined
  const locationAt = mainAt + OID_BYTES
  const text = new Uint8Array(record.buffer, record.byteOffset + locationAt, totalBytes - locationAt)
  const end = text.indexOf(0)
  return {
    startLsn,
    totalBytes,
    oid: record.getUint32(mainAt, true),
    location: new TextDecoder().decode(end < 0 ? text : text.subarray(0, end)),
    locationAt,
  }
}

interface Range {
  readonly recordAt: number
  readonly fileAt: number
  readonly bytes: number
}

/** Where the bytes of a record lie in its segment: pages have headers in between. */
function rangesOf(
  { segmentBytes, walPageBytes }: WalSegmentHeader,
  { startLsn, totalBytes }: TablespaceCreation,
): Range[] {
  const ranges: Range[] = []
  let fileAt = Number(startLsn % BigInt(segmentBytes))
  for (let recordAt = 0; recordAt < totalBytes; ) {
    if (fileAt >= segmentBytes) {
      throw new WalgError('WAL_INVALID', `the record at ${formatLsn(startLsn)} leaves its segment`)
    }
    if (fileAt % walPageBytes === 0) fileAt += fileAt === 0 ? LONG_HEADER_BYTES : SHORT_HEADER_BYTES
    const bytes = Math.min(totalBytes - recordAt, walPageBytes - (fileAt % walPageBytes))
    ranges.push({ recordAt, fileAt, bytes })
    recordAt += bytes
    fileAt += bytes
  }
  return ranges
}

function readPages(
  descriptor: number,
  { segmentBytes, walPageBytes }: WalSegmentHeader,
  reader: RecordReader,
): void {
  const chunk = new Uint8Array(Math.max(CHUNK_BYTES, walPageBytes))
  for (let position = 0; position < segmentBytes; position += chunk.length) {
    const count = readSync(descriptor, chunk, 0, chunk.length, position)
    for (let at = 0; at + walPageBytes <= count; at += walPageBytes) {
      if (!reader.readPage(chunk.subarray(at, at + walPageBytes))) return
    }
    if (count < chunk.length) return
  }
}

function withFile<T>(path: string, flags: 'r' | 'r+', action: (descriptor: number) => T): T {
  let descriptor: number | undefined
  try {
    descriptor = openSync(path, flags)
    return action(descriptor)
  } catch (error) {
    throw error instanceof WalgError ? error : fromSystemError(error, flags === 'r' ? 'read' : 'write', path)
  } finally {
    if (descriptor !== undefined) closeSync(descriptor)
  }
}
