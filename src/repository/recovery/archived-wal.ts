import type { Codec } from '../../codec/codec.ts'
import { WalgError } from '../../kit/errors.ts'
import type { TimelineHistory } from '../../postgres/timeline-history.ts'
import { type TimelineSpan, timelinesOfSegment } from '../../postgres/timeline-path.ts'
import {
  formatHistoryName,
  formatSegmentName,
  type TimelineId,
  toTimelineId,
} from '../../postgres/wal-segment.ts'
import type { Abortable, Storage } from '../../storage/storage.ts'
import { listWal } from '../wal-catalog.ts'
import { readArchivedHistory } from './archived-history.ts'

/** A segment of the archive. */
export interface ArchivedSegment {
  readonly name: string
  readonly timeline: TimelineId
  readonly number: bigint
  readonly key: string
  readonly extension: string
  readonly modifiedNs: bigint
}

/** Consecutive segments, as recovery would read them. */
export interface WalChain {
  readonly segments: readonly ArchivedSegment[]
  /** The name under which the first missing one would be looked for. */
  readonly missing: string
  /** A segment of the same path that is there behind the missing one: then there is a hole. */
  readonly behindHole: string | undefined
  /** The missing one is there without any content: whoever asks for it gets an error, not the end of WAL. */
  readonly isEmpty: boolean
}

/** A history that the archive does not have, although it goes on on further timelines, or has without any content. */
export interface LostHistory {
  readonly name: string
  readonly isEmpty: boolean
  /** Timelines that PostgreSQL does not find without it. */
  readonly further: readonly TimelineId[]
}

type StoredSegment = Pick<ArchivedSegment, 'key' | 'extension' | 'modifiedNs'>

/** What the names below `wal_005/` say; one listing. */
export class ArchivedWal {
  readonly #segments: ReadonlyMap<string, StoredSegment>
  /** With the times of their objects. */
  readonly #histories: ReadonlyMap<TimelineId, bigint>
  readonly #timelines: ReadonlySet<TimelineId>
  /** Names of segments and histories whose object has no content. */
  readonly #empty: ReadonlySet<string>

  private constructor(
    segments: ReadonlyMap<string, StoredSegment>,
    histories: ReadonlyMap<TimelineId, bigint>,
    timelines: ReadonlySet<TimelineId>,
    empty: ReadonlySet<string>,
  ) {
    this.#segments = segments
    this.#empty = empty
    this.#histories = histories
    this.#timelines = timelines
  }

  /** Lists the archive. An empty object is no segment: it could not be fetched. */
  static async read(storage: Storage, options: Abortable = {}): Promise<ArchivedWal> {
    const segments = new Map<string, StoredSegment>()
    const histories = new Map<TimelineId, bigint>()
    const timelines = new Set<TimelineId>()
    const empty = new Set<string>()
    for await (const { kind, file, key, extension, modifiedNs, sizeBytes } of listWal(storage, options)) {
      if (kind !== 'segment' && kind !== 'history') continue
      if (sizeBytes === 0) {
        empty.add(file)
        continue
      }
      const timeline = toTimelineId(Number.parseInt(file.slice(0, 8), 16))
      timelines.add(timeline)
      if (kind === 'segment') segments.set(file, { key, extension, modifiedNs })
      else histories.set(timeline, modifiedNs)
    }
    return new ArchivedWal(segments, histories, timelines, empty)
  }

  /** Timelines of which there is anything, ascending. */
  get timelines(): readonly TimelineId[] {
    return [...this.#timelines].sort((left, right) => left - right)
  }

  /** Names of all segments, oldest first within a timeline. */
  get segmentNames(): readonly string[] {
    return [...this.#segments.keys()].sort()
  }

  /** The segment of this name. */
  find(name: string): StoredSegment | undefined {
    return this.#segments.get(name)
  }

  /** When the history of a timeline was archived, by the clock of the storage: soon after the timeline began. */
  historyModifiedNs(timeline: TimelineId): bigint | undefined {
    return this.#histories.get(timeline)
  }

  /** Why the newest timeline from one on may not be the newest: the history that would lead further. */
  lostHistory(latest: TimelineId): LostHistory | undefined {
    const name = formatHistoryName(latest + 1)
    const further = this.timelines.filter(timeline => timeline > latest)
    const isEmpty = this.#empty.has(name)
    return isEmpty || further.length > 0 ? { name, isEmpty, further } : undefined
  }

  /** The newest timeline as PostgreSQL finds it: it asks for the next history until one is not there. */
  latestTimelineFrom(timeline: TimelineId): TimelineId {
    let latest = timeline
    while (this.#histories.has((latest + 1) as TimelineId)) latest = (latest + 1) as TimelineId
    return latest
  }

  /**
   * Segments from `firstNumber` on, until one is missing or `lastNumber` is reached. Once a newer timeline has been
   * read, no file of an older one is taken any more.
   */
  chain(
    spans: readonly TimelineSpan[],
    firstNumber: bigint,
    segmentBytes: number,
    lastNumber?: bigint,
  ): WalChain {
    const segments: ArchivedSegment[] = []
    let current = 0
    for (let number = firstNumber; ; number += 1n) {
      const timelines = timelinesOfSegment(spans, number, segmentBytes).filter(each => each >= current)
      const newest = timelines[0] ?? spans.at(-1)!.timeline
      const found = timelines
        .map(timeline => this.#stored(timeline, number, segmentBytes))
        .find(segment => segment !== undefined)
      if (found === undefined || (lastNumber !== undefined && number > lastNumber)) {
        const missing = formatSegmentName({ timeline: newest, number }, segmentBytes)
        const behindHole = this.#firstBehind(spans, number, segmentBytes)
        return { segments, missing, behindHole, isEmpty: this.#empty.has(missing) }
      }
      segments.push(found)
      current = found.timeline
    }
  }

  #stored(timeline: TimelineId, number: bigint, segmentBytes: number): ArchivedSegment | undefined {
    const name = formatSegmentName({ timeline, number }, segmentBytes)
    const stored = this.#segments.get(name)
    return stored === undefined ? undefined : { name, timeline, number, ...stored }
  }

  #firstBehind(spans: readonly TimelineSpan[], number: bigint, segmentBytes: number): string | undefined {
    const begins = spans.map(({ timeline }) => ({
      prefix: formatSegmentName({ timeline, number: 0n }, segmentBytes).slice(0, 8),
      from: formatSegmentName({ timeline, number }, segmentBytes),
    }))
    let first: string | undefined
    for (const name of this.#segments.keys()) {
      const span = begins.find(({ prefix }) => name.startsWith(prefix))
      if (span === undefined || name <= span.from) continue
      if (first !== undefined && name.slice(8) >= first.slice(8)) continue
      const place = numberOf(name, segmentBytes)
      if (timelinesOfSegment(spans, place.number, segmentBytes).includes(place.timeline)) first = name
    }
    return first
  }
}

function numberOf(name: string, segmentBytes: number): { timeline: TimelineId; number: bigint } {
  const perXlogId = 0x100000000n / BigInt(segmentBytes)
  const number = BigInt(`0x${name.slice(8, 16)}`) * perXlogId + BigInt(`0x${name.slice(16)}`)
  return { timeline: toTimelineId(Number.parseInt(name.slice(0, 8), 16)), number }
}

/**
 * The history that leads to a timeline. Timeline 1 has none, and neither has one whose history was never archived when
 * `isWithoutParents` says that nothing older is asked of it. Throws WAL_NOT_FOUND.
 */
export async function historyOf(
  storage: Storage,
  codec: Codec,
  timeline: TimelineId,
  options: Abortable & { readonly isWithoutParents?: boolean } = {},
): Promise<TimelineHistory> {
  const history = await readArchivedHistory(storage, codec, timeline, options)
  if (history !== null) return history
  if (timeline === 1 || options.isWithoutParents === true) return { timeline, switches: [] }
  const name = formatHistoryName(timeline)
  throw new WalgError('WAL_NOT_FOUND', `the history of timeline ${timeline} is not in the archive`, {
    facts: { name, timeline },
    hint: `push "${name}" from pg_wal of a server that has been on that timeline, or name another timeline`,
  })
}
