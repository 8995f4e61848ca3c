import type { Lsn } from '../lsn.ts'
import { segmentStartLsn, type TimelineId } from '../wal-segment.ts'
import { decodeCheckpoint } from './checkpoint-record.ts'
import { openSegment, readSegment } from './record.ts'
import { RecordReader } from './record-reader.ts'

/** A checkpoint as the WAL has it. */
export interface CheckpointRecord {
  readonly lsn: Lsn
  /** Where replay begins that begins with this checkpoint. */
  readonly redoLsn: Lsn
}

export interface CheckpointSearch {
  readonly checkpoint: CheckpointRecord | undefined
  /** Why the records could not be read to the end of the segment; undefined when they could. */
  readonly stopReason: string | undefined
}

/**
 * The last checkpoint whose record begins in the segment `name` and before `endLsn`. A record that goes on behind the segment
 * is followed into `next`, if that is given. `timeline`: the newest that a page may be of. Throws FILE_NOT_FOUND, FILE_ACCESS, CANCELLED.
 */
export async function findLastCheckpoint(
  directory: string,
  {
    name,
    next,
    timeline,
  }: { readonly name: string; readonly next: string | undefined; readonly timeline: TimelineId },
  endLsn: Lsn,
  signal: AbortSignal,
): Promise<CheckpointSearch> {
  const opened = openSegment(directory, name)
  if (opened === undefined) {
    return { checkpoint: undefined, stopReason: 'it does not begin with the header of a segment' }
  }
  const { segment, header } = opened
  const firstLsn = segmentStartLsn(segment, header.segmentBytes)
  const limitLsn = firstLsn + BigInt(header.segmentBytes)
  let checkpoint: CheckpointRecord | undefined
  const reader = new RecordReader(header, firstLsn, timeline, {
    sink(view, at, totalBytes) {
      const lsn = reader.lastStartLsn
      if (lsn === undefined || lsn >= endLsn || lsn >= limitLsn) return
      const found = decodeCheckpoint(view, at, totalBytes)
      if (found.kind === 'checkpoint') checkpoint = { lsn, redoLsn: found.checkpoint.redoLsn }
    },
  })
  await readSegment(reader, opened, signal)
  const { stopReason } = reader
  if (stopReason === undefined && !reader.isBetweenRecords && next !== undefined) {
    const following = openSegment(directory, next)
    if (following !== undefined) await readSegment(reader, following, signal)
  }
  return { checkpoint, stopReason }
}
