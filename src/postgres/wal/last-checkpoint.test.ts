import { afterEach, beforeEach, expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import {
  CHECKPOINT_ONLINE,
  CHECKPOINT_SHUTDOWN,
  checkpointBody,
  WalBuilder,
} from '../../../test/postgres/wal-builder.ts'
import { type TempDirectory, tempDirectory } from '../../../test/support/temp-directory.ts'
import { type Lsn, toLsn } from '../lsn.ts'
import { toTimelineId } from '../wal-segment.ts'
import { type CheckpointRecord, findLastCheckpoint } from './last-checkpoint.ts'

const END_OF_RECOVERY = { rmgr: 0, info: 0x90 }

let place: TempDirectory

beforeEach(() => {
  place = tempDirectory('last-checkpoint')
})
afterEach(() => place.remove())

/** Only the redo matters here. */
const redo = (lsn: bigint): Uint8Array => checkpointBody(lsn, 0n)

async function find(wal: WalBuilder, endLsn: bigint, next?: string): Promise<CheckpointRecord | undefined> {
  const segments = wal.segments()
  for (const { name, bytes } of segments) writeFileSync(place.at(name), bytes)
  const search = { name: segments[0]!.name, next, timeline: toTimelineId(1) }
  const { signal } = new AbortController()
  return (await findLastCheckpoint(place.path, search, toLsn(endLsn), signal)).checkpoint
}

test('the last checkpoint before a place is found, online or not, with where its replay begins', async () => {
  const wal = new WalBuilder(3n)
  const add = (kind: typeof CHECKPOINT_ONLINE, redoLsn: bigint): Lsn => {
    for (let each = 0; each < 20; each++) wal.add(new Uint8Array(900))
    wal.add(redo(redoLsn), kind)
    return toLsn(wal.records.at(-1)!.startLsn)
  }
  const first = add(CHECKPOINT_ONLINE, 111n)
  const second = add(CHECKPOINT_SHUTDOWN, 222n)
  const third = add(END_OF_RECOVERY, 333n)
  expect(await find(wal, third)).toEqual({ lsn: second, redoLsn: toLsn(222n) })
  expect(await find(wal, second)).toEqual({ lsn: first, redoLsn: toLsn(111n) })
  expect(await find(wal, first)).toBeUndefined()
})

test('a checkpoint that goes on in the next segment is found, and none that begins there', async () => {
  const wal = new WalBuilder(3n)
  const boundary = wal.firstLsn + BigInt(wal.segmentBytes)
  while (wal.lsn < boundary - 2000n) wal.add(new Uint8Array(500))
  wal.add(new Uint8Array(Number(boundary - wal.lsn) - 24 - 64))
  wal.add(redo(444n), CHECKPOINT_ONLINE)
  const { startLsn, endLsn } = wal.records.at(-1)!
  expect(startLsn < boundary && endLsn > boundary).toBe(true)
  wal.add(redo(555n), CHECKPOINT_ONLINE)
  wal.add(new Uint8Array(500))
  const [, next] = wal.segments()
  expect(await find(wal, wal.lsn, next!.name)).toEqual({ lsn: toLsn(startLsn), redoLsn: toLsn(444n) })
  expect(await find(wal, wal.lsn)).toBeUndefined()
})
