import { describe, expect, test } from 'bun:test'
import { firstBlockOf, isPagedFile, parseRelationFile } from './relation-file.ts'

describe('names of relation files', () => {
  test('tell tablespace, database, relation, fork and piece', () => {
    expect(parseRelationFile('/base/5/16384')).toEqual({
      tablespaceOid: 1663,
      databaseOid: 5,
      relfilenode: 16384,
      fork: 'main',
      segment: 0,
      isTemporary: false,
    })
    expect(parseRelationFile('/global/1262_fsm')).toMatchObject({
      tablespaceOid: 1664,
      databaseOid: 0,
      fork: 'fsm',
    })
    expect(parseRelationFile('/base/5/16384_vm.12')).toMatchObject({ fork: 'vm', segment: 12 })
    expect(parseRelationFile('/base/5/t3_16400')).toMatchObject({ relfilenode: 16400, isTemporary: true })
    expect(parseRelationFile('pg_tblspc/16400/PG_15_202209061/5/16401.1')).toMatchObject({
      tablespaceOid: 16400,
      databaseOid: 5,
      relfilenode: 16401,
      segment: 1,
    })
    expect(firstBlockOf(parseRelationFile('/base/5/1.3')!, 131_072)).toBe(393_216)
  })

  test('are no others', () => {
    for (const name of [
      '/base/5/PG_VERSION',
      '/base/5/pg_filenode.map',
      '/base/5/pg_internal.init',
      '/global/pg_control',
      '/base/5/0123',
      '/base/5/16384_x',
      '/base/5/16384.',
      '/base/16384',
      '/pg_xact/0000',
      '/database/5/1',
      '/x/base/5/1',
      '/pg_tblspc/16400/5/1',
    ]) {
      expect(parseRelationFile(name)).toBeUndefined()
    }
  })

  test('increments are made of whole pages of main forks of databases only', () => {
    expect(isPagedFile('/base/5/16384.2', 16_384, 8192)).toBe(true)
    expect(isPagedFile('/base/5/16384', 0, 8192)).toBe(false)
    expect(isPagedFile('/base/5/16384', 8193, 8192)).toBe(false)
    for (const name of [
      '/base/5/16384_vm',
      '/base/5/16384_init',
      '/base/5/t3_16400',
      '/global/1262',
      '/pg_xact/0000',
    ]) {
      expect(isPagedFile(name, 8192, 8192)).toBe(false)
    }
  })
})
