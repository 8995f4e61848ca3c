import { closeSync, existsSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { eventTurn, throwIfCancelled } from '../../kit/clock.ts'
import { fromSystemError } from '../../kit/errors.ts'
import type { Lsn } from '../lsn.ts'
import {
  formatSegmentName,
  nextSegment,
  parseSegmentName,
  segmentStartLsn,
  type WalSegment,
} from '../wal-segment.ts'
import { RecordReader } from './record-reader.ts'
import { decodeSegmentHeader, LONG_HEADER_BYTES, type WalSegmentHeader } from './wal-page.ts'

/** How far the WAL of consecutive segments can be proved whole, record by record. */
export interface ValidWal {
  /** Segments that are finished: every record that begins in them ends well, and the next begins after them. */
  readonly complete: readonly string[]
  /** End of the last record that proved whole; undefined when none did. */
  readonly endLsn: Lsn | undefined
  /** Why reading stopped there, for a person. */
  readonly reason: string
  /** Nothing was wrong: the last segment was read to its end, and a record goes on in one that is not there. */
  readonly isCutOff: boolean
}

/** A segment with what its own header says. */
export interface OpenedSegment {
  readonly name: string
  readonly path: string
  readonly segment: WalSegment
  readonly header: WalSegmentHeader
}

const CHUNK_BYTES = 1 << 18
/** Chunks read between two breaths. */
const CHUNKS_PER_BREATH = 16

/**
 * Reads the records of segments (names oldest first, files in `directory`), checks each CRC-32C and each back link,
 * and tells up to where they prove whole. Reading starts anew where the names have a gap or change timeline; a
 * record that leaves the last segment is followed into the file of the next one, if that is there, whatever
 * else it holds; not into one of `unreadable`, which counts as not there. Throws FILE_NOT_FOUND, FILE_ACCESS, CANCELLED.
 */
export async function findEndOfValidWal(
  directory: string,
  names: readonly string[],
  signal: AbortSignal,
  unreadable: ReadonlySet<string> = new Set(),
): Promise<ValidWal> {
  const complete: string[] = []
  let endLsn: Lsn | undefined
  let reason = 'there is no WAL'
  let isCutOff = false
  for (const run of splitRuns(directory, names)) {
    const reader = await readRun(directory, run, signal, unreadable)
    const last = run.at(-1)!
    endLsn = reader.endLsn ?? endLsn
    isCutOff = reader.stopReason === undefined
    reason = reader.stopReason ?? `the record that goes on after ${last.name} is not there to its end`
    for (const { name, segment, header } of run) {
      const endOfSegment = segmentStartLsn(nextSegment(segment), header.segmentBytes)
      if (reader.endLsn !== undefined && reader.endLsn >= endOfSegment) complete.push(name)
    }
  }
  return { complete, endLsn, reason, isCutOff }
}

/** Splits at gaps, at changes of timeline, and at files that do not begin like a segment; those are left out. */
function splitRuns(directory: string, names: readonly string[]): OpenedSegment[][] {
  const runs: OpenedSegment[][] = []
  for (const name of names) {
    const opened = openSegment(directory, name)
    const previous = runs.at(-1)?.at(-1)
    if (opened === undefined) runs.push([])
    else if (previous !== undefined && isNext(previous, opened)) runs.at(-1)?.push(opened)
    else runs.push([opened])
  }
  return runs.filter(run => run.length > 0)
}

async function readRun(
  directory: string,
  run: readonly OpenedSegment[],
  signal: AbortSignal,
  unreadable: ReadonlySet<string>,
): Promise<RecordReader> {
  const first = run[0]!
  const last = run.at(-1)!
  const firstLsn = segmentStartLsn(first.segment, first.header.segmentBytes)
  const reader = new RecordReader(first.header, firstLsn, first.segment.timeline)
  for (const opened of run) await readSegment(reader, opened, signal)
  const followName = formatSegmentName(nextSegment(last.segment), last.header.segmentBytes)
  if (
    reader.stopReason === undefined &&
    !reader.isBetweenRecords &&
    !unreadable.has(followName) &&
    existsSync(join(directory, followName))
  ) {
    const follow = openSegment(directory, followName)
    if (follow !== undefined && isNext(last, follow)) await readSegment(reader, follow, signal)
  }
  return reader
}

function isNext(previous: OpenedSegment, next: OpenedSegment): boolean {
  return (
    previous.header.segmentBytes === next.header.segmentBytes &&
    previous.segment.timeline === next.segment.timeline &&
    previous.segment.number + 1n === next.segment.number
  )
}

/** Undefined when the file does not begin with a segment header that fits its name. */
export function openSegment(directory: string, name: string): OpenedSegment | undefined {
  const path = join(directory, name)
  const bytes = new Uint8Array(LONG_HEADER_BYTES)
  const count = withFile(path, fd => readSync(fd, bytes, 0, bytes.length, 0))
  if (count < LONG_HEADER_BYTES) return undefined
  const header = decodeSegmentHeader(new DataView(bytes.buffer), 0)
  if (header === undefined) return undefined
  return { name, path, header, segment: parseSegmentName(name, header.segmentBytes) }
}

/** Gives the pages of a segment to a reader, until that stops. */
export async function readSegment(
  reader: RecordReader,
  opened: OpenedSegment,
  signal: AbortSignal,
): Promise<void> {
  const { walPageBytes, segmentBytes } = opened.header
  const chunk = new Uint8Array(Math.max(CHUNK_BYTES, walPageBytes))
  for (let position = 0, chunks = 0; position < segmentBytes; position += chunk.length, chunks++) {
    if (reader.stopReason !== undefined) return
    if (chunks % CHUNKS_PER_BREATH === 0) {
      await eventTurn()
      throwIfCancelled(signal)
    }
    const count = withFile(opened.path, fd => readWhole(fd, chunk, position))
    for (let at = 0; at + walPageBytes <= count; at += walPageBytes) {
      if (!reader.readPage(chunk.subarray(at, at + walPageBytes))) return
    }
    // a file that ends early ends the WAL: the next page the reader sees has another address
    if (count < Math.min(chunk.length, segmentBytes - position)) return
  }
}

function readWhole(fd: number, into: Uint8Array, position: number): number {
  let got = 0
  for (;;) {
    const count = readSync(fd, into, got, into.length - got, position + got)
    got += count
    if (count === 0 || got === into.length) return got
  }
}

function withFile<T>(path: string, action: (fd: number) => T): T {
  let fd: number | undefined
  try {
    fd = openSync(path, 'r')
    return action(fd)
  } catch (error) {
    throw fromSystemError(error, 'read', path)
  } finally {
    if (fd !== undefined) closeSync(fd)
  }
}
