import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { type BackupLabel, formatBackupLabel, parseBackupLabel } from './backup-label.ts'
import { toLsn } from './lsn.ts'
import { toTimelineId } from './wal-segment.ts'

const seed = Number(process.env['SEED'] ?? 20261122)
const text = `START WAL LOCATION: 0/4000028 (file 000000010000000000000004)
CHECKPOINT LOCATION: 0/4000060
BACKUP METHOD: streamed
BACKUP FROM: primary
START TIME: 2026-11-22 11:35:45 UTC
LABEL: 2026-11-22 11:35:45.614681 +0000 UTC m=+0.090602962
START TIMELINE: 1
`

describe('backup_label', () => {
  test('is read as PostgreSQL writes it, and written back to the byte', () => {
    const label = parseBackupLabel(text)
    expect(label).toEqual({
      startLsn: toLsn(0x4000028n),
      startWalFile: '000000010000000000000004',
      checkpointLsn: toLsn(0x4000060n),
      backupMethod: 'streamed',
      backupFrom: 'primary',
      startTimeText: '2026-11-22 11:35:45 UTC',
      label: '2026-11-22 11:35:45.614681 +0000 UTC m=+0.090602962',
      startTimeline: toTimelineId(1),
      incrementalFromLsn: undefined,
      incrementalFromTimeline: undefined,
    })
    expect(formatBackupLabel(label)).toBe(text)
  })

  test(`survives any values (SEED=${seed})`, () => {
    const lsn = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }).map(toLsn)
    const word = fc.stringMatching(/^[\x20-\x7e]*$/)
    const timeline = fc.option(fc.integer({ min: 1, max: 0xffffffff }).map(toTimelineId), { nil: undefined })
    const anyLabel: fc.Arbitrary<BackupLabel> = fc
      .record({
        startLsn: lsn,
        startWalFile: fc.stringMatching(/^[0-9A-F]{24}$/),
        checkpointLsn: lsn,
        backupMethod: word,
        backupFrom: word,
        startTimeText: word,
        label: word,
        startTimeline: timeline,
        incrementalFromLsn: fc.option(lsn, { nil: undefined }),
        incrementalFromTimeline: timeline,
      })
      // the timeline of the parent is only written beside its LSN
      .map(label =>
        label.incrementalFromLsn === undefined ? { ...label, incrementalFromTimeline: undefined } : label,
      )
    fc.assert(
      fc.property(anyLabel, label => expect(parseBackupLabel(formatBackupLabel(label))).toEqual(label)),
      { seed, numRuns: 200 },
    )
  })

  test('that lacks its places or garbles them is refused, naming the line', () => {
    expect(() => parseBackupLabel('')).toThrow('START WAL LOCATION')
    expect(() => parseBackupLabel(text.replace('(file 0', '(file x'))).toThrow('START WAL LOCATION')
    expect(() => parseBackupLabel(text.replace(/CHECKPOINT.*\n/, ''))).toThrow('CHECKPOINT LOCATION')
    expect(() => parseBackupLabel(text.replace('TIMELINE: 1', 'TIMELINE: one'))).toThrow('START TIMELINE')
  })
})
