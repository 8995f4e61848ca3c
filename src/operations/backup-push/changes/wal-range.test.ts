import { describe, expect, test } from 'bun:test'
import { toLsn } from '../../../postgres/lsn.ts'
import { toTimelineId } from '../../../postgres/wal-segment.ts'
import { segmentGroups, timelinePieces, type WalRange } from './wal-range.ts'

const MIB = 1 << 20

function range(begin: number, end: number, switches: readonly (readonly [number, number])[] = []): WalRange {
  const timeline = toTimelineId((switches.at(-1)?.[0] ?? 0) + 1)
  const history = {
    timeline,
    switches: switches.map(([parent, at]) => ({
      parent: toTimelineId(parent),
      switchLsn: toLsn(at),
      reason: '',
    })),
  }
  return {
    beginLsn: toLsn(begin),
    endLsn: toLsn(end),
    timeline,
    history: switches.length === 0 ? null : history,
  }
}

const short = (name: string): string => `${Number(name.slice(0, 8))}/${Number.parseInt(name.slice(16), 16)}`

describe('the WAL between two backups', () => {
  test('a whole group may have a _delta object, those that reach over the beginning or hold the end have not', () => {
    const groups = segmentGroups(range(14 * MIB + 5, 34 * MIB + 1), MIB)
    expect(
      groups.map(({ deltaName, beginLsn, names }) => [short(deltaName), beginLsn, names.length]),
    ).toEqual([
      ['1/0', undefined, 2],
      ['1/16', toLsn(16 * MIB), 16],
      ['1/32', undefined, 3],
    ])
    expect(segmentGroups(range(16 * MIB, 32 * MIB), MIB).map(({ beginLsn }) => beginLsn)).toEqual([
      toLsn(16 * MIB),
      undefined,
    ])
  })

  test('where the timeline changed, the newer file is read, and no _delta object is asked for', () => {
    const changed = range(16 * MIB, 40 * MIB, [[1, 18 * MIB + 100]])
    const groups = segmentGroups(changed, MIB)
    expect(groups[0]!.names.slice(0, 4).map(short)).toEqual(['1/16', '1/17', '2/18', '2/19'])
    expect(groups.map(({ beginLsn }) => beginLsn)).toEqual([undefined, undefined])
    expect(timelinePieces(changed)).toEqual([
      { timeline: toTimelineId(1), beginLsn: toLsn(16 * MIB), endLsn: toLsn(18 * MIB + 100) },
      { timeline: toTimelineId(2), beginLsn: toLsn(18 * MIB + 100), endLsn: toLsn(40 * MIB) },
    ])
  })

  test('a switch at the end of a segment leaves that segment to the older timeline', () => {
    const groups = segmentGroups(range(16 * MIB, 40 * MIB, [[1, 18 * MIB]]), MIB)
    expect(groups[0]!.names.slice(0, 3).map(short)).toEqual(['1/16', '1/17', '2/18'])
  })

  test('switches before and behind the range do not count', () => {
    const quiet = range(20 * MIB, 30 * MIB, [[1, 5 * MIB]])
    expect(timelinePieces(quiet)).toEqual([
      { timeline: toTimelineId(2), beginLsn: toLsn(20 * MIB), endLsn: toLsn(30 * MIB) },
    ])
  })
})
