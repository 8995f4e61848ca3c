import { describe, expect, test } from 'bun:test'
import { parseLsn, toLsn } from './lsn.ts'
import { formatTimelineHistory, parseTimelineHistory, timelineOfLsn } from './timeline-history.ts'
import { toTimelineId } from './wal-segment.ts'

const text = '1\t0/3000148\tno recovery target specified\n2\t1/A0000000\tbefore 2026-11-22 10:00:00+00\n'
const three = toTimelineId(3)

describe('a timeline history', () => {
  test('is read as PostgreSQL writes it, and written back to the byte', () => {
    const history = parseTimelineHistory(text, three)
    expect(history.switches).toEqual([
      { parent: toTimelineId(1), switchLsn: parseLsn('0/3000148'), reason: 'no recovery target specified' },
      { parent: toTimelineId(2), switchLsn: parseLsn('1/A0000000'), reason: 'before 2026-11-22 10:00:00+00' },
    ])
    expect(formatTimelineHistory(history)).toBe(text)
    expect(parseTimelineHistory(`# comment\n\n${text}`, three)).toEqual(history)
    expect(parseTimelineHistory('', toTimelineId(1)).switches).toEqual([])
  })

  test('tells on which timeline a position was written', () => {
    const history = parseTimelineHistory(text, three)
    const at = (lsn: string): number => timelineOfLsn(history, parseLsn(lsn))
    expect([at('0/3000147'), at('0/3000148'), at('1/9FFFFFFF'), at('1/A0000000')]).toEqual([1, 2, 2, 3])
    expect(timelineOfLsn(history, toLsn(0))).toBe(toTimelineId(1))
  })

  test('that does not parse or goes back is refused, naming the line', () => {
    expect(() => parseTimelineHistory('1 somewhere\n', three)).toThrow('line 1')
    expect(() => parseTimelineHistory(`${text}2\t2/0\tx\n`, toTimelineId(4))).toThrow('line 3')
    expect(() => parseTimelineHistory('3\t0/1\tx\n', three)).toThrow('older than its child')
  })
})
