import { isSegmentSize } from '../wal-segment.ts'
/** Layout of WAL page headers, the same since PostgreSQL 9.3; integers are little-endian. */
export const SHORT_HEADER_BYTES = 24
export const LONG_HEADER_BYTES = 40

export const FLAG_CONTRECORD = 0x1
export const FLAG_LONG_HEADER = 0x2
export const FLAG_OVERWRITE_CONTRECORD = 0x8

/** Page magic by major. */
const MAJOR_BY_MAGIC: ReadonlyMap<number, number> = new Map([
  [0xd097, 10],
  [0xd098, 11],
  [0xd101, 12],
  [0xd106, 13],
  [0xd10d, 14],
  [0xd110, 15],
  [0xd113, 16],
  [0xd116, 17],
  [0xd118, 18],
])
/** Magics only ever grow; beyond this nothing PostgreSQL writes today or soon. */
const MAGIC_MIN = 0xd071
const MAGIC_MAX = 0xd1ff

const PAGE_BYTES_MIN = 1 << 10
const PAGE_BYTES_MAX = 1 << 16

export interface WalPageHeader {
  readonly magic: number
  readonly flags: number
  readonly timeline: number
  readonly pageLsn: bigint
  /** Bytes of the record that goes on here from the page before. */
  readonly remainingBytes: number
}

/** The part that only the first page of a segment has. */
export interface WalSegmentHeader {
  readonly systemIdentifier: bigint
  readonly segmentBytes: number
  readonly walPageBytes: number
}

/** Decodes the header that every page has, from `at` on. */
export function decodePageHeader(view: DataView, at: number): WalPageHeader {
  return {
    magic: view.getUint16(at, true),
    flags: view.getUint16(at + 2, true),
    timeline: view.getUint32(at + 4, true),
    pageLsn: view.getBigUint64(at + 8, true),
    remainingBytes: view.getUint32(at + 16, true),
  }
}

/** Decodes the rest of a long header; undefined unless its sizes are ones that PostgreSQL can have. */
export function decodeSegmentHeader(view: DataView, at: number): WalSegmentHeader | undefined {
  const segmentBytes = view.getUint32(at + 32, true)
  const walPageBytes = view.getUint32(at + 36, true)
  if (!isSegmentSize(segmentBytes) || !isPageSize(walPageBytes)) return undefined
  return { systemIdentifier: view.getBigUint64(at + 24, true), segmentBytes, walPageBytes }
}

/** True for a magic that PostgreSQL writes, or may write one day. */
export function isPlausibleMagic(magic: number): boolean {
  return magic >= MAGIC_MIN && magic <= MAGIC_MAX
}

/** The major that writes this magic; undefined for one that is not known. */
export function majorByMagic(magic: number): number | undefined {
  return MAJOR_BY_MAGIC.get(magic)
}

/** True when a header's 24 bytes are all zero: the page was never written, or follows a segment switch. */
export function isZeroHeader(view: DataView, at: number): boolean {
  return view.getBigUint64(at) === 0n && view.getBigUint64(at + 8) === 0n && view.getBigUint64(at + 16) === 0n
}

function isPageSize(bytes: number): boolean {
  return bytes >= PAGE_BYTES_MIN && bytes <= PAGE_BYTES_MAX && (bytes & (bytes - 1)) === 0
}
