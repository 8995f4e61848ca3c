import { afterEach, beforeEach, describe, expect, test } from 'bun:test'
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { changeWal } from '../../../test/support/change-wal.ts'
import { operationContext, type TestContext } from '../../../test/support/operation-context.ts'
import { seededRandom } from '../../../test/support/seeded-random.ts'
import { type TempDirectory, tempDirectory } from '../../../test/support/temp-directory.ts'
import { ChangeMap, NO_LIMIT } from '../../delta/map/change-map.ts'
import { decodeDeltaObject } from '../../delta/map/delta-object.ts'
import { collect } from '../../kit/bytes.ts'
import { toLsn } from '../../postgres/lsn.ts'
import { readRecordChanges } from '../../postgres/wal/record-content.ts'
import { RecordReader } from '../../postgres/wal/record-reader.ts'
import { decodeSegmentHeader } from '../../postgres/wal/wal-page.ts'
import { openPayload } from '../../repository/sealed.ts'
import { recordChanges } from './change-records.ts'

let place: TempDirectory
let wal: string
let context: TestContext
const random = seededRandom('change records')
const segments = changeWal(random, 30, 20)
const group = '000000010000000000000020'

beforeEach(async () => {
  place = tempDirectory('change-records')
  wal = place.at('pg_wal')
  mkdirSync(wal)
  mkdirSync(place.at('archive'))
  context = await operationContext(place.at('archive'))
})
afterEach(async () => {
  await context.storage.close()
  place.remove()
})

async function record(...numbers: number[]): Promise<void> {
  for (const number of numbers) {
    const { name, bytes } = segments[number - 30]!
    const path = join(wal, name)
    writeFileSync(path, bytes)
    await recordChanges(context, { name, path }, wal)
    rmSync(path)
  }
}

const stored = (): string[] =>
  existsSync(place.at('archive/wal_005')) ? readdirSync(place.at('archive/wal_005')).sort() : []

async function readDelta() {
  const stream = await openPayload(context.storage, context.codec, `wal_005/${group}_delta`)
  return decodeDeltaObject(await collect(stream, 1 << 24), group)
}

/** What is expected, by another way: all segments read in one go, without the records that end before the group. */
function expectedDelta(): { changes: string[]; pendingBytes: number } {
  const begin = toLsn(32n << 20n)
  const map = new ChangeMap()
  const header = decodeSegmentHeader(new DataView(segments[0]!.bytes.buffer), 0)!
  const reader: RecordReader = new RecordReader(header, toLsn(30n << 20n), 1, {
    keepsWhole: true,
    sink(view, at, totalBytes) {
      if (reader.endLsn! > begin) readRecordChanges(view, at, totalBytes, 15, map)
    },
  })
  for (const { bytes } of segments.slice(0, 18)) {
    for (let at = 0; at < bytes.length; at += 8192) reader.readPage(bytes.subarray(at, at + 8192))
  }
  return { changes: describeMap(map), pendingBytes: reader.pendingBytes.length }
}

/** A block where a relation was cut is a location as well. */
function describeMap(map: ChangeMap): string[] {
  return map.relations().map(({ relation, limitBlock, blocks }) => {
    const all = new Set([...blocks.between(0, NO_LIMIT), ...(limitBlock === NO_LIMIT ? [] : [limitBlock])])
    return `${relation} ${limitBlock} ${[...all].sort((one, other) => one - other)}`
  })
}

const inOrder = Array.from({ length: 17 }, (_, index) => 31 + index)
const object = `${group}_delta.lz4`

describe('the record of changed blocks', () => {
  test('sixteen segments and the one before them make a _delta object', async () => {
    await record(...inOrder.slice(0, -1))
    expect(stored()).toEqual([])
    await record(47)
    expect(stored()).toEqual([object])
    const delta = await readDelta()
    expect(delta.range).toEqual({
      systemIdentifier: 7_300_000_000_000_000_001n,
      timeline: 1,
      beginLsn: toLsn(32n << 20n),
      endLsn: toLsn(48n << 20n),
    })
    const expected = expectedDelta()
    expect(describeMap(delta.map)).toEqual(expected.changes)
    expect(delta.pendingBytes.length).toBe(expected.pendingBytes)
    expect(expected.pendingBytes).toBeGreaterThan(0)
  })

  test('in whatever order they come, twice or side by side, the object is the same', async () => {
    await record(...inOrder)
    const first = readFileSync(place.at(`archive/wal_005/${object}`))
    for (let round = 0; round < 3; round++) {
      rmSync(place.at('archive/wal_005'), { recursive: true })
      rmSync(join(wal, 'walg_data'), { recursive: true })
      const numbers = [...inOrder, ...inOrder.slice(0, round * 3)]
      for (let at = numbers.length - 1; at > 0; at--) {
        const other = random.int(at + 1)
        ;[numbers[at], numbers[other]] = [numbers[other]!, numbers[at]!]
      }
      if (round === 2) await Promise.all([...new Set(numbers)].map(number => record(number)))
      else await record(...numbers)
      expect([numbers, readFileSync(place.at(`archive/wal_005/${object}`)).equals(first)]).toEqual([
        numbers,
        true,
      ])
    }
  })

  test('a record that was lost or cut is read again where the segment still lies in pg_wal, else there is no object', async () => {
    await record(...inOrder.slice(0, -1))
    const records = join(wal, 'walg_data/walg_changes')
    const cut = segments[5]!
    const lost = segments[8]!
    truncateSync(join(records, `${cut.name}.changes`), 1000)
    rmSync(join(records, `${lost.name}.changes`))
    await record(47)
    expect(stored()).toEqual([])
    writeFileSync(join(wal, lost.name), lost.bytes)
    await record(47)
    expect(stored()).toEqual([])
    expect(context.messages.at(-1)).toContain(`changed blocks of ${segments[17]!.name} are not recorded`)
    writeFileSync(join(wal, cut.name), cut.bytes)
    await record(47)
    expect(stored()).toEqual([object])
    expect(describeMap((await readDelta()).map)).toEqual(expectedDelta().changes)
  })

  test('segments that do not belong together make no object', async () => {
    await record(...inOrder.slice(0, -1))
    const foreign = changeWal(random, 40, 1)[0]!
    const path = join(wal, foreign.name)
    writeFileSync(path, foreign.bytes)
    await recordChanges(context, { name: foreign.name, path }, wal)
    await record(47)
    expect(stored()).toEqual([])
    expect(context.messages.at(-1)).toMatch(/^WARNING: changed blocks .* cannot be joined/)
  })

  test('a damaged segment is not recorded, and the push goes on', async () => {
    const { name, bytes } = segments[4]!
    const damaged = bytes.slice()
    damaged[500_000]! ^= 1
    const path = join(wal, name)
    writeFileSync(path, damaged)
    await recordChanges(context, { name, path }, wal)
    expect(context.messages.at(-1)).toMatch(
      /^WARNING: changed blocks of .* are not recorded: .*checksum of the record/,
    )
    expect(existsSync(join(wal, 'walg_data/walg_changes', `${name}.changes`))).toBe(false)
  })

  test('records of groups that never end do not pile up', async () => {
    for (let number = 0; number < 130; number++) {
      const { name, bytes } = changeWal(random, 100 + number * 5, 1)[0]!
      const path = join(wal, name)
      writeFileSync(path, bytes)
      await recordChanges(context, { name, path }, wal)
    }
    expect(readdirSync(join(wal, 'walg_data/walg_changes')).length).toBeLessThan(100)
  })
})
