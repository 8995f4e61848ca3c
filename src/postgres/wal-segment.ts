import { WalgError } from '../kit/errors.ts'
import type { Lsn } from './lsn.ts'

declare const timelineBrand: unique symbol
/** A timeline, 1 … 2^32-1. */
export type TimelineId = number & { readonly [timelineBrand]: true }

export const WAL_SEGMENT_BYTES_DEFAULT: number = 16 * 1024 * 1024

const SEGMENT_BYTES_MIN = 1 << 20
const SEGMENT_BYTES_MAX = 1 << 30

export interface WalSegment {
  readonly timeline: TimelineId
  /** LSN divided by the segment size. */
  readonly number: bigint
}

export function toTimelineId(value: number): TimelineId {
  if (!Number.isInteger(value) || value < 0 || value > 0xffffffff) {
    throw new WalgError('FORMAT_INVALID', `not a timeline: ${value}`)
  }
  return value as TimelineId
}

const SEGMENT_NAME = /^[0-9A-F]{24}$/
const HISTORY_NAME = /^[0-9A-F]{8}\.history$/

/** True for the sizes that initdb offers: powers of two from 1 MiB to 1 GiB. */
export function isSegmentSize(segmentBytes: number): boolean {
  const isInRange = segmentBytes >= SEGMENT_BYTES_MIN && segmentBytes <= SEGMENT_BYTES_MAX
  return isInRange && (segmentBytes & (segmentBytes - 1)) === 0
}

/** True for exactly 24 upper-case hex digits. */
export function isSegmentName(name: string): boolean {
  return SEGMENT_NAME.test(name)
}

/** `TTTTTTTT.history`. */
export function formatHistoryName(timeline: number): string {
  return `${timeline.toString(16).toUpperCase().padStart(8, '0')}.history`
}

/** True for `TTTTTTTT.history`. */
export function isHistoryName(name: string): boolean {
  return HISTORY_NAME.test(name)
}

/**
 * Parses a WAL file name (storage-format 4.1). Throws FORMAT_INVALID unless it is 24 hex digits whose last
 * part fits the segment size.
 */
export function parseSegmentName(name: string, segmentBytes: number): WalSegment {
  if (!isSegmentName(name)) throw new WalgError('FORMAT_INVALID', `not a WAL segment name: "${name}"`)
  const perXlogId = segmentsPerXlogId(segmentBytes)
  const high = BigInt(`0x${name.slice(8, 16)}`)
  const low = BigInt(`0x${name.slice(16)}`)
  if (low >= perXlogId) {
    throw new WalgError(
      'FORMAT_INVALID',
      `WAL segment name "${name}" does not fit segments of ${segmentBytes} bytes`,
      {
        hint: 'set WALG_PG_WAL_SIZE to the segment size of the cluster, in MiB',
      },
    )
  }
  return { timeline: toTimelineId(Number.parseInt(name.slice(0, 8), 16)), number: high * perXlogId + low }
}

export function formatSegmentName(segment: WalSegment, segmentBytes: number): string {
  const perXlogId = segmentsPerXlogId(segmentBytes)
  return hex8(BigInt(segment.timeline)) + hex8(segment.number / perXlogId) + hex8(segment.number % perXlogId)
}

/** The segment that contains `lsn`. For an end position use `lsn - 1n`. */
export function segmentOfLsn(timeline: TimelineId, lsn: Lsn, segmentBytes: number): WalSegment {
  return { timeline, number: lsn / BigInt(segmentBytes) }
}

/** First byte of the segment. */
export function segmentStartLsn(segment: WalSegment, segmentBytes: number): Lsn {
  return (segment.number * BigInt(segmentBytes)) as Lsn
}

/** First byte of the segment `name` (24 upper-case hex digits); undefined when the name does not fit segments of that size. */
export function firstLsnOf(name: string, segmentBytes: number): Lsn | undefined {
  const low = BigInt(`0x${name.slice(16)}`)
  if (low >= segmentsPerXlogId(segmentBytes)) return undefined
  return ((BigInt(`0x${name.slice(8, 16)}`) << 32n) + low * BigInt(segmentBytes)) as Lsn
}

/** The largest segment size up to `segmentBytes` that `name` fits: names up to a rollover are the same for all of them. */
export function fittingSegmentBytes(name: string, segmentBytes: number): number {
  const low = BigInt(`0x${name.slice(16)}`)
  let fitting = segmentBytes
  while (fitting > SEGMENT_BYTES_MIN && low >= segmentsPerXlogId(fitting)) fitting /= 2
  return fitting
}

export function nextSegment(segment: WalSegment): WalSegment {
  return { timeline: segment.timeline, number: segment.number + 1n }
}

/** The name of the segment behind one of the same timeline. Throws FORMAT_INVALID as `parseSegmentName` does. */
export function nextSegmentName(name: string, segmentBytes: number): string {
  return formatSegmentName(nextSegment(parseSegmentName(name, segmentBytes)), segmentBytes)
}

function segmentsPerXlogId(segmentBytes: number): bigint {
  return 0x100000000n / BigInt(segmentBytes)
}

function hex8(value: bigint): string {
  return value.toString(16).toUpperCase().padStart(8, '0')
}
