import { describe, expect, test } from 'bun:test'
import { crc32c } from '../crc32c.ts'
import { toLsn } from '../lsn.ts'
import { toTimelineId } from '../wal-segment.ts'
import { coverWithSummaries, parseSummaryName, readSummary } from './wal-summary.ts'

interface Entry {
  readonly key: readonly [tablespace: number, database: number, relation: number, fork: number]
  readonly limit?: number
  readonly chunks?: readonly (readonly number[])[]
}

/** A summary as common/blkreftable.c writes it. */
function summary(entries: readonly Entry[]): Uint8Array {
  const words: number[] = []
  const u32 = (value: number): void => void words.push(value & 0xffff, value >>> 16)
  u32(0x652b137b)
  for (const { key, limit = 0xffff_ffff, chunks = [] } of entries) {
    for (const value of [...key, limit, chunks.length]) u32(value)
    words.push(...chunks.map(chunk => chunk.length), ...chunks.flat())
  }
  for (let count = 0; count < 6; count++) u32(0)
  const body = new Uint8Array(Uint16Array.from(words).buffer)
  const bytes = new Uint8Array(body.length + 4)
  bytes.set(body)
  new DataView(bytes.buffer).setUint32(body.length, crc32c(body), true)
  return bytes
}

function read(bytes: Uint8Array): string[] {
  const said: string[] = []
  readSummary(bytes, 'x.summary', {
    block: (...numbers) => said.push(numbers.join('/')),
    limit: (...numbers) => said.push(`limit ${numbers.join('/')}`),
    database: (...numbers) => said.push(`database ${numbers.join('/')}`),
    doubt: () => said.push('doubt'),
  })
  return said
}

describe('a WAL summary', () => {
  test('lists blocks in chunks of 65536, as offsets or as a bitmap', () => {
    const bitmap = new Array<number>(4096).fill(0)
    bitmap[0] = 0b101
    bitmap[4095] = 0x8000
    const bytes = summary([
      { key: [1663, 5, 100, 0], chunks: [[7, 3], [], bitmap] },
      { key: [1663, 5, 101, 2], limit: 4 },
      { key: [1663, 6, 0, 0], limit: 0 },
    ])
    expect(read(bytes)).toEqual([
      '1663/5/100/0/7',
      '1663/5/100/0/3',
      '1663/5/100/0/131072',
      '1663/5/100/0/131074',
      '1663/5/100/0/196607',
      'limit 1663/5/101/2/4',
      'database 1663/6',
    ])
    expect(read(summary([]))).toEqual([])
  })

  test('any cut or changed bit is an error', () => {
    const bytes = summary([{ key: [1663, 5, 100, 0], chunks: [[7, 3]] }])
    for (let at = 0; at < bytes.length; at++) {
      expect(() => read(bytes.subarray(0, at))).toThrow()
      const changed = bytes.slice()
      changed[at]! ^= 1 << (at % 8)
      expect(() => read(changed)).toThrow()
    }
  })

  test('together they must cover the WAL without a gap', () => {
    const timeline = toTimelineId(1)
    const file = (begin: number, end: number, tli = 1) =>
      parseSummaryName(
        [tli, 0, begin, 0, end].map(part => part.toString(16).toUpperCase().padStart(8, '0')).join('') +
          '.summary',
      )!
    const wanted = { timeline, beginLsn: toLsn(100), endLsn: toLsn(400) }
    const reached = (...files: ReturnType<typeof file>[]): bigint =>
      coverWithSummaries(files, wanted).reachedLsn
    expect(reached(file(50, 200), file(200, 400))).toBe(400n)
    expect(reached(file(300, 500), file(50, 350))).toBe(500n)
    expect(reached(file(101, 400))).toBe(100n)
    expect(reached(file(50, 200), file(201, 400))).toBe(200n)
    expect(reached(file(50, 200), file(200, 400, 2))).toBe(200n)
    expect(parseSummaryName('000000010000000000000001')).toBeUndefined()
  })
})
