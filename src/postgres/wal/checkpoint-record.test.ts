import { describe, expect, test } from 'bun:test'
import {
  CHECKPOINT_ONLINE,
  CHECKPOINT_SHUTDOWN,
  checkpointBody,
  WalBuilder,
} from '../../../test/postgres/wal-builder.ts'
import { toLsn } from '../lsn.ts'
import { type CheckpointAt, findCheckpoint, pagesFrom } from './checkpoint-record.ts'
import { decodeSegmentHeader } from './wal-page.ts'

const REDO = toLsn(0x300028n)
const TIME = 1_700_000_000n
const FOUND: CheckpointAt = { kind: 'checkpoint', checkpoint: { redoLsn: REDO, timeSeconds: TIME } }

function checkpointAt(wal: WalBuilder, lsn: bigint, spoil = (_bytes: Uint8Array): void => {}): CheckpointAt {
  const { bytes } = wal.segments()[0]!
  spoil(bytes)
  const segment = decodeSegmentHeader(new DataView(bytes.buffer), 0)!
  const { from, to } = pagesFrom(toLsn(lsn), segment)
  return findCheckpoint(bytes.subarray(from, to), { segment, timeline: 1, lsn: toLsn(lsn) })
}

describe('the checkpoint record at a place', () => {
  test('is found wherever in its page it begins, also when it ends in the next one', () => {
    for (let freeBytes = 8; freeBytes <= 160; freeBytes += 8) {
      for (const kind of [CHECKPOINT_ONLINE, CHECKPOINT_SHUTDOWN]) {
        const wal = new WalBuilder(3n)
        wal.add(new Uint8Array(8192 - 40 - 24 - freeBytes))
        wal.add(checkpointBody(REDO, TIME), kind)
        wal.add(new Uint8Array(100))
        expect([freeBytes, checkpointAt(wal, wal.records[1]!.startLsn)]).toEqual([freeBytes, FOUND])
      }
    }
  })

  test('behind a record that began before the page, and as the first of a segment', () => {
    const wal = new WalBuilder(3n)
    wal.add(checkpointBody(REDO, TIME), CHECKPOINT_ONLINE)
    wal.add(new Uint8Array(20_000))
    wal.add(checkpointBody(REDO, TIME), CHECKPOINT_SHUTDOWN)
    expect(checkpointAt(wal, wal.records[0]!.startLsn)).toEqual(FOUND)
    expect(checkpointAt(wal, wal.records[2]!.startLsn)).toEqual(FOUND)
  })

  test('is none where another record begins, or none, or nothing is written', () => {
    const wal = new WalBuilder(3n)
    wal.add(new Uint8Array(100))
    wal.add(checkpointBody(REDO, TIME), { rmgr: 0, info: 0x20 })
    wal.add(checkpointBody(REDO, TIME), CHECKPOINT_ONLINE)
    const [other, alike, checkpoint] = wal.records.map(({ startLsn }) => startLsn) as [bigint, bigint, bigint]
    for (const lsn of [other, alike, other + 8n, checkpoint + 8n, checkpoint + 4000n]) {
      expect(checkpointAt(wal, lsn)).toEqual({ kind: 'other' })
    }
  })

  test('cannot be told in damaged pages, and at the very end of a segment', () => {
    const wal = new WalBuilder(3n)
    wal.add(new Uint8Array(100))
    wal.add(checkpointBody(REDO, TIME), CHECKPOINT_ONLINE)
    const { startLsn } = wal.records[1]!
    const damaged = checkpointAt(wal, startLsn, bytes => bytes.fill(7, 0, 16))
    expect(damaged.kind).toBe('unreadable')

    const full = new WalBuilder(3n)
    while (full.lsn < full.firstLsn + BigInt(full.segmentBytes - 8192)) full.add(new Uint8Array(1000))
    full.add(new Uint8Array(full.segmentBytes - Number(full.lsn - full.firstLsn) - 24 - 40))
    full.add(checkpointBody(REDO, TIME), CHECKPOINT_ONLINE)
    expect(checkpointAt(full, full.records.at(-1)!.startLsn)).toEqual({
      kind: 'unreadable',
      reason: 'the record there goes on in the next segment',
    })
  })
})
