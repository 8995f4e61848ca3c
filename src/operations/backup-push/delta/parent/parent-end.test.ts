import { describe, expect, test } from 'bun:test'
import { mkdirSync, utimesSync, writeFileSync } from 'node:fs'
import {
  BACKUP_END,
  backupEnd,
  CHECKPOINT_ONLINE,
  checkpointBody,
  WalBuilder,
} from '../../../../../test/postgres/wal-builder.ts'
import { operationContext } from '../../../../../test/support/operation-context.ts'
import { type TempDirectory, tempDirectory } from '../../../../../test/support/temp-directory.ts'
import { parseTimestamp } from '../../../../kit/timestamp.ts'
import type { ClusterState, ControlFile } from '../../../../postgres/control-file.ts'
import { formatLsn, toLsn } from '../../../../postgres/lsn.ts'
import { toTimelineId } from '../../../../postgres/wal-segment.ts'
import { toBackupName } from '../../../../repository/backup-name.ts'
import type { BackupSource } from '../../source/backup-source.ts'
import type { CheckedDirectory } from '../../source/data-directory-check.ts'
import type { ParentBackup } from './choose-parent.ts'
import { findRollback, judgeParentCheckpoint, judgeParentEnd, type ParentEnd } from './parent-end.ts'

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

  test('of a standby may lie where a switch has left the rest of a segment empty, that of a primary never does', () => {
    for (const state of ['in archive recovery', 'shut down in recovery'] as const)
      expect(judged({ kind: 'switched' }, state)).toBe('reached')
    for (const state of ['in production', 'shut down'] as const)
      expect(judged({ kind: 'switched' }, state)).toBe('rolled back')
  })

  test('was not reached where other WAL lies', () => {
    expect(judged({ kind: 'between' })).toBe('rolled back')
  })

  test('is not known without the segment', () => {
    expect(judged({ kind: 'missing' })).toBe('unknown')
    expect(judged({ kind: 'unreadable', reason: '' })).toBe('unknown')
  })
})

describe('the checkpoint of a parent', () => {
  const expected = { redoLsn: START, timeSeconds: 1_700_000_000n }
  const at = (redoLsn: bigint, timeSeconds: bigint): string =>
    judgeParentCheckpoint(expected, {
      kind: 'checkpoint',
      checkpoint: { redoLsn: toLsn(redoLsn), timeSeconds },
    })

  test('is the one of that moment', () => {
    expect(at(START, 1_700_000_000n)).toBe('reached')
    expect(at(START, 1_700_000_001n)).toBe('rolled back')
    expect(at(START + 8n, 1_700_000_000n)).toBe('rolled back')
    expect(judgeParentCheckpoint(expected, { kind: 'other' })).toBe('rolled back')
    expect(judgeParentCheckpoint(expected, { kind: 'settled' })).toBe('reached')
    expect(judgeParentCheckpoint(expected, { kind: 'missing' })).toBe('unknown')
    expect(judgeParentCheckpoint(expected, { kind: 'unreadable', reason: '' })).toBe('unknown')
  })
})

describe('where the end of a parent is looked for', () => {
  const startLsn = toLsn(0x300028n)
  const wal = new WalBuilder(3n)
  const checkpointLsn = toLsn(wal.lsn)
  wal.add(checkpointBody(startLsn, 1_700_000_000n), CHECKPOINT_ONLINE)
  wal.add(backupEnd(startLsn), BACKUP_END)
  const finishLsn = toLsn((wal.lsn + 7n) & ~7n)
  wal.add(new Uint8Array(100))
  const { name, bytes } = wal.segments()[0]!
  const other = new WalBuilder(3n)
  other.add(new Uint8Array(300))
  const abandoned = other.segments()[0]!.bytes
  const twin = new WalBuilder(3n)
  twin.add(checkpointBody(startLsn, 1_700_000_009n), CHECKPOINT_ONLINE)
  twin.add(backupEnd(startLsn), BACKUP_END)
  twin.add(new Uint8Array(100))
  const sameEnd = twin.segments()[0]!.bytes

  const found = async (
    lay: (place: TempDirectory) => void,
    isArchiving: boolean | undefined = true,
    hasLater = true,
  ): Promise<string | undefined> => {
    using place = tempDirectory('parent-end')
    mkdirSync(place.at('data', 'pg_wal'), { recursive: true })
    // of a backup of another program, say
    if (hasLater) {
      const text = 'STOP WAL LOCATION: 0/8000150 (file 000000010000000000000008)\n'
      writeFileSync(place.at('data', 'pg_wal', '000000010000000000000008.00000028.backup'), text)
    }
    mkdirSync(place.at('repository', 'wal_005'), { recursive: true })
    mkdirSync(place.at('repository', 'basebackups_005'))
    const parent = toBackupName('base_000000010000000000000003')
    const sentinel = place.at('repository', 'basebackups_005', `${parent}_backup_stop_sentinel.json`)
    writeFileSync(sentinel, '{}')
    utimesSync(sentinel, 1_000_000, 1_000_000)
    lay(place)
    const context = await operationContext(place.at('repository'))
    const control = {
      walSegmentBytes: wal.segmentBytes,
      walBlockBytes: wal.pageBytes,
      systemIdentifier: 7_300_000_000_000_000_001n,
    } as ControlFile
    const { reason, isProved } = await findRollback(
      context,
      { root: place.at('data'), control } as CheckedDirectory,
      { timeline: toTimelineId(1), isArchiving, startWalFile: '000000010000000000000009' } as BackupSource,
      {
        name: parent,
        startLsn,
        chain: [
          { document: { sentinel: { finishLsn, finishTime: parseTimestamp('1970-01-12T13:46:40Z') } } },
        ],
      } as unknown as ParentBackup,
      { state: 'in production', checkpointLsn, redoLsn: startLsn, checkpointTimeSeconds: 1_700_000_000n },
    )
    await context.storage.close()
    expect(isProved).toBe(context.messages.length === 0)
    return reason ?? context.messages[0]
  }
  const putLocal = (place: TempDirectory, content: Uint8Array): void =>
    writeFileSync(place.at('data', 'pg_wal', name), content)
  const archive = (place: TempDirectory, content: Uint8Array, seconds: number): void => {
    const file = place.at('repository', 'wal_005', name)
    writeFileSync(file, content)
    utimesSync(file, seconds, seconds)
  }

  test('in pg_wal, whatever the archive has', async () => {
    expect(await found(place => putLocal(place, bytes))).toBeUndefined()
    const both = (place: TempDirectory): void => {
      archive(place, bytes, 999_999)
      putLocal(place, abandoned)
    }
    expect(await found(both)).toContain(`does not have its end at ${formatLsn(finishLsn)}`)
  })

  test('in the archive, which is read when it has got the segment later', async () => {
    expect(await found(place => archive(place, abandoned, 999_999))).toBeUndefined()
    expect(await found(place => archive(place, abandoned, 1_000_001))).toContain('does not have its end')
    expect(await found(place => archive(place, bytes, 1_000_001))).toBeUndefined()
  })

  test('in the archive when pg_wal cannot be read, or has another segment in that file', async () => {
    const unreadable = (place: TempDirectory): void => mkdirSync(place.at('data', 'pg_wal', name))
    const recycled = (place: TempDirectory): void => putLocal(place, new WalBuilder(2n).segments()[0]!.bytes)
    for (const lay of [unreadable, recycled]) {
      const both = (place: TempDirectory): void => {
        lay(place)
        archive(place, abandoned, 1_000_001)
      }
      expect(await found(both)).toContain('does not have its end')
      expect(await found(lay)).toMatch(/^WARNING: whether .* cannot be checked/)
    }
  })

  test('with the checkpoint of that moment: a later history may end a backup at the same place', async () => {
    expect(await found(place => putLocal(place, sameEnd))).toContain('does not have its end at')
    expect(await found(place => archive(place, sameEnd, 1_000_001))).toContain('does not have its end at')
  })

  test('only in the archive of a server that archives nothing now: that is said, unless the archive knows more', async () => {
    expect(await found(place => archive(place, bytes, 999_999), false)).toMatch(
      /^WARNING: whether .*only the archive has it, and the server archives nothing now/,
    )
    expect(await found(place => putLocal(place, bytes), false)).toBeUndefined()
    const abandonedLater = (place: TempDirectory): void => {
      archive(place, bytes, 999_999)
      writeFileSync(place.at('repository', 'wal_005', '000000010000000000000009.lz4'), 'something')
    }
    expect(await found(abandonedLater, false)).toMatch(/^the archive has WAL segment \d{23}9 already/)
    // of a server at rest and of a standby it may be
    expect(await found(abandonedLater, undefined)).toBeUndefined()
    expect(await found(abandonedLater, true)).toBeUndefined()
  })

  test('nowhere, and pg_wal has no record of the end either: an older state was brought back', async () => {
    expect(await found(() => {}, true, false)).toContain('pg_wal does not have the record of its end')
    const own = (place: TempDirectory): void => {
      const text = `STOP WAL LOCATION: ${formatLsn(finishLsn)} (file ${name})\n`
      const file = place.at('data', 'pg_wal', `${name}.00000028.backup`)
      writeFileSync(file, text)
      utimesSync(file, 999_999, 999_999)
    }
    expect(await found(own)).toBeUndefined()
    expect(await found(own, false)).toBeUndefined()
  })

  test('nowhere, when nobody has it, or it is damaged: that is said', async () => {
    expect(await found(() => {})).toMatch(/^WARNING: whether .*neither in pg_wal nor in the archive/)
    const cut = (place: TempDirectory): void => archive(place, bytes.subarray(0, 30), 1_000_001)
    expect(await found(cut)).toMatch(/^WARNING: whether .* cannot be checked .*does not begin like/)
  })
})
