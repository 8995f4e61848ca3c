import { expect, test } from 'bun:test'
import type { BackupName } from './backup-name.ts'
import {
  contentManifestKey,
  filesMetadataKey,
  isLatePart,
  labelPartName,
  metadataKey,
  partExtension,
  partKey,
  partName,
  pgControlPartName,
  sentinelKey,
  walKey,
  walMetadataKey,
} from './layout.ts'

const backup = 'base_000000010000000000000002' as BackupName

test('objects have the names that the original looks for', () => {
  const folder = 'basebackups_005/base_000000010000000000000002'
  expect(sentinelKey(backup)).toBe(`${folder}_backup_stop_sentinel.json`)
  expect(metadataKey(backup)).toBe(`${folder}/metadata.json`)
  expect(filesMetadataKey(backup)).toBe(`${folder}/files_metadata.json`)
  expect(partKey(backup, partName(7, 'lz4'))).toBe(`${folder}/tar_partitions/part_007.tar.lz4`)
  expect(walKey('000000010000000000000002', 'zst')).toBe('wal_005/000000010000000000000002.zst')
  expect(walMetadataKey('00000002.history')).toBe('wal_005/00000002.history.json')
})

test('our manifest lies beside the parts, not among them', () => {
  expect(contentManifestKey(backup, 'lz4')).toBe(
    'basebackups_005/base_000000010000000000000002/content_manifest.jsonl.lz4',
  )
})

test('without compression there is neither extension nor dot', () => {
  expect([partName(1, ''), pgControlPartName(''), labelPartName(''), walKey('x', '')]).toEqual([
    'part_001.tar',
    'pg_control.tar',
    'backup_label.tar',
    'wal_005/x',
  ])
})

test('part numbers grow beyond three digits', () => {
  expect(partName(12345, 'br')).toBe('part_12345.tar.br')
})

test('pg_control and labels are late parts in every form that is stored', () => {
  for (const name of ['pg_control.tar.lz4', 'pg_control.tar', 'pg_control.tar.', 'backup_label.tar.br']) {
    expect(isLatePart(name)).toBe(true)
  }
  for (const name of ['part_001.tar.lz4', 'pg_control.txt', 'pg_control.tar_']) {
    expect(isLatePart(name)).toBe(false)
  }
})

test('the extension of a part tells its compression', () => {
  expect(partExtension('part_001.tar.lz4')).toBe('lz4')
  expect(partExtension('part_001.tar.')).toBe('')
  expect(partExtension('part_001.tar')).toBe('')
  expect(partExtension('note.txt')).toBeUndefined()
})
