import { describe, expect, test } from 'bun:test'
import { readRecordChanges, type WalChanges } from './record-content.ts'

/** Notes everything as text. */
function notes(): { said: string[]; changes: WalChanges } {
  const said: string[] = []
  return {
    said,
    changes: {
      block: (...numbers) => said.push(`block ${numbers.join('/')}`),
      limit: (...numbers) => said.push(`limit ${numbers.join('/')}`),
      database: (...numbers) => said.push(`database ${numbers.join('/')}`),
      doubt: () => said.push('doubt'),
    },
  }
}

const u16 = (value: number): number[] => [value & 0xff, value >>> 8]
const u32 = (...values: number[]): number[] =>
  values.flatMap(value => [...u16(value & 0xffff), ...u16(value >>> 16)])

function record(body: readonly number[], { rmgr = 10, info = 0 } = {}): DataView {
  const bytes = new Uint8Array(24 + body.length)
  bytes.set(body, 24)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, bytes.length, true)
  view.setUint8(16, info)
  view.setUint8(17, rmgr)
  return view
}

function read(view: DataView, major = 15): { said: string[]; reason: string | undefined } {
  const { said, changes } = notes()
  const reason = readRecordChanges(view, 0, view.byteLength, major, changes)
  return { said, reason }
}

const relation = u32(1663, 5, 16384)
const data = (count: number): number[] => new Array<number>(count).fill(0x55)

describe('the changes that a record tells of', () => {
  test('block references with and without data, images, holes, and of the same relation', () => {
    const body = [
      ...[0, 0x20, ...u16(3), ...relation, ...u32(7)], // data
      ...[1, 0x10 | 0x80, ...u16(0), ...u16(100), ...u16(40), 0x01, ...u32(8)], // image with a hole, not compressed
      ...[
        2,
        0x10 | 0x02,
        ...u16(0),
        ...u16(50),
        ...u16(40),
        0x05,
        ...u16(900),
        ...u32(1663, 5, 99),
        ...u32(9),
      ], // pglz and a hole
      ...[7, 0x30, ...u16(2), ...u16(60), ...u16(0), 0x10, ...u32(1664, 0, 1262), ...u32(2 ** 32 - 2)], // zstd, no hole
      ...[255, 4],
      ...data(3 + 100 + 50 + 2 + 60 + 4),
    ]
    expect(read(record(body))).toEqual({
      said: [
        'block 1663/5/16384/0/7',
        'block 1663/5/16384/0/8',
        'block 1663/5/99/2/9',
        'block 1664/0/1262/0/4294967294',
      ],
      reason: undefined,
    })
  })

  test('an image of 14 and older has other flags: only a compressed one with a hole tells the hole', () => {
    const image = (flags: number, more: number[]): number[] => [
      ...[0, 0x10, ...u16(0), ...u16(30), ...u16(8), flags, ...more, ...relation, ...u32(1)],
      ...data(30),
    ]
    for (const [major, flags, more] of [
      [14, 0x03, u16(5)],
      [14, 0x05, []],
      [13, 0x02, []],
      [15, 0x03, []],
      [18, 0x09, u16(5)],
      [16, 0x11, u16(5)],
    ] as const) {
      expect(read(record(image(flags, [...more])), major)).toEqual({
        said: ['block 1663/5/16384/0/1'],
        reason: undefined,
      })
    }
  })

  test('an origin, a top-level transaction and long main data are passed over', () => {
    const body = [
      ...[0, 0, ...u16(0), ...relation, ...u32(1)],
      ...[253, 1, 0, 252, ...u32(700), 254, ...u32(300)],
      ...data(300),
    ]
    expect(read(record(body), 14)).toEqual({ said: ['block 1663/5/16384/0/1'], reason: undefined })
    expect(read(record(body), 13).reason).toBe('it has a part of kind 252')
  })

  test('custom resource managers have block references like any other; what they do beyond is doubted', () => {
    const body = [0, 0, ...u16(0), ...relation, ...u32(1)]
    expect(read(record(body, { rmgr: 200 }))).toEqual({
      said: ['block 1663/5/16384/0/1'],
      reason: undefined,
    })
    expect(read(record(body, { rmgr: 200, info: 0x01 })).said).toEqual(['block 1663/5/16384/0/1', 'doubt'])
    expect(read(record(body, { rmgr: 22 })).reason).toBe('it is of resource manager 22')
  })

  test('relations created, cut and dropped with the end of a transaction', () => {
    const created = [255, 16, ...u32(1663, 5, 16385, 0)]
    expect(read(record(created, { rmgr: 2, info: 0x11 })).said).toEqual(['limit 1663/5/16385/0/0'])
    const cut = [255, 20, ...u32(12, 1663, 5, 16385, 0x7)]
    expect(read(record(cut, { rmgr: 2, info: 0x21 })).said).toEqual([
      'limit 1663/5/16385/0/12',
      'limit 1663/5/16385/2/0',
    ])
    const dropped = [...u32(0, 0, 0x7), ...u32(5, 1663), ...u32(1, 801), ...u32(2, 1663, 5, 7, 1700, 5, 8)]
    for (const operation of [0x00, 0x20, 0x30, 0x40]) {
      const view = record([255, dropped.length, ...dropped], { rmgr: 1, info: 0x81 | operation })
      expect(read(view).said).toEqual(['limit 1663/5/7/0/0', 'limit 1700/5/8/0/0'])
    }
  })

  test('databases copied and dropped as a whole; one that is written to WAL has block references besides', () => {
    const copied = [255, 16, ...u32(16500, 1663, 1, 1663)]
    expect(read(record(copied, { rmgr: 4, info: 0x01 }), 13).said).toEqual(['database 1663/16500'])
    const logged = [255, 8, ...u32(16500, 1663)]
    expect(read(record(logged, { rmgr: 4, info: 0x11 }), 15).said).toEqual(['database 1663/16500'])
    const dropped = [255, 16, ...u32(16500, 2, 1663, 1700)]
    for (const [major, kind] of [
      [14, 0x10],
      [15, 0x20],
    ] as const) {
      const { said } = read(record(dropped, { rmgr: 4, info: kind | 1 }), major)
      expect(said).toEqual(['database 1663/16500', 'database 1700/16500'])
    }
  })

  test('wal_level=minimal is doubted, a higher one is not', () => {
    const parameters = (level: number): number[] => [255, 26, ...u32(100, 8, 10, 0, 64, level), 0, 0]
    expect(read(record(parameters(0), { rmgr: 0, info: 0x60 })).said).toEqual(['doubt'])
    expect(read(record(parameters(1), { rmgr: 0, info: 0x60 })).said).toEqual([])
  })

  test('a record whose parts do not fit its length is refused', () => {
    const bodies = [
      [0, 0, ...u16(0), ...relation, ...u32(1), 9],
      [0, 0x20, ...u16(5), ...relation, ...u32(1), ...data(4)],
      [0, 0, ...u16(1), ...relation, ...u32(1), ...data(1)],
      [0, 0x80, ...u16(0), ...u32(1)],
      [1, 0, ...u16(0), ...relation, ...u32(1), 0, 0x80, ...u16(0), ...u32(1)],
      [0, 0x07, ...u16(0), ...relation, ...u32(1)],
      [0, 0, ...u16(0), ...relation],
      [255, 9, ...data(8)],
      [254, ...u32(9), ...data(8)],
      [100, 1],
    ]
    for (const body of bodies) expect([body, read(record(body)).reason]).not.toEqual([body, undefined])
    const lies = [
      record([255, 12, ...u32(0, 0, 0)], { rmgr: 1, info: 0x81 }),
      record([255, 20, ...u32(0, 0, 4, 1000, 7)], { rmgr: 1, info: 0x81 }),
      record([255, 8, ...u32(0, 0)], { rmgr: 2, info: 0x11 }),
      record([255, 8, ...u32(5, 1000)], { rmgr: 4, info: 0x21 }),
    ]
    for (const view of lies) expect(read(view).reason).toBe('its parts do not fit its length')
  })
})
