import { expect, test } from 'bun:test'
import { mkdirSync, writeFileSync } from 'node:fs'
import { tempDirectory } from '../../../test/support/temp-directory.ts'
import { DataEntryColumns } from '../../postgres/walk/data-entries.ts'
import { findTornTwoPhase } from './torn-two-phase.ts'

test('a state file of a prepared transaction that is not as long as it says is left out; whole ones and those that are gone are not', () => {
  using place = tempDirectory('two-phase')
  mkdirSync(place.at('pg_twophase'))
  const entries = new DataEntryColumns()
  entries.addPlace(place.at('pg_twophase'), '/pg_twophase')
  const add = (name: string, content: Uint8Array | undefined, sizeBytes = content?.length ?? 0): void => {
    if (content !== undefined) writeFileSync(place.at('pg_twophase', name), content)
    const attributes = { sizeBytes, mode: 0o600, uid: 0, gid: 0, mtimeNs: 1n, ctimeNs: 1n }
    entries.add(0, name, { kind: 'file', ...attributes })
  }
  const whole = Buffer.alloc(96)
  whole.writeUInt32LE(0x57f94534, 0)
  whole.writeUInt32LE(whole.length, 4)
  add('000004EA', whole)
  add('00000000000004EB', whole)
  add('00000000000004EC', whole.subarray(0, 92)) // its CRC is to come
  add('000004ED', new Uint8Array(0))
  add('000004EE', whole.subarray(0, 6))
  add('000004EF', undefined)
  add('000004F0', whole, 0) // written since the walk, which would pack nothing of it
  add('notes', new Uint8Array(0))
  const found = [...findTornTwoPhase(entries)].map(index => entries.baseName(index))
  expect(found).toEqual(['00000000000004EC', '000004ED', '000004EE', '000004F0'])
})
