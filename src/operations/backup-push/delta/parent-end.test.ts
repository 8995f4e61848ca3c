import { describe, expect, test } from 'bun:test'
import type { ClusterState } from '../../../postgres/control-file.ts'
import { toLsn } from '../../../postgres/lsn.ts'
import { judgeParentEnd, type ParentEnd } from './parent-end.ts'

const START = toLsn(0x3000028n)
const FINISH = toLsn(0x3000150n)

function judged(end: ParentEnd, state: ClusterState = 'in production', finishLsn = FINISH): string {
  return judgeParentEnd({ startLsn: START, finishLsn, state }, end)
}

/** A record that ends where the parent did. */
function record(startLsn: bigint | undefined, backupStartLsn?: bigint): ParentEnd {
  const lsnOf = (value: bigint | undefined) => (value === undefined ? undefined : toLsn(value))
  return { kind: 'record', startLsn: lsnOf(startLsn), backupStartLsn: lsnOf(backupStartLsn) }
}

describe('the end of a parent', () => {
  test('was reached when the archive has had its WAL since before the parent was complete', () => {
    expect(judged({ kind: 'settled' })).toBe('reached')
  })

  test('of a running primary is the record of pg_backup_stop for that very backup', () => {
    expect(judged(record(0x3000128n, START))).toBe('reached')
    expect(judged(record(0x3000128n, 0x2000028n))).toBe('rolled back')
    expect(judged(record(0x3000128n))).toBe('rolled back')
    expect(judged(record(undefined))).toBe('reached')
  })

  test('of a standby is that of any record', () => {
    for (const state of ['in archive recovery', 'shut down in recovery'] as const) {
      expect(judged(record(0x3000100n), state)).toBe('reached')
      expect(judged(record(0x3000100n, 0x2000028n), state)).toBe('reached')
      expect(judged({ kind: 'between' }, state)).toBe('rolled back')
    }
  })

  test('of a server that was shut down is that of the checkpoint with which the backup begins', () => {
    expect(judged(record(START), 'shut down')).toBe('reached')
    expect(judged(record(0x3000100n), 'shut down')).toBe('rolled back')
    expect(judged(record(0x3000000n), 'shut down', START)).toBe('reached')
  })

  test('was not reached where other WAL lies', () => {
    expect(judged({ kind: 'between' })).toBe('rolled back')
  })

  test('is not known without the segment', () => {
    expect(judged({ kind: 'missing' })).toBe('unknown')
    expect(judged({ kind: 'unreadable', reason: '' })).toBe('unknown')
  })
})
