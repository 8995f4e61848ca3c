import fs from 'node:fs'
import path from 'node:path'
import { syncDirectory } from '../../../kit/atomic-file.ts'
import { errnoOf, fromSystemError } from '../../../kit/errors.ts'
import type { Logger } from '../../../kit/log.ts'
import { archiveStatusDirectory, listReady } from '../../../postgres/archive-status.ts'
import type { Lsn } from '../../../postgres/lsn.ts'
import { decodePageHeader, LONG_HEADER_BYTES } from '../../../postgres/wal/wal-page.ts'
import { parseSummaryName } from '../../../postgres/wal/wal-summary.ts'
import { firstLsnOf, isSegmentName } from '../../../postgres/wal-segment.ts'

export interface StaleWal {
  readonly root: string
  /** Where recovery begins from now on. */
  readonly startLsn: Lsn
  readonly majorVersion: number
  readonly segmentBytes: number
  readonly isDurable: boolean
}

interface Segment {
  readonly name: string
  readonly beginLsn: Lsn
}

/** The first with a WAL summarizer. */
const SUMMARIZER_MAJOR = 17

/**
 * Removes from the `pg_wal` of a standby what lies before the gap that the catchup leaves: the summarizer of PostgreSQL 17 begins
 * with the oldest segment that it finds, on any timeline, or behind its newest summary; it would wait for the WAL in the gap for
 * ever, and a promotion waits for it. Recovery reads nothing before `startLsn`. Segments that wait to be archived stay, which is
 * said. To be called while there is no pg_control: the next try finds what an interrupted one has left.
 */
export async function removeStaleWal(
  log: Logger,
  { root, startLsn, majorVersion, segmentBytes, isDurable }: StaleWal,
): Promise<void> {
  // older servers remove old segments at the next restartpoint, whatever is between
  if (majorVersion < SUMMARIZER_MAJOR) return
  const directory = path.join(root, 'pg_wal')
  const firstNeeded = startLsn - (startLsn % BigInt(segmentBytes))
  const segments = segmentsIn(directory, segmentBytes)
  const stale = segments.filter(({ beginLsn }) => beginLsn < firstNeeded)
  if (isUnbroken(directory, segments, firstNeeded, segmentBytes)) return
  const ready = new Set(await listReady(directory))
  const kept = stale.filter(({ name }) => ready.has(name))
  const removed = stale.filter(({ name }) => !ready.has(name))
  // summaries first: without them, what is left of the segments says nothing wrong
  await removeSummaries(path.join(directory, 'summaries'), startLsn, isDurable)
  for (const { name } of removed) remove(path.join(directory, name))
  if (isDurable && removed.length > 0) await syncDirectory(directory)
  await removeMarks(archiveStatusDirectory(directory), removed, isDurable)
  if (removed.length > 0) log.info(`Removed ${removed.length} WAL segments from before the backup`)
  if (kept.length > 0) log.warning(keptWarning(kept))
}

function keptWarning(kept: readonly Segment[]): string {
  const names = `${kept[0]!.name}${kept.length > 1 ? ` … ${kept.at(-1)!.name}` : ''}`
  return (
    `${kept.length} old WAL segments stay in pg_wal, because they wait to be archived: ${names}. With summarize_wal=on the server ` +
    'cannot be promoted while they are there: set it to off until they are archived and a restartpoint has removed them'
  )
}

/** By age; of all timelines: a segment of an older one stops the summarizer as well. */
function segmentsIn(directory: string, segmentBytes: number): Segment[] {
  const segments = namesIn(directory)
    .filter(isSegmentName)
    .flatMap(name => {
      const beginLsn = firstLsnOf(name, segmentBytes)
      return beginLsn === undefined ? [] : [{ name, beginLsn }]
    })
  return segments.sort((one, other) =>
    one.beginLsn === other.beginLsn ? compare(one.name, other.name) : compare(one.beginLsn, other.beginLsn),
  )
}

function compare<T extends string | bigint>(one: T, other: T): number {
  return one < other ? -1 : one > other ? 1 : 0
}

/** Whether the standby has all WAL from its oldest segment up to the one that recovery begins in: then there is no gap. */
function isUnbroken(
  directory: string,
  segments: readonly Segment[],
  firstNeeded: bigint,
  segmentBytes: number,
): boolean {
  const there = segments.filter(({ beginLsn }) => beginLsn <= firstNeeded)
  const oldest = there[0]?.beginLsn
  if (oldest === undefined) return false
  const found = new Set<bigint>()
  for (const { name, beginLsn } of there) if (isBegun(directory, name, beginLsn)) found.add(beginLsn)
  return BigInt(found.size - 1) * BigInt(segmentBytes) === firstNeeded - oldest
}

/** A file may still hold the older segment whose file it was. WAL is written in order: one that has begun says that those before are whole. */
function isBegun(directory: string, name: string, beginLsn: Lsn): boolean {
  const place = path.join(directory, name)
  const header = new Uint8Array(LONG_HEADER_BYTES)
  let fd: number | undefined
  try {
    fd = fs.openSync(place, 'r')
    if (fs.readSync(fd, header, 0, header.length, 0) < header.length) return false
  } catch (error) {
    throw fromSystemError(error, 'read', place)
  } finally {
    if (fd !== undefined) fs.closeSync(fd)
  }
  return decodePageHeader(new DataView(header.buffer), 0).pageLsn === beginLsn
}

async function removeSummaries(directory: string, startLsn: Lsn, isDurable: boolean): Promise<void> {
  const stale = namesIn(directory).filter(name => {
    const summary = parseSummaryName(name)
    return summary !== undefined && summary.beginLsn < startLsn
  })
  for (const name of stale) remove(path.join(directory, name))
  if (isDurable && stale.length > 0) await syncDirectory(directory)
}

/** The server removes a mark only together with its segment. */
async function removeMarks(
  directory: string,
  segments: readonly Segment[],
  isDurable: boolean,
): Promise<void> {
  const marks = new Set(namesIn(directory))
  const stale = segments.map(({ name }) => `${name}.done`).filter(mark => marks.has(mark))
  for (const mark of stale) remove(path.join(directory, mark))
  if (isDurable && stale.length > 0) await syncDirectory(directory)
}

function namesIn(directory: string): string[] {
  try {
    return fs.readdirSync(directory)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return []
    throw fromSystemError(error, 'list', directory)
  }
}

function remove(place: string): void {
  try {
    fs.unlinkSync(place)
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw fromSystemError(error, 'remove', place)
  }
}
