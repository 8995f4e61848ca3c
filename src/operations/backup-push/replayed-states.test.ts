import { expect, test } from 'bun:test'
import { mkdirSync, writeFileSync } from 'node:fs'
import { type TempDirectory, tempDirectory } from '../../../test/support/temp-directory.ts'
import { DataEntryColumns } from '../../postgres/walk/data-entries.ts'
import { findReplayedStates } from './replayed-states.ts'

const EPOCH = 1n << 32n

function wholeState(): Buffer {
  const whole = Buffer.alloc(96)
  whole.writeUInt32LE(0x57f94534, 0)
  whole.writeUInt32LE(whole.length, 4)
  return whole
}

class Walk {
  readonly entries = new DataEntryColumns()
  readonly #place: TempDirectory

  constructor(place: TempDirectory) {
    this.#place = place
    mkdirSync(place.at('pg_twophase'))
    this.entries.addPlace(place.at('pg_twophase'), '/pg_twophase')
  }

  add(name: string, content: Uint8Array | undefined, sizeBytes = content?.length ?? 0): void {
    if (content !== undefined) writeFileSync(this.#place.at('pg_twophase', name), content)
    const attributes = { sizeBytes, mode: 0o600, uid: 0, gid: 0, mtimeNs: 1n, ctimeNs: 1n }
    this.entries.add(0, name, { kind: 'file', ...attributes })
  }

  found(nextXid: bigint): string[] {
    return [...findReplayedStates(this.entries, nextXid)].map(index => this.entries.baseName(index))
  }
}

test('a state file of a prepared transaction that is not as long as it says is left out; whole ones and those that are gone are not', () => {
  using place = tempDirectory('two-phase')
  const walk = new Walk(place)
  const whole = wholeState()
  walk.add('000004EA', whole)
  walk.add('00000000000004EB', whole)
  walk.add('00000000000004EC', whole.subarray(0, 92)) // its CRC is to come
  walk.add('000004ED', new Uint8Array(0))
  walk.add('000004EE', whole.subarray(0, 6))
  walk.add('000004EF', undefined)
  walk.add('000004F0', whole, 0) // written since the walk, which would pack nothing of it
  walk.add('notes', new Uint8Array(0))
  expect(walk.found(0x500n)).toEqual(['00000000000004EC', '000004ED', '000004EE', '000004F0'])
})

test('a state file of a transaction later than the checkpoint of the start is left out', () => {
  using place = tempDirectory('two-phase')
  const walk = new Walk(place)
  for (const name of ['00000001000004EA', '00000001000004EB', '0000000100000500', 'FFFFFFFF', '000004EB']) {
    walk.add(name, wholeState())
  }
  expect(walk.found(EPOCH + 0x4ebn)).toEqual(['00000001000004EB', '0000000100000500', '000004EB'])
  expect(walk.found(EPOCH + 0x501n)).toEqual([])
})
