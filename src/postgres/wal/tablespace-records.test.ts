import { expect, test } from 'bun:test'
import { readFileSync, writeFileSync } from 'node:fs'
import fc from 'fast-check'
import { WalBuilder } from '../../../test/postgres/wal-builder.ts'
import { seed } from '../../../test/support/seeded-random.ts'
import { tempDirectory } from '../../../test/support/temp-directory.ts'
import { openRecordChecker } from './record-checker.ts'
import { readTablespaceCreations, relocateCreation } from './tablespace-records.ts'

const RMGR_TABLESPACE = 5

function creation(oid: number, location: string): Uint8Array {
  const text = new TextEncoder().encode(`${location}\0`)
  const bytes = new Uint8Array(9 + text.length)
  const view = new DataView(bytes.buffer)
  bytes[0] = 254
  view.setUint32(1, 4 + text.length, true)
  view.setUint32(5, oid, true)
  bytes.set(text, 9)
  return bytes
}

test('tablespaces are found wherever their records lie, and moved into the data directory without hurting a record', () => {
  using place = tempDirectory('tablespace-records')
  const location = fc.stringMatching(/^\/[a-z/]{1,700}$/)
  fc.assert(
    fc.property(fc.array(fc.tuple(location, fc.integer({ min: 1, max: 9000 })), { maxLength: 12 }), made => {
      const wal = new WalBuilder(3n)
      for (const [index, [text, fillBytes]] of made.entries()) {
        wal.add(new Uint8Array(fillBytes))
        wal.add(creation(20_000 + index, text), { rmgr: RMGR_TABLESPACE, info: 0x00 })
      }
      wal.add(creation(1, '/dropped'), { rmgr: RMGR_TABLESPACE, info: 0x10 })
      const [segment] = wal.segments()
      const path = place.at('segment')
      writeFileSync(path, segment!.bytes)
      const found = readTablespaceCreations(path, segment!.name)!
      expect(found.creations.map(each => [each.oid, each.location])).toEqual(
        made.map(([text], index) => [20_000 + index, text]),
      )
      for (const each of found.creations) relocateCreation(path, found.header, each)
      const moved = readTablespaceCreations(path, segment!.name)!
      expect(moved.creations.map(each => [each.oid, each.location])).toEqual(
        made.map((_, index) => [20_000 + index, '']),
      )
      const checker = openRecordChecker(segment!.name)
      checker.update(readFileSync(path))
      checker.end()
    }),
    { seed, numRuns: 60 },
  )
})

test('a record that leaves its segment is refused: where the tablespace lies stands in the next one', () => {
  using place = tempDirectory('tablespace-records')
  const wal = new WalBuilder(3n)
  const first = wal.segments()[0]!
  const record = creation(20_000, `/${'x'.repeat(900)}`)
  while (Number(wal.lsn % BigInt(first.bytes.length)) < first.bytes.length - 9000)
    wal.add(new Uint8Array(4000))
  for (;;) {
    const left = first.bytes.length - Number(wal.lsn % BigInt(first.bytes.length))
    if (left < 600) break
    wal.add(new Uint8Array(Math.min(4000, left - 400)))
  }
  wal.add(record, { rmgr: RMGR_TABLESPACE, info: 0x00 })
  const path = place.at('segment')
  writeFileSync(path, wal.segments()[0]!.bytes)
  expect(() => readTablespaceCreations(path, wal.segments()[0]!.name)).toThrow('leaves WAL segment')
})
