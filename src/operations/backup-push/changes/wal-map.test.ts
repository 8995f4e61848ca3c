import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { changeWal } from '../../../../test/support/change-wal.ts'
import { operationContext, type TestContext } from '../../../../test/support/operation-context.ts'
import { seededRandom } from '../../../../test/support/seeded-random.ts'
import { type TempDirectory, tempDirectory } from '../../../../test/support/temp-directory.ts'
import { type ChangeMap, NO_LIMIT } from '../../../delta/map/change-map.ts'
import { deltaGroupOf, joinGroup } from '../../../delta/map/delta-group.ts'
import { decodeDeltaObject, encodeDeltaObject } from '../../../delta/map/delta-object.ts'
import { SegmentScan } from '../../../delta/map/segment-changes.ts'
import { WalChangeReader } from '../../../delta/map/wal-changes.ts'
import { streamOf } from '../../../kit/bytes.ts'
import { toLsn } from '../../../postgres/lsn.ts'
import { decodeSegmentHeader } from '../../../postgres/wal/wal-page.ts'
import { toTimelineId } from '../../../postgres/wal-segment.ts'
import { putSealed } from '../../../repository/sealed.ts'
import { readWalMap, type WalMapRequest, type WalMapResult } from './wal-map.ts'

const random = seededRandom('wal map')
/** Segments 30 to 69; the last one lies in pg_wal only. */
const segments = changeWal(random, 30, 40)
const at = (number: number) => segments[number - 30]!
const END = 69
const MIB = 1 << 20

let place: TempDirectory
let context: TestContext

beforeEach(async () => {
  place = tempDirectory('wal-map')
  for (const name of ['archive', 'pg_wal']) mkdirSync(place.at(name))
  context = await operationContext(place.at('archive'))
  for (let number = 30; number < END; number++) await put(at(number).name, at(number).bytes)
  writeFileSync(join(place.at('pg_wal'), at(END).name), at(END).bytes)
})
afterEach(async () => {
  await context.storage.close()
  place.remove()
})

const put = (name: string, bytes: Uint8Array): Promise<string> =>
  putSealed(context.storage, context.codec, `wal_005/${name}`, streamOf(bytes))

const remove = (name: string): void => rmSync(place.at(`archive/wal_005/${name}.lz4`))

/** The `_delta` object of the group that begins with this segment. */
function deltaOf(number: number): Uint8Array {
  const { before, names } = deltaGroupOf(at(number).name, MIB)
  const [first, ...group] = [before, ...names].map(name => {
    const scan = new SegmentScan(name)
    scan.update(segments.find(one => one.name === name)!.bytes)
    return scan.end()
  })
  return encodeDeltaObject(joinGroup(first!, group))
}

const putDelta = (number: number, bytes = deltaOf(number)): Promise<string> =>
  put(`${at(number).name}_delta`, bytes)

function read(changes: Partial<WalMapRequest> = {}): Promise<WalMapResult> {
  return readWalMap(context, {
    range: {
      beginLsn: toLsn(BigInt(30 * MIB) + 40n),
      endLsn: toLsn(BigInt(END * MIB) + 500_000n),
      timeline: toTimelineId(1),
      history: null,
    },
    systemIdentifier: 7_300_000_000_000_000_001n,
    segmentBytes: MIB,
    pageBytes: 8192,
    walDirectory: place.at('pg_wal'),
    archiveBytesMax: 1e9,
    ...changes,
  })
}

/** `relation block` of every change, and `relation from block` of every cut. */
function changesIn(map: ChangeMap): Set<string> {
  return new Set(
    map
      .relations()
      .flatMap(({ relation, limitBlock, blocks }) => [
        `${relation} from ${limitBlock}`,
        ...Array.from(blocks.between(0, NO_LIMIT), block => `${relation} ${block}`),
      ]),
  )
}

/** All segments in one go, up to the page that holds the end. */
function expected(): Set<string> {
  const segment = decodeSegmentHeader(new DataView(at(30).bytes.buffer), 0)!
  const reader = new WalChangeReader({ segment, firstLsn: toLsn(30 * MIB), timeline: 1 })
  const whole = Buffer.concat(segments.map(({ bytes }) => bytes))
  const end = toLsn(BigInt(END * MIB) + 500_000n)
  for (let position = 0; (reader.records.lastStartLsn ?? 0n) < end; position += 8192) {
    reader.readPage(whole.subarray(position, position + 8192))
  }
  return changesIn(reader.map)
}

/** Where a relation was cut, a `_delta` object names the first block that was lost as well: a few more are no harm. */
async function expectMap(told: string): Promise<void> {
  const result = await read()
  if (result.map === undefined) throw new Error(result.reason)
  expect(result.told).toBe(told)
  const found = changesIn(result.map)
  const wanted = expected()
  expect(wanted.difference(found)).toEqual(new Set())
  expect(found.size - wanted.size).toBeLessThan(60)
}

describe('the map of a range of WAL', () => {
  test('is the same from segments, from _delta objects, and from both in turn', async () => {
    await expectMap('0 _delta objects, 39 archived segments, 1 segments of pg_wal')
    await putDelta(48)
    await expectMap('1 _delta objects, 23 archived segments, 1 segments of pg_wal')
    await putDelta(32)
    await expectMap('2 _delta objects, 7 archived segments, 1 segments of pg_wal')
  })

  test('needs no segment that a _delta object stands for', async () => {
    await putDelta(32)
    await putDelta(48)
    for (let number = 32; number < 64; number++) remove(at(number).name)
    await expectMap('2 _delta objects, 7 archived segments, 1 segments of pg_wal')
  })

  test('a record goes on from a _delta object into the next segment', () => {
    expect(decodeDeltaObject(deltaOf(48), '').pendingBytes.length).toBeGreaterThan(0)
  })

  test('local segments are preferred, but not when they turn out to be others', async () => {
    for (const number of [40, 41, 42])
      writeFileSync(join(place.at('pg_wal'), at(number).name), at(number).bytes)
    // recycled before it was opened, and while it was read
    writeFileSync(join(place.at('pg_wal'), at(43).name), at(50).bytes)
    const mixed = at(44).bytes.slice()
    mixed.set(at(51).bytes.subarray(MIB / 2), MIB / 2)
    writeFileSync(join(place.at('pg_wal'), at(44).name), mixed)
    await expectMap('0 _delta objects, 36 archived segments, 4 segments of pg_wal')
  })

  test('damaged _delta objects, and those of the original, are passed over', async () => {
    const good = deltaOf(32)
    const flipped = good.slice()
    flipped[100]! ^= 1
    const trailer = Buffer.from(good).indexOf('walgmap1')
    for (const bytes of [
      flipped,
      good.subarray(0, good.length - 1),
      good.subarray(0, 20),
      good.subarray(0, trailer),
    ]) {
      await putDelta(32, bytes)
      await expectMap('0 _delta objects, 39 archived segments, 1 segments of pg_wal')
      expect(context.messages.at(-1)).toMatch(/segments are read$/)
    }
    const stored = readFileSync(place.at(`archive/wal_005/${at(32).name}_delta.lz4`))
    writeFileSync(place.at(`archive/wal_005/${at(32).name}_delta.lz4`), stored.subarray(0, stored.length / 2))
    await expectMap('0 _delta objects, 39 archived segments, 1 segments of pg_wal')
  })

  test('there is none when a segment is missing, damaged, of another cluster, or when the WAL ends too early', async () => {
    const reasonOf = async (changes: Partial<WalMapRequest> = {}): Promise<string | undefined> => {
      const result = await read(changes)
      return result.map === undefined ? result.reason : undefined
    }
    expect(await reasonOf({ systemIdentifier: 1n })).toContain('does not begin like one of this cluster')
    expect(await reasonOf({ archiveBytesMax: 20 * MIB })).toContain('more archived WAL than there is data')
    const damaged = at(45).bytes.slice()
    damaged[700_000]! ^= 1
    await put(at(45).name, damaged)
    expect(await reasonOf()).toMatch(/checksum of the record|does not follow|no record begins|does not go on/)
    await put(at(45).name, at(45).bytes.subarray(0, MIB / 2))
    expect(await reasonOf()).toBe(`WAL segment ${at(45).name} is cut short`)
    remove(at(45).name)
    expect(await reasonOf()).toBe(`WAL segment ${at(45).name} is neither in pg_wal nor in the archive`)
    await put(at(45).name, at(45).bytes)
    const unwritten = at(END).bytes.slice()
    unwritten.fill(0, 400_000)
    writeFileSync(join(place.at('pg_wal'), at(END).name), unwritten)
    expect(await reasonOf()).toBeDefined()
  })
})
