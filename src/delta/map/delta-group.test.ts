import { describe, expect, test } from 'bun:test'
import { WalBuilder } from '../../../test/postgres/wal-builder.ts'
import { deltaGroupOf, joinGroup } from './delta-group.ts'
import { type SegmentChanges, SegmentScan } from './segment-changes.ts'

/** Segments that end with a switch: no record goes over their ends. */
function switched(records: number, firstSegment = 15n, count = 17): SegmentChanges[] {
  const builder = new WalBuilder(firstSegment)
  for (let segment = 0; segment < count; segment++) {
    for (let record = 0; record < records; record++) builder.add(Uint8Array.of(255, 3, 1, 2, 3))
    builder.switchSegment()
  }
  return builder
    .segments()
    .slice(0, count)
    .map(({ name, bytes }) => scan(name, bytes))
}

function scan(name: string, bytes: Uint8Array): SegmentChanges {
  const scanning = new SegmentScan(name)
  scanning.update(bytes)
  return scanning.end()
}

describe('a group of segments', () => {
  test('is sixteen, and the one before', () => {
    const { before, names } = deltaGroupOf('000000010000000000000025', 1 << 20)
    expect([before, names[0], names.at(-1), names.length]).toEqual([
      '00000001000000000000001F',
      '000000010000000000000020',
      '00000001000000000000002F',
      16,
    ])
  })

  test('is joined when every segment follows the one before it', () => {
    const [before, ...segments] = switched(3)
    expect(joinGroup(before!, segments).pendingBytes.length).toBe(0)
  })

  test('is not joined over a seam where the back link says otherwise, a segment is left out or another cluster begins', () => {
    const [before, ...segments] = switched(3)
    const others = switched(4)
    const replaced = segments.with(7, others[8]!)
    expect(() => joinGroup(before!, replaced)).toThrow(
      'its first record does not follow the last one before it',
    )
    expect(() => joinGroup(before!, segments.toSpliced(4, 1))).toThrow('it does not follow')
    const foreign = segments.with(3, { ...segments[3]!, systemIdentifier: 1n })
    expect(() => joinGroup(before!, foreign)).toThrow('of the same cluster')
  })

  test('is not joined when a record ends in it that did not begin', () => {
    const builder = new WalBuilder(15n)
    builder.add(Uint8Array.of(255, 3, 1, 2, 3))
    builder.add(concat(254, (1 << 20) + 5000))
    while (builder.segments().length < 18) builder.add(concat(254, 900_000))
    const [before, ...segments] = builder
      .segments()
      .slice(0, 17)
      .map(({ name, bytes }) => scan(name, bytes))
    expect(joinGroup(before!, segments).pendingBytes.length).toBeGreaterThan(0)
    expect(() => joinGroup({ ...before!, pending: undefined }, segments)).toThrow(
      'a record ends in it that did not begin',
    )
  })
})

/** Long main data and nothing else. */
function concat(id: number, dataBytes: number): Uint8Array {
  const body = new Uint8Array(5 + dataBytes)
  body[0] = id
  new DataView(body.buffer).setUint32(1, dataBytes, true)
  return body
}
