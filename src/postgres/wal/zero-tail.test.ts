import { describe, expect, test } from 'bun:test'
import { WalBuilder } from '../../../test/postgres/wal-builder.ts'
import { checkSegment } from './page-reader.ts'
import { endsInZeros } from './segment-tail.ts'
import { judgeZeroTail } from './zero-tail.ts'

/** The segment's end as it is judged: `written` when it does not end in zeros. */
function judged({ name, bytes }: { name: string; bytes: Uint8Array }): unknown {
  const report = checkSegment(bytes, name)
  expect(report.fault).toBeUndefined()
  const read = (into: Uint8Array, from: number): void => into.set(bytes.subarray(from, from + into.length))
  return endsInZeros(report, read) ? judgeZeroTail(report, read) : 'written'
}

function someWal(untilBytes: number, bodyBytes = 300): WalBuilder {
  const wal = new WalBuilder(3n)
  while (wal.lsn < wal.firstLsn + BigInt(untilBytes)) wal.add(new Uint8Array(bodyBytes).fill(7))
  return wal
}

/** WAL whose segment has so many bytes left. */
function filledTo(freeBytes: number): WalBuilder {
  const wal = someWal((1 << 20) - 8000)
  const at = Number(((wal.lsn + 7n) & ~7n) - wal.firstLsn)
  wal.add(new Uint8Array((1 << 20) - at - freeBytes - 24).fill(7))
  return wal
}

/** `carried`: number of the segment, from 0, that the switch ends. */
function carriedSwitch(freeBytes: number): { wal: WalBuilder; carried: number } {
  const wal = filledTo(freeBytes)
  wal.switchSegment()
  return { wal, carried: freeBytes < 24 ? 1 : 0 }
}

describe('a segment with zeros at its end', () => {
  test('is finished behind a switch, wherever in its page that lies', () => {
    for (let freeBytes = 8; freeBytes <= 64; freeBytes += 8) {
      const wal = new WalBuilder(3n)
      wal.add(new Uint8Array(3 * 8192 - 40 - 2 * 24 - 24 - freeBytes).fill(7))
      expect(wal.lsn % 8192n).toBe(BigInt(8192 - freeBytes))
      wal.switchSegment()
      expect([freeBytes, judged(wal.segments()[0]!)]).toEqual([freeBytes, undefined])
    }
  })

  test('is finished when the switch began in the segment before, which had no room for all of it', () => {
    for (const freeBytes of [8, 16, 24]) {
      const { wal, carried } = carriedSwitch(freeBytes)
      wal.add(new Uint8Array(300).fill(7))
      expect([
        freeBytes,
        ...wal
          .segments()
          .slice(0, carried + 1)
          .map(judged),
      ]).toEqual([freeBytes, 'written', ...Array.from({ length: carried }, () => undefined)])
    }
  })

  test('is unfinished behind the end of another record that began in the segment before', () => {
    for (const [rmgr, info] of [
      [0, 0x50],
      [10, 0x40],
    ] as const) {
      const wal = filledTo(16)
      wal.add(new Uint8Array(0), { rmgr, info })
      expect(judged(wal.segments()[1]!)).toMatchObject({ isUnfinished: true })
    }
    const more = filledTo(16)
    more.add(new Uint8Array(0), { rmgr: 0, info: 0x40 })
    more.add(new Uint8Array(300).fill(7))
    expect(judged(more.segments()[1]!)).toMatchObject({ isUnfinished: true })
  })

  test('also when the switch is all there is, in the last page, or behind a record that fills many pages', () => {
    const first = new WalBuilder(3n)
    first.switchSegment()
    expect(judged(first.segments()[0]!)).toBeUndefined()
    const long = new WalBuilder(3n)
    long.add(new Uint8Array(100_000).fill(7))
    long.switchSegment()
    expect(judged(long.segments()[0]!)).toBeUndefined()
    const last = someWal((1 << 20) - 3000)
    last.switchSegment()
    expect(judged(last.segments()[0]!)).toBeUndefined()
  })

  test('is unfinished behind any other record, in the middle of a page, at its end, and in the last page', () => {
    const middle = someWal(300_000)
    expect(judged(middle.segments()[0]!)).toMatchObject({
      isUnfinished: true,
      soundBytes: Number(((middle.lsn + 7n) & ~7n) - middle.firstLsn),
      message: expect.stringMatching(/^is written up to byte \d+ only \(LSN 0\/\w+\), zeros follow$/),
    })
    const full = new WalBuilder(3n)
    full.add(new Uint8Array(8192 - 40 - 24).fill(7))
    expect(full.lsn % 8192n).toBe(0n)
    expect(judged(full.segments()[0]!)).toMatchObject({ isUnfinished: true, soundBytes: 8192 })
    expect(judged(someWal((1 << 20) - 3000).segments()[0]!)).toMatchObject({ isUnfinished: true })
  })

  test('is unfinished where the last record is cut', () => {
    const cut = someWal(300_000)
    const { startLsn } = cut.records.at(-1)!
    cut.add(new Uint8Array(20_000).fill(7), { isCut: true })
    expect(startLsn).toBeGreaterThan(cut.firstLsn)
    expect(judged(cut.segments()[0]!)).toMatchObject({ isUnfinished: true })
  })

  test('is finished when its last record goes on in the next, or merely ends in zeros', () => {
    const wal = someWal((1 << 20) - 3000)
    wal.add(new Uint8Array(10_000))
    const [segment] = wal.segments()
    expect(segment!.bytes.at(-1)).toBe(0)
    expect(judged(segment!)).toBeUndefined()
    const exact = someWal((1 << 20) - 3000)
    exact.add(new Uint8Array((1 << 20) - Number(exact.lsn - exact.firstLsn) - 24 - 8))
    while (exact.lsn < exact.firstLsn + BigInt(1 << 20)) exact.add(new Uint8Array(8))
    expect(judged(exact.segments()[0]!)).toBeUndefined()
  })
})
