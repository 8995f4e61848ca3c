import { describe, expect, test } from 'bun:test'
import type { ControlFile } from '../../../postgres/control-file.ts'
import { toLsn } from '../../../postgres/lsn.ts'
import { parseTimelineHistory } from '../../../postgres/timeline-history.ts'
import { toTimelineId } from '../../../postgres/wal-segment.ts'
import { toBackupName } from '../../../repository/backup-name.ts'
import type { ParentBackup } from './choose-parent.ts'
import { findControlObstacle, findDeparture } from './parent-guards.ts'

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
