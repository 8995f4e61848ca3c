import { expect, test } from 'bun:test'
import { mkdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tempDirectory } from '../../../../../test/support/temp-directory.ts'
import { parseTimestamp } from '../../../../kit/timestamp.ts'
import type { ClusterState, ControlFile } from '../../../../postgres/control-file.ts'
import { toLsn } from '../../../../postgres/lsn.ts'
import { toTimelineId } from '../../../../postgres/wal-segment.ts'
import type { CheckedDirectory } from '../../source/data-directory-check.ts'
import type { ParentBackup } from './choose-parent.ts'
import { findStopRecord } from './stop-record.ts'

const FINISHED_SECONDS = 1_700_000_000
const OWN = '000000010000000000000003.00000028.backup'
const OTHER_BEFORE = '000000010000000000000002.00000028.backup'
const LATER = '000000010000000000000004.00000028.backup'

interface Asked {
  readonly files: Readonly<Record<string, string>>
  readonly isArchiving?: boolean | undefined
  readonly state?: ClusterState
  readonly timeline?: number
  readonly writtenSeconds?: number
}

const stopAt = (lsn: string): string =>
  `START WAL LOCATION: 0/3000028 (file 000000010000000000000003)\nSTOP WAL LOCATION: ${lsn} (file 000000010000000000000003)\n`

function asked({ files, state = 'in production', timeline = 1, writtenSeconds, ...more }: Asked): string {
  using place = tempDirectory('stop-record')
  mkdirSync(place.at('pg_wal'))
  for (const [name, text] of Object.entries(files)) {
    const file = place.at('pg_wal', name)
    writeFileSync(file, text)
    const seconds = writtenSeconds ?? FINISHED_SECONDS
    utimesSync(file, seconds, seconds)
  }
  const sentinel = {
    finishLsn: toLsn(0x3000150n),
    finishTime: parseTimestamp(new Date(FINISHED_SECONDS * 1000).toISOString()),
  }
  const parent = {
    name: 'base_000000010000000000000003',
    startLsn: toLsn(0x3000028n),
    chain: [{ document: { sentinel } }],
  } as unknown as ParentBackup
  const control = { walSegmentBytes: 16 << 20 } as ControlFile
  const isArchiving = 'isArchiving' in more ? more.isArchiving : true
  if (files['no pg_wal'] !== undefined) rmSync(place.at('pg_wal'), { recursive: true })
  return findStopRecord(
    { root: place.path, control } as CheckedDirectory,
    { isArchiving, timeline: toTimelineId(timeline) },
    parent,
    { state },
  )
}

test('the record of the parent in pg_wal proves that the cluster has been there, archiving or not', () => {
  const files = { [OWN]: stopAt('0/3000150'), '000000010000000000000009': '' }
  expect(asked({ files })).toBe('own')
  expect(asked({ files, isArchiving: false })).toBe('own')
  expect(asked({ files, isArchiving: undefined })).toBe('own')
})

test('a backup that began at the same place, and ended elsewhere, is another one; so may be one that ended later', () => {
  expect(asked({ files: { [OWN]: stopAt('0/3000180') } })).toBe('gone')
  expect(asked({ files: { [OWN]: stopAt('0/3000150') }, writtenSeconds: FINISHED_SECONDS + 60 })).toBe(
    'unknown',
  )
  expect(asked({ files: { [OWN]: 'no such line' } })).toBe('unknown')
})

test('that neither it nor a later one is there tells of a rollback, on a primary that archives', () => {
  for (const files of [{}, { [OTHER_BEFORE]: stopAt('0/2000150') }]) {
    expect(asked({ files })).toBe('gone')
    expect(asked({ files, isArchiving: false })).toBe('unknown')
    expect(asked({ files, isArchiving: undefined })).toBe('unknown')
  }
  expect(asked({ files: { [LATER]: stopAt('0/4000150') } })).toBe('unknown')
  // one that began before, and ended behind it
  expect(asked({ files: { [OTHER_BEFORE]: stopAt('0/4000150') } })).toBe('unknown')
  expect(asked({ files: { [OTHER_BEFORE]: 'no such line' } })).toBe('unknown')
})

test('nothing is known of a parent of a standby or a server at rest, of another timeline, or when pg_wal cannot be read', () => {
  expect(asked({ files: {}, state: 'in archive recovery' })).toBe('unknown')
  expect(asked({ files: {}, state: 'shut down' })).toBe('unknown')
  expect(asked({ files: {}, timeline: 2 })).toBe('unknown')
  expect(asked({ files: { 'no pg_wal': '' } })).toBe('unknown')
})
