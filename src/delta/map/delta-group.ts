import { concatBytes } from '../../kit/bytes.ts'
import { WalgError } from '../../kit/errors.ts'
import { type Lsn, toLsn } from '../../postgres/lsn.ts'
import { readRecordChanges } from '../../postgres/wal/record-content.ts'
import { backLinkOfWholeRecord } from '../../postgres/wal/whole-record.ts'
import {
  formatSegmentName,
  nextSegmentName,
  parseSegmentName,
  segmentStartLsn,
} from '../../postgres/wal-segment.ts'
import { ChangeMap } from './change-map.ts'
import { DELTA_GROUP_SEGMENTS, type DeltaObject, type DeltaRange } from './delta-object.ts'
import type { PendingRecord, SegmentChanges } from './segment-changes.ts'

/** The names that one `_delta` object needs: the segment before its group, then those of the group. */
export function deltaGroupOf(
  name: string,
  segmentBytes: number,
): { before: string; names: readonly string[] } {
  const { timeline, number } = parseSegmentName(name, segmentBytes)
  const first = number - (number % BigInt(DELTA_GROUP_SEGMENTS))
  const nameOf = (at: bigint): string => formatSegmentName({ timeline, number: at }, segmentBytes)
  return {
    before: first === 0n ? '' : nameOf(first - 1n),
    names: Array.from({ length: DELTA_GROUP_SEGMENTS }, (_, index) => nameOf(first + BigInt(index))),
  }
}

/**
 * Joins the segments of a group, the one before it first, to the content of its `_delta` object. Records that cross segments are put
 * together; CRC-32C and back links must hold over the seams. Throws WAL_INVALID when they do not.
 */
export function joinGroup(
  before: SegmentChanges,
  segments: readonly SegmentChanges[],
): DeltaObject & { readonly range: DeltaRange } {
  const seam = new Seam(before)
  for (const segment of segments) seam.add(segment)
  const first = segments[0]!
  const place = parseSegmentName(first.name, first.segmentBytes)
  const end = { ...place, number: place.number + BigInt(segments.length) }
  return {
    map: seam.map,
    pendingBytes: seam.pending?.bytes ?? new Uint8Array(0),
    range: {
      systemIdentifier: first.systemIdentifier,
      timeline: place.timeline,
      beginLsn: segmentStartLsn(place, first.segmentBytes),
      endLsn: segmentStartLsn(end, first.segmentBytes),
    },
  }
}

/** Where one segment ends and the next begins. */
class Seam {
  readonly map: ChangeMap = new ChangeMap()
  pending: PendingRecord | undefined
  #last: SegmentChanges
  /** Where the last whole record begins; undefined after a cut one. */
  #lastStartLsn: Lsn | undefined

  constructor(before: SegmentChanges) {
    this.#last = before
    // a record that also fills the segment before has its beginning somewhere else: such a group is not joined
    if (before.opening === 'open')
      throw mismatch(before.name, 'its record began before the segments that are known')
    this.pending = before.pending
    this.#lastStartLsn = before.lastStartLsn
  }

  add(segment: SegmentChanges): void {
    const { name, systemIdentifier } = segment
    const expected = nextSegmentName(this.#last.name, this.#last.segmentBytes)
    if (name !== expected || systemIdentifier !== this.#last.systemIdentifier) {
      throw mismatch(name, `it does not follow ${this.#last.name} of the same cluster`)
    }
    this.#last = segment
    this.#open(segment)
    if (segment.firstBackLink !== undefined && this.#lastStartLsn !== undefined) {
      if (segment.firstBackLink !== this.#lastStartLsn) {
        throw mismatch(name, 'its first record does not follow the last one before it')
      }
    }
    this.map.merge(segment.map)
    this.#lastStartLsn = segment.lastStartLsn ?? this.#lastStartLsn
    this.pending = segment.pending ?? this.pending
  }

  /** What the segment has of the record that is pending. */
  #open({ name, opening, openingBytes, major }: SegmentChanges): void {
    const { pending } = this
    if (opening === 'void') {
      this.pending = undefined
      this.#lastStartLsn = undefined
      return
    }
    if ((opening === 'none') !== (pending === undefined))
      throw mismatch(name, 'a record ends in it that did not begin')
    if (pending === undefined) return
    const bytes = concatBytes([pending.bytes, openingBytes])
    this.pending = { startLsn: pending.startLsn, bytes }
    if (opening === 'open') return
    const backLink = backLinkOfWholeRecord(bytes)
    const isNext = this.#lastStartLsn === undefined || backLink === this.#lastStartLsn
    if (backLink === undefined || !isNext) throw mismatch(name, 'the record that ends in it is damaged')
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    const reason = readRecordChanges(view, 0, bytes.length, major, this.map)
    if (reason !== undefined) throw mismatch(name, `the record that ends in it is not understood: ${reason}`)
    this.pending = undefined
    this.#lastStartLsn = toLsn(pending.startLsn)
  }
}

function mismatch(name: string, reason: string): WalgError {
  return new WalgError('WAL_INVALID', `WAL segment ${name} cannot be joined: ${reason}`, { facts: { name } })
}
