import { isDamage } from '../../kit/errors.ts'
import { type Lsn, toLsn } from '../../postgres/lsn.ts'
import type { TimelineHistory } from '../../postgres/timeline-history.ts'
import {
  formatSegmentName,
  parseSegmentName,
  type TimelineId,
  toTimelineId,
} from '../../postgres/wal-segment.ts'
import { readArchivedHistory } from '../../repository/recovery/archived-history.ts'
import { SegmentSet } from '../../repository/segment-set.ts'
import { listWal } from '../../repository/wal-catalog.ts'
import type { OperationContext } from '../context.ts'

/** Archived segments of one timeline. */
export interface ShownTimeline {
  readonly timeline: TimelineId
  /** 0 and 0/0 without a history that can be read in the archive. */
  readonly parent: number
  readonly switchLsn: Lsn
  readonly startSegment: string
  readonly endSegment: string
  readonly segmentsCount: number
  /** From the first to the last. */
  readonly rangeCount: number
  /** Highest first. */
  readonly missing: readonly string[]
  readonly status: 'OK' | 'LOST_SEGMENTS'
}

export interface WalShowOptions {
  readonly segmentBytes: number
}

type ShowContext = Pick<OperationContext, 'storage' | 'codec' | 'signal' | 'log'>

/** What lies in the archive, by timeline in ascending order. Only segments count; not their metadata or partials. */
export async function walShow(
  context: ShowContext,
  { segmentBytes }: WalShowOptions,
): Promise<ShownTimeline[]> {
  const segments = new SegmentSet()
  for await (const { kind, file } of listWal(context.storage, context)) {
    if (kind !== 'segment') continue
    const { timeline, number } = parseSegmentName(file, segmentBytes)
    segments.add(timeline, number)
  }
  const shown: ShownTimeline[] = []
  for (const timeline of segments.timelines) {
    const history = await readHistory(context, timeline)
    const last = history?.switches.at(-1)
    shown.push({
      ...describe(timeline, segments.sorted(timeline), segmentBytes),
      parent: last?.parent ?? 0,
      switchLsn: last?.switchLsn ?? toLsn(0),
    })
  }
  return shown
}

/** One damaged history must not hide what is there of all other timelines. */
async function readHistory(
  { storage, codec, signal, log }: ShowContext,
  timeline: TimelineId,
): Promise<TimelineHistory | null> {
  try {
    return await readArchivedHistory(storage, codec, timeline, { signal })
  } catch (error) {
    if (!isDamage(error)) throw error
    log.warning(`the parent of timeline ${timeline} is not known: ${error.message}`)
    return null
  }
}

function describe(
  timeline: TimelineId,
  sorted: BigUint64Array,
  segmentBytes: number,
): Omit<ShownTimeline, 'parent' | 'switchLsn'> {
  const nameOf = (number: bigint): string =>
    formatSegmentName({ timeline: toTimelineId(timeline), number }, segmentBytes)
  const missing: string[] = []
  for (let at = sorted.length - 1; at > 0; at -= 1) {
    for (let number = sorted[at]! - 1n; number > sorted[at - 1]!; number -= 1n) missing.push(nameOf(number))
  }
  const [first = 0n] = sorted
  const last = sorted.at(-1) ?? 0n
  return {
    timeline,
    startSegment: nameOf(first),
    endSegment: nameOf(last),
    segmentsCount: sorted.length,
    rangeCount: Number(last - first) + 1,
    missing,
    status: missing.length === 0 ? 'OK' : 'LOST_SEGMENTS',
  }
}
