import { parseSegmentName, segmentStartLsn } from '../../src/postgres/wal-segment.ts'

export interface WalBytesOptions {
  /** Default 1 MiB. */
  readonly segmentBytes?: number
  readonly systemIdentifier?: bigint
  /** Two segments with the same name and another salt have other contents. */
  readonly salt?: number
}

export const MIB: number = 1024 * 1024
export const SYSTEM_IDENTIFIER = 7_710_953_983_117_151_437n
const WAL_PAGE_BYTES = 8192
const MAGIC_15 = 0xd110

/**
 * Bytes with the page headers of a real segment of that name (PostgreSQL 15); the rest is noise, as of one record
 * that began before the segment and goes on behind it.
 */
export function walBytes(name: string, options: WalBytesOptions = {}): Uint8Array {
  const segmentBytes = options.segmentBytes ?? MIB
  const bytes = new Uint8Array(segmentBytes)
  const view = new DataView(bytes.buffer)
  const segment = parseSegmentName(name, segmentBytes)
  const start = segmentStartLsn(segment, segmentBytes)
  let state = Number(segment.number & 0xffffn) * 31 + (options.salt ?? 0) + 1
  for (let at = 0; at < segmentBytes; at += 4) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0
    view.setUint32(at, (at & 64) === 0 ? state : 0, true)
  }
  let remainingBytes = 2 * segmentBytes
  for (let page = 0; page < segmentBytes; page += WAL_PAGE_BYTES) {
    view.setUint16(page, MAGIC_15, true)
    view.setUint16(page + 2, page === 0 ? 3 : 1, true)
    view.setUint32(page + 4, segment.timeline, true)
    view.setBigUint64(page + 8, start + BigInt(page), true)
    view.setUint32(page + 16, remainingBytes, true)
    view.setUint32(page + 20, 0, true)
    remainingBytes -= WAL_PAGE_BYTES - (page === 0 ? 40 : 24)
  }
  view.setBigUint64(24, options.systemIdentifier ?? SYSTEM_IDENTIFIER, true)
  view.setUint32(32, segmentBytes, true)
  view.setUint32(36, WAL_PAGE_BYTES, true)
  return bytes
}

/** `000000010000000000000001` and so on, in segments of 1 MiB. */
export function segmentName(number: number, timeline = 1): string {
  const hex = (value: number): string => value.toString(16).toUpperCase().padStart(8, '0')
  return hex(timeline) + hex(Math.floor(number / 4096)) + hex(number % 4096)
}
