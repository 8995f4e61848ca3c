import { WalgError } from '../../kit/errors.ts'
import type { Lsn } from '../../postgres/lsn.ts'
import {
  formatSegmentName,
  parseSegmentName,
  segmentOfLsn,
  type TimelineId,
  toTimelineId,
} from '../../postgres/wal-segment.ts'
import type { WalObject } from '../../repository/wal-catalog.ts'

/** An object to copy, as the source lists it. */
export interface CopiedObject {
  readonly key: string
  readonly sizeBytes: number
}

/** A backup to copy, with everything it consists of. */
export interface CopiedBackup {
  readonly name: string
  readonly parent: string | null
  /** Of the sentinel: they are committed in this order, so that LATEST means the same in the target. */
  readonly modifiedNs: bigint
  /** Parts, lists of files, content manifest: what must be there before the metadata. */
  readonly payload: readonly CopiedObject[]
  readonly metadata: CopiedObject
  readonly sentinel: CopiedObject
}

/** WAL that one backup needs. */
export interface WalRange {
  readonly timeline: TimelineId
  readonly firstSegment: bigint
  /** Undefined: up to the newest archived segment, of this timeline and of those that follow it. */
  readonly lastSegment: bigint | undefined
}

/** What is copied, in the order in which it becomes visible. */
export interface CopyPlan {
  readonly payload: readonly CopiedObject[]
  readonly metadata: readonly CopiedObject[]
  /** One after the other: parents before children. */
  readonly sentinels: readonly CopiedObject[]
}

/** Which WAL belongs to a backup: from the segment of the byte before its start up to that of its finish. */
export function walRangeOf(
  backup: { readonly walFile: string; readonly startLsn: Lsn; readonly finishLsn: Lsn },
  withHistory: boolean,
  segmentBytes: number,
): WalRange {
  const timeline = toTimelineId(Number.parseInt(backup.walFile.slice(0, 8), 16))
  const before = (backup.startLsn > 0n ? backup.startLsn - 1n : backup.startLsn) as Lsn
  return {
    timeline,
    firstSegment: segmentOfLsn(timeline, before, segmentBytes).number,
    lastSegment: withHistory ? undefined : segmentOfLsn(timeline, backup.finishLsn, segmentBytes).number,
  }
}

/**
 * The archived objects that the ranges ask for, with everything that belongs to those segments, and every history.
 * Throws WAL_NOT_FOUND when a segment is missing: nothing may be copied then.
 */
export function planWal(
  archived: readonly WalObject[],
  ranges: readonly WalRange[],
  segmentBytes: number,
): readonly CopiedObject[] {
  const numbers = segmentNumbers(archived, segmentBytes)
  for (const range of ranges) checkRange(numbers, range, segmentBytes)
  return archived.filter(object => {
    if (object.kind === 'history') return true
    if (object.file.endsWith('.history') && object.kind === 'metadata') return true
    const segment = segmentOf(object.file, segmentBytes)
    return segment !== undefined && ranges.some(range => isInRange(range, segment.timeline, segment.number))
  })
}

function segmentOf(file: string, segmentBytes: number): ReturnType<typeof parseSegmentName> | undefined {
  const name = /^[0-9A-F]{24}/.exec(file)?.[0]
  if (name === undefined) return undefined
  try {
    return parseSegmentName(name, segmentBytes)
  } catch {
    return undefined
  }
}

/** Sorted numbers of the segments that are there, by timeline. */
function segmentNumbers(archived: readonly WalObject[], segmentBytes: number): Map<TimelineId, bigint[]> {
  const numbers = new Map<TimelineId, Set<bigint>>()
  for (const { kind, file } of archived) {
    const segment = kind === 'segment' ? segmentOf(file, segmentBytes) : undefined
    if (segment === undefined) continue
    const known = numbers.get(segment.timeline)
    if (known === undefined) numbers.set(segment.timeline, new Set([segment.number]))
    else known.add(segment.number)
  }
  const sorted = [...numbers].map(
    ([timeline, set]) => [timeline, [...set].sort((a, b) => (a < b ? -1 : 1))] as const,
  )
  return new Map(sorted)
}

function isInRange(range: WalRange, timeline: TimelineId, number: bigint): boolean {
  if (number < range.firstSegment) return false
  return range.lastSegment === undefined
    ? timeline >= range.timeline
    : timeline === range.timeline && number <= range.lastSegment
}

function checkRange(
  numbers: ReadonlyMap<TimelineId, readonly bigint[]>,
  range: WalRange,
  segmentBytes: number,
): void {
  const own = numbers.get(range.timeline) ?? []
  const nameOf = (number: bigint): string =>
    formatSegmentName({ timeline: range.timeline, number }, segmentBytes)
  if (!own.includes(range.firstSegment)) throw missing('first', nameOf(range.firstSegment))
  if (range.lastSegment !== undefined && !own.includes(range.lastSegment)) {
    throw missing('last', nameOf(range.lastSegment))
  }
  for (const [timeline, all] of numbers) {
    const within = all.filter(number => isInRange(range, timeline, number))
    for (const [at, number] of within.entries()) {
      const next = within[at + 1]
      if (next === undefined || next === number + 1n) continue
      const name = timeline.toString(16).toUpperCase().padStart(8, '0')
      throw new WalgError(
        'WAL_NOT_FOUND',
        `gap in PostgreSQL WAL history on timeline ${name} between segments ${number} and ${next}`,
        {
          facts: { timeline, before: number, after: next },
          hint: 'nothing was written; bring the missing segments into the source first, or copy backups behind the gap only',
        },
      )
    }
  }
}

function missing(which: 'first' | 'last', name: string): WalgError {
  return new WalgError('WAL_NOT_FOUND', `${which} required PostgreSQL WAL segment "${name}" is missing`, {
    facts: { segment: name },
    hint: 'nothing was written; a backup without its WAL cannot be restored: bring the segment into the source first',
  })
}

/** All stages, the same object never twice. Sentinels: oldest first, but never before that of their parent. */
export function planStages(backups: readonly CopiedBackup[], wal: readonly CopiedObject[]): CopyPlan {
  const byName = new Map(backups.map(backup => [backup.name, backup]))
  const sentinels: CopiedObject[] = []
  const done = new Set<string>()
  const commit = (backup: CopiedBackup): void => {
    if (done.has(backup.name)) return
    done.add(backup.name)
    const parent = backup.parent === null ? undefined : byName.get(backup.parent)
    if (parent !== undefined) commit(parent)
    sentinels.push(backup.sentinel)
  }
  for (const backup of backups.toSorted(compareAge)) commit(backup)
  return {
    payload: [...backups.flatMap(({ payload }) => payload), ...wal],
    metadata: backups.map(({ metadata }) => metadata),
    sentinels,
  }
}

function compareAge(left: CopiedBackup, right: CopiedBackup): number {
  if (left.modifiedNs !== right.modifiedNs) return left.modifiedNs < right.modifiedNs ? -1 : 1
  return left.name < right.name ? -1 : 1
}

/**
 * What the target still lacks. Throws OBJECT_EXISTS for an object that is there with another size: nothing may be
 * written then, because nobody knows which of the two is right.
 */
export function planMissing(plan: CopyPlan, present: ReadonlyMap<string, number>): CopyPlan {
  for (const { key, sizeBytes } of [...plan.payload, ...plan.metadata, ...plan.sentinels]) {
    const there = present.get(key)
    if (there === undefined || there === sizeBytes) continue
    throw new WalgError(
      'OBJECT_EXISTS',
      `destination object "${key}" conflicts with source: source size ${sizeBytes}, destination size ${there}`,
      {
        facts: { key, sourceBytes: sizeBytes, destinationBytes: there },
        hint: 'nothing was written; look which of the two is right, and remove the other',
      },
    )
  }
  const isMissing = ({ key }: CopiedObject): boolean => !present.has(key)
  return {
    payload: plan.payload.filter(isMissing),
    metadata: plan.metadata.filter(isMissing),
    sentinels: plan.sentinels.filter(isMissing),
  }
}
