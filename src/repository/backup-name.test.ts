import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { seed } from '../../test/support/seeded-random.ts'
import {
  type BackupName,
  formatBackupName,
  parseBackupName,
  toBackupName,
  walFileOfName,
} from './backup-name.ts'

const hex = fc.string({ unit: fc.constantFrom(...'0123456789ABCDEF'), minLength: 24, maxLength: 24 })

test('a name tells its WAL file, its timeline and its parent', () => {
  expect(parseBackupName('base_0000000200000000000000A4_D_000000010000000000000002')).toEqual({
    walFile: '0000000200000000000000A4',
    timeline: 2 as never,
    parentWalFile: '000000010000000000000002',
  })
})

test('WAL-E names carry an offset', () => {
  expect(parseBackupName('base_000000010000000000000002_00000040')).toMatchObject({ offset: '00000040' })
})

test.each([
  'base_00000001000000000000000a',
  'base_00000001000000000000000',
  'base_000000010000000000000002_D_x',
  'Base_000000010000000000000002',
  'LATEST',
  '',
])('%p does not follow the scheme', name => {
  expect(parseBackupName(name)).toBeUndefined()
})

test('the parent part is the first WAL file of the name of the parent, also of a delta', () => {
  const first = formatBackupName('000000010000000000000004', 'base_000000010000000000000002' as BackupName)
  const second = formatBackupName('000000010000000000000006', first)
  expect(second).toBe('base_000000010000000000000006_D_000000010000000000000004' as BackupName)
})

test('every name that is formatted is parsed back', () => {
  fc.assert(
    fc.property(hex, fc.option(hex), (walFile, parent) => {
      const parentName = parent === null ? undefined : formatBackupName(parent)
      const parts = parseBackupName(formatBackupName(walFile, parentName))
      expect(parts?.walFile).toBe(walFile)
      expect(parts?.parentWalFile).toBe(parent ?? undefined)
      expect(parts?.timeline).toBe(Number.parseInt(walFile.slice(0, 8), 16) as never)
    }),
    { seed },
  )
})

test('a foreign name has the WAL file of 24 times Z', () => {
  expect(walFileOfName('nightly')).toBe('ZZZZZZZZZZZZZZZZZZZZZZZZ')
})

test.each(['', '.', '..', 'a/b', 'a\0b'])('%p is refused as the name of a backup', text => {
  expect(() => toBackupName(text)).toThrow(expect.objectContaining({ code: 'USAGE' }))
})

test('a WAL file in lower case is refused', () => {
  expect(() => formatBackupName('00000001000000000000000a')).toThrow()
})
