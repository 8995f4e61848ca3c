import { WalgError } from '../../kit/errors.ts'
import { type Lsn, toLsn } from '../../postgres/lsn.ts'
import { decodeSegmentHeader, LONG_HEADER_BYTES, type WalSegmentHeader } from '../../postgres/wal/wal-page.ts'
import { parseSegmentName, segmentStartLsn } from '../../postgres/wal-segment.ts'
import { BinaryReader, BinaryWriter } from './binary.ts'
import type { ChangeMap } from './change-map.ts'
import { readMap, writeMap } from './map-encoding.ts'
import { WalChangeReader } from './wal-changes.ts'

/** A record that reaches over the end of a segment, as far as it lies in it. */
export interface PendingRecord {
  readonly startLsn: Lsn
  readonly bytes: Uint8Array
}

/** What one WAL segment says by itself; with those of its neighbours it becomes a part of a map. */
export interface SegmentChanges {
  readonly name: string
  readonly systemIdentifier: bigint
  readonly segmentBytes: number
  readonly major: number
  /** The record that began before the segment: see `RecordReader.opening`. */
  readonly opening: 'none' | 'ended' | 'open' | 'void'
  readonly openingBytes: Uint8Array
  /** Where the record before the first one begins. */
  readonly firstBackLink: bigint | undefined
  /** Where the last whole record begins. */
  readonly lastStartLsn: Lsn | undefined
  readonly pending: PendingRecord | undefined
  /** Changes by the records that begin and end in the segment. */
  readonly map: ChangeMap
}

/** Reads a segment that comes in pieces. */
export class SegmentScan {
  readonly #name: string
  readonly #head = new Uint8Array(LONG_HEADER_BYTES)
  #page: Uint8Array = this.#head
  #heldBytes = 0
  #takenBytes = 0
  #segment: WalSegmentHeader | undefined
  #reader: WalChangeReader | undefined

  constructor(name: string) {
    this.#name = name
  }

  /** Takes the next bytes, in any pieces. Throws WAL_INVALID when they do not begin like a segment. */
  update(bytes: Uint8Array): void {
    this.#takenBytes += bytes.length
    for (let at = 0; at < bytes.length; ) {
      const pageBytes = this.#page.length
      if (this.#heldBytes === 0 && this.#reader !== undefined && bytes.length - at >= pageBytes) {
        this.#reader.readPage(bytes.subarray(at, at + pageBytes))
        at += pageBytes
        continue
      }
      const count = Math.min(pageBytes - this.#heldBytes, bytes.length - at)
      this.#page.set(bytes.subarray(at, at + count), this.#heldBytes)
      this.#heldBytes += count
      at += count
      if (this.#heldBytes < pageBytes) return
      if (this.#reader === undefined) this.#begin()
      else {
        this.#heldBytes = 0
        this.#reader.readPage(this.#page)
      }
    }
  }

  /** Throws WAL_INVALID when the segment is not whole or a record in it is not understood. */
  end(): SegmentChanges {
    const reader = this.#reader
    if (reader === undefined || this.#takenBytes !== this.#segment?.segmentBytes)
      throw this.#invalid('it is not whole')
    if (reader.trouble !== undefined) throw this.#invalid(reader.trouble)
    const { records } = reader
    const pendingStart = records.pendingStartLsn
    return {
      name: this.#name,
      systemIdentifier: this.#segment.systemIdentifier,
      segmentBytes: this.#segment.segmentBytes,
      major: reader.major ?? 0,
      opening: records.opening,
      openingBytes: records.openingBytes,
      firstBackLink: records.firstBackLink,
      lastStartLsn: records.lastStartLsn,
      pending: pendingStart && { startLsn: pendingStart, bytes: records.pendingBytes },
      map: reader.map,
    }
  }

  /** The first header says how large a page is; what is held of it becomes the beginning of the first one. */
  #begin(): void {
    const segment = decodeSegmentHeader(new DataView(this.#head.buffer), 0)
    if (segment === undefined) throw this.#invalid('it does not begin with a segment header')
    const place = parseSegmentName(this.#name, segment.segmentBytes)
    this.#segment = segment
    this.#reader = new WalChangeReader({
      segment,
      firstLsn: segmentStartLsn(place, segment.segmentBytes),
      timeline: place.timeline,
      keepsWhole: true,
    })
    this.#page = new Uint8Array(segment.walPageBytes)
    this.#page.set(this.#head)
  }

  #invalid(reason: string): WalgError {
    return new WalgError('WAL_INVALID', `the changes of WAL segment ${this.#name} are not known: ${reason}`, {
      facts: { name: this.#name },
    })
  }
}

const MAGIC = Buffer.from('walgseg1')
const OPENINGS = ['none', 'ended', 'open', 'void'] as const
const UNKNOWN = (1n << 64n) - 1n

/** For a file of our own; not part of any exchange. */
export function encodeSegmentChanges(changes: SegmentChanges): Uint8Array {
  const writer = new BinaryWriter()
  writer.raw(MAGIC)
  writer.counted(Buffer.from(changes.name))
  writer.u64(changes.systemIdentifier)
  writer.u32(changes.segmentBytes, changes.major)
  writer.u8(OPENINGS.indexOf(changes.opening))
  writer.counted(changes.openingBytes)
  writer.u64(changes.firstBackLink ?? UNKNOWN)
  writer.u64(changes.lastStartLsn ?? UNKNOWN)
  writer.u64(changes.pending?.startLsn ?? UNKNOWN)
  writer.counted(changes.pending?.bytes ?? new Uint8Array(0))
  writeMap(writer, changes.map)
  return writer.endWithCrc()
}

/** Throws FORMAT_INVALID, FORMAT_TRUNCATED, CHECKSUM_MISMATCH. */
export function decodeSegmentChanges(bytes: Uint8Array, file: string): SegmentChanges {
  const reader = new BinaryReader(bytes, `"${file}"`)
  if (Buffer.compare(reader.raw(MAGIC.length), MAGIC) !== 0) {
    throw new WalgError('FORMAT_INVALID', `"${file}" does not hold the changes of a segment`)
  }
  const known = (value: bigint): Lsn | undefined => (value === UNKNOWN ? undefined : toLsn(value))
  const changes = {
    name: Buffer.from(reader.counted()).toString(),
    systemIdentifier: reader.u64(),
    segmentBytes: reader.u32(),
    major: reader.u32(),
    opening: OPENINGS[reader.u8()] ?? 'open',
    openingBytes: reader.counted(),
    firstBackLink: known(reader.u64()),
    lastStartLsn: known(reader.u64()),
    pendingStartLsn: known(reader.u64()),
    pendingBytes: reader.counted(),
    map: readMap(reader),
  }
  reader.endWithCrc()
  const { pendingStartLsn, pendingBytes, ...rest } = changes
  return { ...rest, pending: pendingStartLsn && { startLsn: pendingStartLsn, bytes: pendingBytes } }
}
