import type { Codec } from '../../codec/codec.ts'
import type { Lsn } from '../../postgres/lsn.ts'
import type { TimelineHistory } from '../../postgres/timeline-history.ts'
import {
  formatSegmentName,
  isSegmentName,
  parseSegmentName,
  segmentOfLsn,
  type TimelineId,
  toTimelineId,
  type WalSegment,
} from '../../postgres/wal-segment.ts'
import { walFileOfName } from '../../repository/backup-name.ts'
import type { ChainBackup } from '../../repository/chain.ts'
import { readArchivedHistory } from '../../repository/recovery/archived-history.ts'
import { listWal, type WalObject } from '../../repository/wal-catalog.ts'
import type { Storage } from '../../storage/storage.ts'
import { type Findings, isFinding } from './findings.ts'

/** The archive as its listing and its history files tell it. */
export interface WalArchive {
  readonly segments: ReadonlyMap<string, WalObject>
  readonly newestTimeline: TimelineId
  readonly histories: ReadonlyMap<TimelineId, TimelineHistory>
}

/** Lists the archive, reads every history file in it, and finds contradictions. */
export async function readWalArchive(
  context: { readonly storage: Storage; readonly codec: Codec; readonly signal: AbortSignal },
  findings: Findings,
): Promise<WalArchive> {
  const segments = new Map<string, WalObject>()
  const histories = new Map<TimelineId, TimelineHistory>()
  let newestTimeline = toTimelineId(1)
  for await (const object of listWal(context.storage, context)) {
    if (object.kind !== 'segment' && object.kind !== 'history') continue
    const timeline = toTimelineId(Number.parseInt(object.file.slice(0, 8), 16))
    if (object.kind === 'segment') segments.set(object.file, object)
    if (timeline > newestTimeline) newestTimeline = timeline
    if (object.kind !== 'history') continue
    try {
      const history = await readArchivedHistory(context.storage, context.codec, timeline, context)
      if (history !== null) histories.set(timeline, history)
    } catch (error) {
      if (!isFinding(error)) throw error
      findings.error(null, object.key, error.message)
    }
  }
  checkHistories(histories, findings)
  return { segments, newestTimeline, histories }
}

/** A history repeats that of its parent up to the switch away from it. */
function checkHistories(histories: WalArchive['histories'], findings: Findings): void {
  for (const [timeline, { switches }] of histories) {
    const last = switches.at(-1)
    const parent = last === undefined ? undefined : histories.get(last.parent)
    if (last === undefined || parent === undefined) continue
    const expected = parent.switches
    const isSame = expected.every(
      (each, at) => switches[at]?.parent === each.parent && switches[at]?.switchLsn === each.switchLsn,
    )
    if (isSame && switches.length === expected.length + 1) continue
    findings.error(
      null,
      null,
      `the histories of timelines ${timeline} and ${last.parent} contradict each other: one of them is of another cluster`,
    )
  }
}

/** Names of the segments that a backup needs, in order; they may span timelines when they go on to now. */
export function neededSegments(
  { name, document }: ChainBackup,
  archive: WalArchive,
  options: { readonly segmentBytes: number; readonly isToNow: boolean },
  findings: Findings,
): string[] {
  const { lsn, finishLsn } = document.sentinel
  const walFile = walFileOfName(name)
  if (lsn === null || finishLsn === null || !isSegmentName(walFile)) return []
  const { segmentBytes } = options
  const timeline = toTimelineId(Number.parseInt(walFile.slice(0, 8), 16))
  const first = segmentOfLsn(timeline, lsn, segmentBytes)
  if (formatSegmentName(first, segmentBytes) !== walFile) {
    findings.error(
      name,
      null,
      `its name and its start do not fit segments of ${segmentBytes} bytes (WALG_PG_WAL_SIZE)`,
    )
    return []
  }
  if (timeline > 1 && !archive.histories.has(timeline)) {
    findings.warning(name, null, `the history of timeline ${timeline} is not in the archive`)
  }
  const stop = segmentOfLsn(timeline, (finishLsn > lsn ? finishLsn - 1n : lsn) as Lsn, segmentBytes)
  const segments = between(first, stop.number)
  if (options.isToNow) segments.push(...afterwards(stop, archive, segmentBytes))
  return segments.map(segment => formatSegmentName(segment, segmentBytes))
}

function between(first: WalSegment, last: bigint): WalSegment[] {
  const segments: WalSegment[] = []
  for (let number = first.number; number <= last; number += 1n) segments.push({ ...first, number })
  return segments
}

/** From behind `stop` to the newest segment, along the newest timeline that came out of this one. */
function afterwards(stop: WalSegment, archive: WalArchive, segmentBytes: number): WalSegment[] {
  const path = pathFrom(stop.timeline, archive)
  const segments: WalSegment[] = []
  let number = stop.number + 1n
  for (const [at, timeline] of path.entries()) {
    const left = at + 1 < path.length ? switchTo(path[at + 1]!, timeline, archive) : undefined
    const last =
      left === undefined
        ? newestOn(timeline, archive, segmentBytes)
        : segmentOfLsn(timeline, left, segmentBytes).number - 1n
    segments.push(...between({ timeline, number }, last))
    if (last >= number) number = last + 1n
  }
  return segments
}

/** The timelines from one to its newest descendant. */
function pathFrom(timeline: TimelineId, { histories }: WalArchive): TimelineId[] {
  const descendants = [...histories.keys()]
    .filter(each => histories.get(each)!.switches.some(({ parent }) => parent === timeline))
    .sort((left, right) => left - right)
  const newest = descendants.at(-1)
  if (newest === undefined) return [timeline]
  const parents = histories.get(newest)!.switches.map(({ parent }) => parent)
  return [...parents.slice(parents.indexOf(timeline)), newest]
}

function switchTo(child: TimelineId, parent: TimelineId, { histories }: WalArchive): Lsn | undefined {
  return histories.get(child)?.switches.findLast(each => each.parent === parent)?.switchLsn
}

function newestOn(timeline: TimelineId, { segments }: WalArchive, segmentBytes: number): bigint {
  const prefix = timeline.toString(16).toUpperCase().padStart(8, '0')
  let newest = -1n
  for (const file of segments.keys()) {
    if (!file.startsWith(prefix)) continue
    const { number } = parseSegmentName(file, segmentBytes)
    if (number > newest) newest = number
  }
  return newest
}
