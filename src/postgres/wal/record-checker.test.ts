import { describe, expect, test } from 'bun:test'
import { WalBuilder } from '../../../test/postgres/wal-builder.ts'
import { seededRandom } from '../../../test/support/seeded-random.ts'
import { MIB, segmentName, walBytes } from '../../../test/support/wal-bytes.ts'
import { openRecordChecker } from './record-checker.ts'

/** undefined: nothing found. */
function trouble(name: string, bytes: Uint8Array, pieceBytes = bytes.length): string | undefined {
  const checker = openRecordChecker(name)
  for (let at = 0; at < bytes.length; at += pieceBytes) checker.update(bytes.subarray(at, at + pieceBytes))
  try {
    checker.end()
    return undefined
  } catch (error) {
    return (error as Error).message
  }
}

/** Three segments of records of every size; the last one is not full. */
function someWal(): ReturnType<WalBuilder['segments']> {
  const random = seededRandom('records')
  const builder = new WalBuilder(5n)
  while (builder.lsn < 7n * BigInt(MIB) + 100_000n)
    builder.add(random.bytes(random.int(random.pick([60, 900, 30_000]))))
  return builder.segments()
}

describe('the records of a segment', () => {
  const segments = someWal()

  test('pass in any pieces, whether the segment is full or its end is not written', () => {
    expect(segments.length).toBe(3)
    for (const { name, bytes } of segments) {
      for (const pieceBytes of [bytes.length, 262_144, 8192, 10_007, 4096]) {
        expect([name, pieceBytes, trouble(name, bytes, pieceBytes)]).toEqual([name, pieceBytes, undefined])
      }
    }
  })

  test('are damaged by any changed bit, but in what goes beyond the segment and in page headers', () => {
    const random = seededRandom('flips')
    const { name, bytes } = segments[1]!
    let unnoticed = 0
    for (let round = 0; round < 200; round++) {
      const changed = bytes.slice()
      const at = random.int(changed.length)
      changed[at] = changed[at]! ^ (1 << random.int(8))
      if (trouble(name, changed) === undefined) unnoticed++
    }
    // at most two records of 30,000 bytes reach out, and a header has 24 of 8192 bytes
    expect(unnoticed).toBeLessThan(30)
  })

  test('end at a switch, and go on after a record that a crash cut off', () => {
    const switched = new WalBuilder(9n)
    switched.add(new Uint8Array(100))
    switched.switchSegment()
    switched.add(new Uint8Array(100))
    const cut = new WalBuilder(12n)
    cut.add(new Uint8Array(8000))
    cut.add(new Uint8Array(500), { isCut: true })
    cut.overwriteContrecord()
    cut.add(new Uint8Array(100))
    for (const { name, bytes } of [...switched.segments(), ...cut.segments()]) {
      expect([name, trouble(name, bytes)]).toEqual([name, undefined])
    }
  })

  test('may not go on behind a place where nothing is written', () => {
    const { name, bytes } = segments[0]!
    const holed = bytes.slice()
    holed.fill(0, 40, 8192)
    expect(trouble(name, holed)).toContain('is damaged: ')
  })

  test('may all be parts of one that began before and ends later', () => {
    const name = segmentName(7)
    expect(trouble(name, walBytes(name))).toBeUndefined()
  })
})
