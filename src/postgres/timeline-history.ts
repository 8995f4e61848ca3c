import { WalgError } from '../kit/errors.ts'
import { type Lsn, parseLsn } from './lsn.ts'
import { type TimelineId, toTimelineId } from './wal-segment.ts'

export interface TimelineSwitch {
  readonly parent: TimelineId
  /** First position that belongs to the next timeline. */
  readonly switchLsn: Lsn
  readonly reason: string
}

/** What `TTTTTTTT.history` says about timeline T: the switches that led to it, oldest first. */
export interface TimelineHistory {
  readonly timeline: TimelineId
  readonly switches: readonly TimelineSwitch[]
}

const LINE = /^\s*(\d+)\s+([0-9A-Fa-f]+\/[0-9A-Fa-f]+)\s*(.*)$/

/**
 * Parses a history file. Empty lines and lines that begin with `#` are ignored, as PostgreSQL does.
 * Throws FORMAT_INVALID, naming the line, when a line does not parse or timelines or positions go back.
 */
export function parseTimelineHistory(text: string, timeline: TimelineId): TimelineHistory {
  const switches: TimelineSwitch[] = []
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '' || line.trimStart().startsWith('#')) continue
    const match = LINE.exec(line)
    if (match === null) throw historyInvalid(timeline, index, 'it needs a timeline and a switch position')
    const parent = toTimelineId(Number(match[1]))
    const switchLsn = parseLsn(match[2]!)
    const previous = switches.at(-1)
    if (previous !== undefined && parent <= previous.parent) {
      throw historyInvalid(timeline, index, 'timelines must be in increasing order')
    }
    if (parent >= timeline) throw historyInvalid(timeline, index, 'a parent must be older than its child')
    switches.push({ parent, switchLsn, reason: match[3]!.trim() })
  }
  return { timeline, switches }
}

/** Formats as PostgreSQL writes it: tab-separated, one line per switch. */
export function formatTimelineHistory(history: TimelineHistory): string {
  return history.switches
    .map(one => {
      const high = (one.switchLsn >> 32n).toString(16).toUpperCase()
      const low = (one.switchLsn & 0xffffffffn).toString(16).toUpperCase()
      return `${one.parent}\t${high}/${low}\t${one.reason}\n`
    })
    .join('')
}

/** The timeline on which `lsn` was written, seen from the end of `history`. */
export function timelineOfLsn(history: TimelineHistory, lsn: Lsn): TimelineId {
  for (const one of history.switches) if (lsn < one.switchLsn) return one.parent
  return history.timeline
}

function historyInvalid(timeline: TimelineId, index: number, expected: string): WalgError {
  return new WalgError(
    'FORMAT_INVALID',
    `line ${index + 1} of the history of timeline ${timeline}: ${expected}`,
    {
      facts: { timeline, line: index + 1 },
    },
  )
}
