import type { Lsn } from '../../postgres/lsn.ts'
import {
  formatSegmentName,
  parseSegmentName,
  segmentOfLsn,
  toTimelineId,
} from '../../postgres/wal-segment.ts'
import type { InventoryBackup } from './inventory.ts'

/** Which WAL the kept backups cannot do without. Segments are named by their 24 hex digits. */
export interface WalNeed {
  /** True when any segment from `first` to `last` (of one timeline) is needed. */
  isNeeded(first: string, last: string): boolean
}

interface Interval {
  readonly first: string
  readonly last: string
}

/** WAL segments of a permanent backup, or of one that is only kept as it stands: from its start to its finish. */
export function permanentWal(backup: InventoryBackup, segmentBytes: number): Interval | undefined {
  const { startLsn, finishLsn, walFile } = backup
  if (startLsn === null || finishLsn === null || !/^[0-9A-F]{24}$/.test(walFile)) return undefined
  const timeline = toTimelineId(Number.parseInt(walFile.slice(0, 8), 16))
  const nameOf = (lsn: bigint): string =>
    formatSegmentName(segmentOfLsn(timeline, (lsn > 0n ? lsn - 1n : lsn) as Lsn, segmentBytes), segmentBytes)
  // A wrong WALG_PG_WAL_SIZE shows here: then nobody knows where the backup ends.
  if (formatSegmentName(segmentOfLsn(timeline, startLsn, segmentBytes), segmentBytes) !== walFile)
    return undefined
  return { first: nameOf(startLsn), last: nameOf(finishLsn > startLsn ? finishLsn : startLsn) }
}

/**
 * An ordinary backup needs the WAL of its timeline and of every higher one from its start on; a permanent one that
 * from its start to its finish. A backup whose place in the WAL is not known needs all of it.
 */
export function createWalNeed(
  kept: readonly InventoryBackup[],
  segmentBytes: number,
  isStandalone: (backup: InventoryBackup) => boolean = backup => backup.isPermanent,
): WalNeed {
  const firstByTimeline = new Map<string, string>()
  const intervals: Interval[] = []
  let needsEverything = false
  for (const backup of kept) {
    const interval = isStandalone(backup) ? permanentWal(backup, segmentBytes) : undefined
    if (interval !== undefined) intervals.push(interval)
    else if (backup.walFile.startsWith('Z')) needsEverything = true
    else {
      const timeline = backup.walFile.slice(0, 8)
      const start = startOf(backup, segmentBytes)
      const known = firstByTimeline.get(timeline)
      if (known === undefined || start < known) firstByTimeline.set(timeline, start)
    }
  }
  const starts = lowestSoFar([...firstByTimeline].sort(([left], [right]) => (left < right ? -1 : 1)))
  const byTimeline = new Map<string, Interval[]>()
  for (const interval of intervals) {
    const timeline = interval.first.slice(0, 8)
    byTimeline.set(timeline, [...(byTimeline.get(timeline) ?? []), interval])
  }
  return {
    isNeeded(first, last) {
      if (needsEverything) return true
      const timeline = first.slice(0, 8)
      const start = starts.findLast(([known]) => known <= timeline)?.[1]
      if (start !== undefined && last.slice(8) >= start) return true
      return byTimeline.get(timeline)?.some(one => first <= one.last && last >= one.first) === true
    },
  }
}

/** Position (16 hex digits) of the first segment that a backup needs: that of `start - 1` as the original has it. */
function startOf({ walFile, startLsn }: InventoryBackup, segmentBytes: number): string {
  const named = walFile.slice(8)
  if (startLsn === null || startLsn === 0n) return named
  const timeline = toTimelineId(1)
  const before = formatSegmentName(
    segmentOfLsn(timeline, (startLsn - 1n) as Lsn, segmentBytes),
    segmentBytes,
  ).slice(8)
  return before < named ? before : named
}

/** For each timeline the lowest position needed by a backup on it or below. */
function lowestSoFar(entries: readonly (readonly [string, string])[]): (readonly [string, string])[] {
  let lowest: string | undefined
  return entries.map(([timeline, start]) => {
    lowest = lowest === undefined || start < lowest ? start : lowest
    return [timeline, lowest] as const
  })
}

/** The last of `count` segments from `first` on; undefined when the name does not fit the segment size. */
export function lastOfGroup(first: string, count: number, segmentBytes: number): string | undefined {
  try {
    const segment = parseSegmentName(first, segmentBytes)
    return formatSegmentName({ ...segment, number: segment.number + BigInt(count - 1) }, segmentBytes)
  } catch {
    return undefined
  }
}
