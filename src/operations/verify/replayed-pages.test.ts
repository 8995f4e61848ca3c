import { afterEach, beforeEach, expect, test } from 'bun:test'
import { WalBuilder } from '../../../test/postgres/wal-builder.ts'
import { operationContext, type TestContext } from '../../../test/support/operation-context.ts'
import { type TempDirectory, tempDirectory } from '../../../test/support/temp-directory.ts'
import { streamOf } from '../../kit/bytes.ts'
import { openHasher } from '../../kit/hash.ts'
import { toLsn } from '../../postgres/lsn.ts'
import { putSealed } from '../../repository/sealed.ts'
import type { WalObject } from '../../repository/wal-catalog.ts'
import type { ReadLane } from './read-object.ts'
import { findReplayed, type PagePlace } from './replayed-pages.ts'

let place: TempDirectory
let context: TestContext

beforeEach(async () => {
  place = tempDirectory('replayed')
  context = await operationContext(place.path)
})
afterEach(async () => {
  await context.storage.close()
  place.remove()
})

const laneOf = ({ storage, codec, signal }: TestContext): ReadLane => ({
  storage,
  codec,
  objectHasher: openHasher(),
  contentHasher: openHasher(),
  signal,
  onRead: () => {},
})

const page = (block: number, changes: Partial<PagePlace> = {}): PagePlace => ({
  tablespaceOid: 1663,
  databaseOid: 5,
  relfilenode: 16_400,
  fork: 'main',
  block,
  ...changes,
})

/** A record that touches one block, with data that fills pages of WAL. */
function touch(builder: WalBuilder, fork: number, block: number, dataBytes = 30_000): void {
  const body = new Uint8Array(20 + 5 + dataBytes)
  const view = new DataView(body.buffer)
  view.setUint8(1, fork)
  for (const [index, value] of [1663, 5, 16_400, block].entries()) view.setUint32(4 + 4 * index, value, true)
  view.setUint8(20, 254)
  view.setUint32(21, dataBytes, true)
  builder.add(body)
}

/** From block `from` on the main fork is cut off. */
function cutOff(builder: WalBuilder, from: number): void {
  const body = new Uint8Array(2 + 20)
  const view = new DataView(body.buffer)
  body.set([255, 20])
  for (const [index, value] of [from, 1663, 5, 16_400, 1].entries())
    view.setUint32(2 + 4 * index, value, true)
  builder.add(body, { rmgr: 2, info: 0x21 })
}

async function archive(builder: WalBuilder): Promise<WalObject[]> {
  const objects: WalObject[] = []
  for (const { name, bytes } of builder.segments()) {
    const key = await putSealed(context.storage, context.codec, `wal_005/${name}`, streamOf(bytes))
    objects.push({ kind: 'segment', file: name, extension: 'lz4', key, sizeBytes: 0, modifiedNs: 0n })
  }
  return objects
}

test('pages that the WAL of the backup writes anew are told, those of WAL before or behind it are not', async () => {
  const builder = new WalBuilder(3n)
  touch(builder, 0, 1)
  const startLsn = toLsn(builder.lsn)
  touch(builder, 0, 2)
  for (let count = 0; count < 40; count += 1) touch(builder, 0, 3)
  touch(builder, 1, 4)
  cutOff(builder, 90)
  const endLsn = toLsn(builder.lsn)
  touch(builder, 0, 80)
  const pages = [
    page(1),
    page(2),
    page(3),
    page(4),
    page(4, { fork: 'fsm' }),
    page(2, { relfilenode: 16_401 }),
    page(2, { databaseOid: 6 }),
    page(80),
    page(89),
    page(90),
  ]
  const found = await findReplayed(laneOf(context), await archive(builder), { startLsn, endLsn }, pages)
  expect(pages.map(one => found.has(one))).toEqual([
    false,
    true,
    true,
    false,
    true,
    false,
    false,
    false,
    false,
    true,
  ])
})

test('a segment that is damaged proves nothing, and the others are read', async () => {
  const builder = new WalBuilder(3n)
  touch(builder, 0, 2)
  for (let count = 0; count < 100; count += 1) touch(builder, 0, 3)
  touch(builder, 0, 5)
  const objects = await archive(builder)
  await context.storage.put(objects[1]!.key, streamOf(new Uint8Array(100)))
  const pages = [page(2), page(5)]
  const found = await findReplayed(
    laneOf(context),
    objects,
    { startLsn: toLsn(builder.firstLsn), endLsn: undefined },
    pages,
  )
  expect([...found]).toEqual(pages)
})
