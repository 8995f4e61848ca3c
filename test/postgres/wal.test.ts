import { describe, expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import fc from 'fast-check'
import { toLsn } from '../../src/postgres/lsn.ts'
import { checkSegment, openSegmentChecker } from '../../src/postgres/wal/page-reader.ts'
import { findEndOfValidWal } from '../../src/postgres/wal/record.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { WalBuilder } from './wal-builder.ts'

const seed = Number(process.env['SEED'] ?? 20261122)
const never = new AbortController().signal

/** Records of any size; now and then a switch, or a record that a crash has cut and the server has overwritten. */
const script = fc.array(
  fc.oneof(
    {
      weight: 12,
      arbitrary: fc.integer({ min: 0, max: 9000 }).map(bytes => ({ kind: 'record' as const, bytes })),
    },
    {
      weight: 2,
      arbitrary: fc
        .integer({ min: 100_000, max: 3_000_000 })
        .map(bytes => ({ kind: 'record' as const, bytes })),
    },
    { weight: 1, arbitrary: fc.constant({ kind: 'switch' as const, bytes: 0 }) },
    {
      weight: 1,
      arbitrary: fc.integer({ min: 9000, max: 60_000 }).map(bytes => ({ kind: 'cut' as const, bytes })),
    },
  ),
  { minLength: 1, maxLength: 25 },
)
type Script = typeof script extends fc.Arbitrary<infer T> ? T : never

function build(steps: Script, segment = 3n): WalBuilder {
  const wal = new WalBuilder(segment)
  let filler = 1
  for (const { kind, bytes } of steps) {
    filler = (filler * 31 + 7) & 0xff
    if (kind === 'switch') wal.switchSegment()
    else wal.add(new Uint8Array(bytes).fill(filler), { isCut: kind === 'cut' })
    if (kind === 'cut') wal.overwriteContrecord()
  }
  return wal
}

async function read(wal: WalBuilder, spoil: (bytes: Uint8Array) => void = () => {}, names?: string[]) {
  using directory = tempDirectory('wal')
  const segments = wal.segments()
  const whole = new Uint8Array(segments.length * wal.segmentBytes)
  for (const [index, { bytes }] of segments.entries()) whole.set(bytes, index * wal.segmentBytes)
  spoil(whole)
  for (const [index, { name }] of segments.entries()) {
    writeFileSync(
      directory.at(name),
      whole.subarray(index * wal.segmentBytes, (index + 1) * wal.segmentBytes),
    )
  }
  return await findEndOfValidWal(directory.path, names ?? segments.map(segment => segment.name), never)
}

/** End of a record as the reader gives it: aligned, and the end of the segment after a switch. */
function aligned(lsn: bigint): bigint {
  return (lsn + 7n) & ~7n
}

describe('the end of the WAL', () => {
  test(`is the end of the last record, over pages, segments, switches and cut records (SEED=${seed})`, async () => {
    await fc.assert(
      fc.asyncProperty(script, async steps => {
        const wal = build([...steps, { kind: 'record', bytes: 10 }])
        const found = await read(wal)
        const last = wal.records.at(-1)!
        expect(found.endLsn).toBe(toLsn(aligned(last.endLsn)))
        const complete = wal
          .segments()
          .filter((_, index) => wal.firstLsn + BigInt((index + 1) * wal.segmentBytes) <= aligned(last.endLsn))
        expect(found.complete).toEqual(complete.map(segment => segment.name))
      }),
      { seed, numRuns: 60 },
    )
  }, 60_000)

  test(`is before the record in which a byte was flipped, and no segment from there on is complete (SEED=${seed})`, async () => {
    await fc.assert(
      fc.asyncProperty(script, fc.nat(), fc.nat(), async (steps, which, where) => {
        const wal = build(steps)
        const records = wal.records
        if (records.length === 0) return
        const victim = records[which % records.length]!
        const length = Number(victim.endLsn - victim.startLsn)
        const at = Number(victim.startLsn - wal.firstLsn) + (where % length)
        const inPage = at % wal.pageBytes
        if (inPage < 40) return // page headers have no checksum; only what they say is checked
        const found = await read(wal, bytes => {
          bytes[at]! ^= 0x40
        })
        expect(found.endLsn === undefined || found.endLsn <= victim.startLsn).toBe(true)
        const limit = victim.startLsn
        for (const name of found.complete) {
          const index = wal.segments().findIndex(segment => segment.name === name)
          expect(wal.firstLsn + BigInt((index + 1) * wal.segmentBytes) <= limit).toBe(true)
        }
      }),
      { seed, numRuns: 80 },
    )
  }, 60_000)

  test('a segment is not complete while the record that leaves it is not there to its end', async () => {
    const wal = new WalBuilder(1n)
    for (let index = 0; index < 100; index++) wal.add(new Uint8Array(10_000).fill(index))
    wal.add(new Uint8Array(3_000_000).fill(9))
    wal.add(new Uint8Array(100))
    const names = wal.segments().map(segment => segment.name)
    expect((await read(wal)).complete).toEqual(names.slice(0, -1))
    // the next file is looked at, though it is not asked about; the one after it is not
    expect((await read(wal, undefined, names.slice(0, -1))).complete).toEqual(names.slice(0, -1))
    const cut = await read(wal, undefined, names.slice(0, 2))
    expect(cut.complete).toEqual([])
    expect(cut.reason).toContain('not there to its end')
  })

  test('reading starts anew after a gap in the names', async () => {
    const wal = new WalBuilder(1n)
    for (let index = 0; index < 400; index++) wal.add(new Uint8Array(10_000).fill(index))
    const names = wal.segments().map(segment => segment.name)
    const found = await read(wal, undefined, [names[0]!, names[2]!, names[3]!])
    expect(found.complete).toEqual([names[0]!, names[2]!])
  })
})

describe('the check of a segment', () => {
  const wal = build([
    { kind: 'record', bytes: 2_500_000 },
    { kind: 'record', bytes: 5000 },
    { kind: 'switch', bytes: 0 },
    { kind: 'record', bytes: 100 },
  ])
  const [first, second, third, fourth] = wal.segments()
  const spoiled = (change: (bytes: Uint8Array) => Uint8Array | undefined, name = first!.name) => {
    const copy = first!.bytes.slice()
    return checkSegment(change(copy) ?? copy, name)
  }

  test('passes whole segments, switched and unfinished ones, and tells what they are', () => {
    for (const segment of [first, second, third, fourth]) {
      expect(checkSegment(segment!.bytes, segment!.name).fault).toBeUndefined()
    }
    expect(checkSegment(first!.bytes, first!.name)).toMatchObject({
      systemIdentifier: 7_300_000_000_000_000_001n,
      segmentBytes: 1 << 20,
      majorVersion: 15,
      usedBytes: 1 << 20,
    })
    expect(checkSegment(third!.bytes, third!.name).usedBytes).toBeLessThan(1 << 20)
  })

  test(`sees the same in pieces of any size (SEED=${seed})`, () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 200_000 }), { minLength: 1, maxLength: 40 }), sizes => {
        const checker = openSegmentChecker(third!.name)
        let at = 0
        for (let turn = 0; at < third!.bytes.length; turn++) {
          const count = sizes[turn % sizes.length]!
          checker.update(third!.bytes.subarray(at, at + count))
          at += count
        }
        expect(checker.end()).toEqual(checkSegment(third!.bytes, third!.name))
      }),
      { seed, numRuns: 40 },
    )
  })

  test('names every fault', () => {
    const kinds: [string | undefined, string | undefined][] = [
      [spoiled(bytes => bytes.subarray(0, 500_000)).fault?.kind, 'size'],
      [spoiled(bytes => bytes.subarray(0, 30)).fault?.kind, 'size'],
      [spoiled(() => new Uint8Array(0)).fault?.kind, 'size'],
      [spoiled(bytes => Buffer.concat([bytes, new Uint8Array(8192)])).fault?.kind, 'size'],
      [spoiled(() => new Uint8Array(1 << 20)).fault?.kind, 'header'],
      [spoiled(bytes => void bytes.fill(0, 8192, 16_384)).fault?.kind, 'gap'],
      [spoiled(bytes => void bytes.fill(0xaa, 81_921, 81_922)).fault?.kind, 'magic'],
      [spoiled(bytes => void bytes.fill(0x20, 0, 8)).fault?.kind, 'magic'],
      [spoiled(bytes => void bytes.copyWithin(81_920, 8192, 16_384)).fault?.kind, 'address'],
      [spoiled(() => undefined, second!.name).fault?.kind, 'stale'],
      [spoiled(() => second!.bytes).fault?.kind, 'address'],
      [spoiled(() => undefined, '000000010000000000001000').fault?.kind, 'address'],
      [spoiled(bytes => void bytes.fill(7, 8196, 8197)).fault?.kind, 'timeline'],
      [spoiled(bytes => void bytes.fill(1, 32, 33)).fault?.kind, 'header'],
    ]
    for (const [found, expected] of kinds) expect(found).toBe(expected)
    expect(() => openSegmentChecker('00000001.history')).toThrow('not a WAL segment name')
  })
})
