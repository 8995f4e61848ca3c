import type { Codec } from '../../codec/codec.ts'
import { WalgError } from '../../kit/errors.ts'
import { formatLsn, type Lsn, toLsn } from '../../postgres/lsn.ts'
import type { TimelineSpan } from '../../postgres/timeline-path.ts'
import { RecordReader, type RecordSink } from '../../postgres/wal/record-reader.ts'
import {
  decodeRecoveryPoint,
  isRecoveryPoint,
  type RecoveryPoint,
} from '../../postgres/wal/recovery-records.ts'
import {
  decodePageHeader,
  decodeSegmentHeader,
  LONG_HEADER_BYTES,
  majorByMagic,
  type WalSegmentHeader,
} from '../../postgres/wal/wal-page.ts'
import type { Abortable, Storage } from '../../storage/storage.ts'
import { openFound } from '../sealed.ts'
import type { ArchivedSegment } from './archived-wal.ts'

export interface PointsRequest extends Abortable {
  /** Consecutive, as `ArchivedWal.chain` gives them. */
  readonly segments: readonly ArchivedSegment[]
  readonly spans: readonly TimelineSpan[]
  readonly segmentBytes: number
  /** Segments of another cluster are refused; null: not known. */
  readonly systemIdentifier: bigint | null
  /** Called for each point in order; true ends the reading. */
  readonly onPoint?: (point: RecoveryPoint, segment: ArchivedSegment) => boolean
  /** The same for every record, by where it begins. */
  readonly onRecord?: (startLsn: Lsn) => boolean
}

export interface PointsEnd {
  /** End of the last record that proved whole. */
  readonly endLsn: Lsn | undefined
  readonly segmentsRead: number
  /** False: everything was read without being told to stop. */
  readonly isStopped: boolean
}

/**
 * Reads the records of archived segments, as many as it is let, and shows the points at which recovery can stop.
 * Throws WAL_INVALID where the WAL is damaged before the last segment, and what reading an object throws.
 */
export async function readRecoveryPoints(
  storage: Storage,
  codec: Codec,
  request: PointsRequest,
): Promise<PointsEnd> {
  const scan = new PointScan(request)
  let segmentsRead = 0
  for (const segment of request.segments) {
    segmentsRead++
    const isLast = segment === request.segments.at(-1)
    const stream = await openFound(storage, codec, segment, request)
    if (await scan.readSegment(segment, stream, isLast)) break
  }
  return { endLsn: scan.endLsn, segmentsRead, isStopped: scan.isStopped }
}

/** What the first page of an archived segment says of itself, its address too. Throws WAL_INVALID. */
export async function readSegmentHeader(
  storage: Storage,
  codec: Codec,
  segment: Pick<ArchivedSegment, 'name' | 'key' | 'extension'>,
  options: Abortable = {},
): Promise<WalSegmentHeader & { readonly pageLsn: bigint }> {
  const bytes = new Uint8Array(LONG_HEADER_BYTES)
  let held = 0
  for await (const chunk of await openFound(storage, codec, segment, options)) {
    const count = Math.min(chunk.length, bytes.length - held)
    bytes.set(chunk.subarray(0, count), held)
    held += count
    if (held === bytes.length) break
  }
  const view = new DataView(bytes.buffer)
  const header = held < bytes.length ? undefined : decodeSegmentHeader(view, 0)
  if (header === undefined) throw damaged(segment.name, 'it does not begin with a segment header')
  return { ...header, pageLsn: decodePageHeader(view, 0).pageLsn }
}

class PointScan {
  readonly #request: PointsRequest
  #reader: RecordReader | undefined
  #page = new Uint8Array(LONG_HEADER_BYTES)
  #held = 0
  #segment: ArchivedSegment | undefined
  /** Where the records of the segment's timeline stop counting. */
  #limitLsn: Lsn | null = null
  isStopped = false

  constructor(request: PointsRequest) {
    this.#request = request
  }

  get endLsn(): Lsn | undefined {
    return this.#reader?.endLsn
  }

  /** Returns true when nothing more is to be read. */
  async readSegment(
    segment: ArchivedSegment,
    stream: AsyncIterable<Uint8Array>,
    isLast: boolean,
  ): Promise<boolean> {
    this.#segment = segment
    this.#limitLsn = this.#request.spans.find(({ timeline }) => timeline === segment.timeline)?.endLsn ?? null
    this.#held = 0
    for await (const chunk of stream) {
      this.#feed(chunk)
      if (this.isStopped || this.#reader?.stopReason !== undefined) break
    }
    if (this.isStopped) return true
    const reason = this.#reader === undefined ? 'it is shorter than a page' : this.#reader.stopReason
    if (reason === undefined) return false
    if (isLast) return true
    throw damaged(segment.name, reason)
  }

  #feed(chunk: Uint8Array): void {
    let at = 0
    while (at < chunk.length && !this.isStopped && this.#reader?.stopReason === undefined) {
      const count = Math.min(this.#page.length - this.#held, chunk.length - at)
      this.#page.set(chunk.subarray(at, at + count), this.#held)
      this.#held += count
      at += count
      if (this.#held < this.#page.length) return
      if (this.#reader === undefined) this.#begin()
      else {
        this.#held = 0
        this.#reader.readPage(this.#page)
      }
    }
  }

  /** The beginning of the first segment says how large a page is. */
  #begin(): void {
    const segment = this.#segment!
    const view = new DataView(this.#page.buffer)
    const header = decodeSegmentHeader(view, 0)
    const { systemIdentifier, segmentBytes, spans } = this.#request
    if (header === undefined || header.segmentBytes !== segmentBytes) {
      throw damaged(segment.name, 'it does not begin with the header of a segment of this size')
    }
    if (systemIdentifier !== null && header.systemIdentifier !== systemIdentifier) {
      throw new WalgError(
        'WAL_INVALID',
        `WAL segment ${segment.name} belongs to cluster ${header.systemIdentifier}, the backup to ${systemIdentifier}`,
        { facts: { name: segment.name }, hint: 'two clusters have archived into one repository' },
      )
    }
    const majorVersion = majorByMagic(decodePageHeader(view, 0).magic) ?? 18
    const sink: RecordSink = (record, at, totalBytes) => {
      this.#seeRecord({ view: record, at, totalBytes }, majorVersion)
    }
    const firstLsn = toLsn(segment.number * BigInt(segmentBytes))
    this.#reader = new RecordReader(header, firstLsn, spans.at(-1)!.timeline, { sink })
    const page = new Uint8Array(header.walPageBytes)
    page.set(this.#page)
    this.#page = page
  }

  #seeRecord(record: Parameters<typeof decodeRecoveryPoint>[0], majorVersion: number): void {
    const { onPoint, onRecord } = this.#request
    const isPoint = onPoint !== undefined && isRecoveryPoint(record.view, record.at)
    if (this.isStopped || (!isPoint && onRecord === undefined)) return
    const startLsn = this.#reader?.lastStartLsn
    const endLsn = this.#reader?.endLsn
    if (startLsn === undefined || endLsn === undefined) return
    if (this.#limitLsn !== null && startLsn >= this.#limitLsn) return
    if (onRecord?.(startLsn) === true) this.isStopped = true
    const point = isPoint ? decodeRecoveryPoint(record, startLsn, endLsn, majorVersion) : undefined
    if (point !== undefined && onPoint?.(point, this.#segment!) === true) this.isStopped = true
  }
}

function damaged(name: string, reason: string): WalgError {
  return new WalgError('WAL_INVALID', `WAL segment ${name} in the archive cannot be read: ${reason}`, {
    facts: { name },
    hint: 'bring it back from a copy of the archive or from a server that still has it, or restore to a moment before it',
  })
}

/** For messages. */
export function describePoint(point: RecoveryPoint): string {
  const at = formatLsn(point.startLsn)
  if (point.kind === 'restore-point') return `restore point "${point.name}" at ${at}`
  return `${point.kind} of transaction ${point.xid} at ${at}`
}
