import { afterAll, expect, test } from 'bun:test'
import { existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MemberTable } from '../plan/member-table.ts'
import { removeDropped } from './remove-dropped.ts'

const folder = mkdtempSync(join(tmpdir(), 'remove-dropped-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

test('relations that the list does not have go, and nothing else', () => {
  const root = join(folder, 'data')
  const place = join(folder, 'space')
  const make = (name: string): void => {
    mkdirSync(join(root, name, '..'), { recursive: true })
    writeFileSync(join(root, name), 'x')
  }
  mkdirSync(join(root, 'pg_tblspc'), { recursive: true })
  mkdirSync(place)
  symlinkSync(place, join(root, 'pg_tblspc/16400'))
  const kept = ['base/5/16384', 'base/5/PG_VERSION', 'pg_tblspc/16400/PG_15_1/5/16401', 'base/5/16384_vm']
  const gone = [
    'base/5/16384.1',
    'base/5/16390_fsm',
    'base/9/16384',
    'base/9/PG_VERSION',
    'base/9/pg_filenode.map',
    'pg_tblspc/16400/PG_15_1/5/16402',
  ]
  const foreign = [
    'base/5/notes.txt',
    'global/16500',
    'pg_wal/000000010000000000000001',
    'standby.signal',
    'base/pgsql_tmp/pgsql_tmp1.0',
  ]
  for (const name of [...kept, ...gone, ...foreign]) make(name)
  const table = new MemberTable()
  for (const name of [...kept, 'base/5']) table.add(name)
  expect(removeDropped(root, table)).toBe(gone.length)
  expect([...kept, ...foreign].filter(name => !existsSync(join(root, name)))).toEqual([])
  expect(gone.filter(name => existsSync(join(root, name)))).toEqual([])
  expect(existsSync(join(root, 'base/9'))).toBe(false)
})
