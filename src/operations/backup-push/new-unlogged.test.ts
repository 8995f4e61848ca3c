import { expect, test } from 'bun:test'
import { mkdirSync, utimesSync, writeFileSync } from 'node:fs'
import { tempDirectory } from '../../../test/support/temp-directory.ts'
import { DataEntryColumns } from '../../postgres/walk/data-entries.ts'
import { findNewUnlogged } from './new-unlogged.ts'

test('a main fork that was made since is left out when it has an init fork that the walk did not see', () => {
  using place = tempDirectory('new-unlogged')
  mkdirSync(place.at('base/5'), { recursive: true })
  const entries = new DataEntryColumns()
  entries.addPlace(place.at('base/5'), '/base/5')
  const begunNs = 1000n
  const add = (name: string, ctimeNs: bigint): void => {
    const attributes = { sizeBytes: 0, mode: 0o600, uid: 0, gid: 0, mtimeNs: ctimeNs, ctimeNs }
    entries.add(0, name, { kind: 'file', ...attributes })
  }
  const names = ['16384', '16384.1', '16384_fsm', '16390', '16396', 't3_16384', 'PG_VERSION']
  for (const name of names) add(name, begunNs)
  add('16399', begunNs - 1n)
  // both were seen: recovery knows what to do
  for (const name of ['16402', '16402_init']) add(name, begunNs)
  for (const name of [
    '16384_init',
    '16396_init',
    '16399_init',
    '16402_init',
    't3_16384_init',
    'PG_VERSION_init',
  ]) {
    writeFileSync(place.at('base/5', name), '')
    utimesSync(place.at('base/5', name), 0, 0)
  }
  const found = [...findNewUnlogged(entries, begunNs)].map(index => entries.baseName(index))
  expect(found).toEqual(['16384', '16384.1', '16396'])
})
