import { describe, expect, test } from 'bun:test'
import type { ControlFile } from '../../../../postgres/control-file.ts'
import { toLsn } from '../../../../postgres/lsn.ts'
import { parseTimelineHistory } from '../../../../postgres/timeline-history.ts'
import { toTimelineId } from '../../../../postgres/wal-segment.ts'
import { toBackupName } from '../../../../repository/backup-name.ts'
import type { CheckedDirectory } from '../../source/data-directory-check.ts'
import type { ParentBackup } from './choose-parent.ts'
import { findControlObstacle, findDeparture, isUnchanged } from './parent-guards.ts'

function parentOf(name: string, finishLsn: bigint): ParentBackup {
  const sentinel = { finishLsn: toLsn(finishLsn) }
  return {
    name: toBackupName(name),
    startLsn: toLsn(0x1000028n),
    chain: [{ name: toBackupName(name), document: { sentinel } }],
  } as unknown as ParentBackup
}

const THREE = parseTimelineHistory('1\t0/5000000\tno\n2\t0/7000000\tno\n', toTimelineId(3))
const departure = (
  name: string,
  finishLsn: bigint,
  timeline: number,
  history = THREE as typeof THREE | null,
) => findDeparture(parentOf(name, finishLsn), toTimelineId(timeline), history)

describe('the way that the cluster has taken', () => {
  test('leads through a parent of its own timeline, or one that ended before the switch', () => {
    expect(departure('base_000000030000000000000007', 0x9000000n, 3)).toBeUndefined()
    expect(departure('base_000000010000000000000003', 0x5000000n, 3)).toBeUndefined()
    expect(
      departure('base_000000020000000000000006_D_000000010000000000000003', 0x6000000n, 3),
    ).toBeUndefined()
    expect(departure('base_000000010000000000000003', 0x5000000n, 1, null)).toBeUndefined()
  })

  test('a parent that went on where the cluster did not is no parent', () => {
    expect(departure('base_000000010000000000000003', 0x5000001n, 3)).toContain(
      'left timeline 1 at 0/5000000',
    )
    expect(departure('base_000000020000000000000006', 0x7000100n, 3)).toContain('left timeline 2')
  })

  test('a timeline that is not in the history, or without history, is none of its way', () => {
    expect(departure('base_000000040000000000000008', 0x8000000n, 3)).toContain('does not come from')
    expect(departure('base_000000010000000000000003', 0x4000000n, 2, null)).toContain('cannot be found')
  })

  test('a name that says no timeline is believed', () => {
    expect(departure('my_backup', 0x8000000n, 3)).toBeUndefined()
  })
})

describe('pg_control of parent and cluster', () => {
  const control = { systemIdentifier: 7n, blockBytes: 8192, checksumVersion: 1 } as ControlFile

  test('must agree on checksums: switching them on rewrites every page under its old LSN', () => {
    expect(findControlObstacle(control, control)).toBeUndefined()
    expect(findControlObstacle({ ...control, checksumVersion: 0 }, control)).toContain('switched on')
    expect(findControlObstacle(control, { ...control, checksumVersion: 0 })).toContain('switched off')
    expect(findControlObstacle({ ...control, systemIdentifier: 8n }, control)).toContain('another cluster')
  })
})

describe('a directory at rest is unchanged', () => {
  const parent = parentOf('base_000000010000000000000001', 0x1000100n)
  const unchanged = (
    control: Partial<ControlFile>,
    directory: Partial<CheckedDirectory> = {},
    startLsn = parent.startLsn,
  ): boolean => {
    const checked = { isInUse: false, hasBackupLabel: false, ...directory, control }
    return isUnchanged(checked as CheckedDirectory, startLsn, parent)
  }

  test('when it begins where the parent does, and no standby has come further', () => {
    expect(unchanged({ state: 'shut down' })).toBe(true)
    expect(unchanged({ state: 'in archive recovery' }, { hasBackupLabel: true })).toBe(true)
    const standby = (minRecoveryLsn: bigint): boolean =>
      unchanged({ state: 'shut down in recovery', minRecoveryLsn: toLsn(minRecoveryLsn) })
    expect([standby(0x1000100n), standby(0x1000101n)]).toEqual([true, false])
  })

  test('never while a server runs on it, or when the parent begins elsewhere', () => {
    expect(unchanged({ state: 'shut down' }, { isInUse: true })).toBe(false)
    expect(unchanged({ state: 'shut down' }, {}, toLsn(0x1000030n))).toBe(false)
  })
})
