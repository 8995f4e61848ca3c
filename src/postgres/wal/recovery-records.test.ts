import { expect, test } from 'bun:test'
import { WalBuilder } from '../../../test/postgres/wal-builder.ts'
import { toLsn } from '../lsn.ts'
import { RecordReader } from './record-reader.ts'
import { decodeRecoveryPoint, type RecoveryPoint } from './recovery-records.ts'
import { decodeSegmentHeader } from './wal-page.ts'

const EPOCH_US = 946_684_800_000_000n
const RMGR_XACT = 1

/** Main data of up to 255 bytes, as a record has it behind its header. */
function mainData(write: (view: DataView) => number): Uint8Array {
  const bytes = new Uint8Array(4096)
  const length = write(new DataView(bytes.buffer, 5))
  bytes[0] = 254
  new DataView(bytes.buffer).setUint32(1, length, true)
  return bytes.subarray(0, 5 + length)
}

function pointsOf(wal: WalBuilder, majorVersion: number): RecoveryPoint[] {
  const [first] = wal.segments()
  const header = decodeSegmentHeader(new DataView(first!.bytes.buffer), 0)!
  const points: RecoveryPoint[] = []
  const reader = new RecordReader(header, toLsn(wal.firstLsn), 1, {
    sink: (view, at, totalBytes) => {
      const record = { view, at, totalBytes }
      const point = decodeRecoveryPoint(record, reader.lastStartLsn!, reader.endLsn!, majorVersion)
      if (point !== undefined) points.push(point)
    },
  })
  for (let at = 0; at < first!.bytes.length; at += wal.pageBytes) {
    if (!reader.readPage(first!.bytes.subarray(at, at + wal.pageBytes))) break
  }
  return points
}

test('commits, aborts and restore points are read, with their times, and nothing else is', () => {
  const wal = new WalBuilder(3n)
  wal.add(new Uint8Array(100)) // some other resource manager
  const commit = mainData(view => {
    view.setBigInt64(0, 5n, true)
    return 8
  })
  wal.add(commit, { rmgr: RMGR_XACT, info: 0x00 })
  wal.add(commit, { rmgr: RMGR_XACT, info: 0x20 })
  wal.add(commit, { rmgr: RMGR_XACT, info: 0x10 }) // PREPARE ends nothing
  const name = mainData(view => {
    view.setBigInt64(0, 7n, true)
    new Uint8Array(view.buffer, view.byteOffset + 8).set(new TextEncoder().encode('here'))
    return 72
  })
  wal.add(name, { rmgr: 0, info: 0x70 })
  const points = pointsOf(wal, 15)
  expect(points.map(point => [point.kind, point.timeUs - EPOCH_US])).toEqual([
    ['commit', 5n],
    ['abort', 5n],
    ['restore-point', 7n],
  ])
  expect(points[2]).toMatchObject({ name: 'here', startLsn: toLsn(wal.records[4]!.startLsn) })
  expect(points[0]).toMatchObject({ xid: 700, subtransactions: [] })
})

for (const major of [15, 18] as const) {
  test(`PostgreSQL ${major}: the number of a prepared transaction is found behind everything else a commit may carry, over pages, too`, () => {
    const wal = new WalBuilder(3n)
    wal.add(new Uint8Array(7900)) // the next one crosses a page
    const commit = mainData(view => {
      let at = 0
      const u32 = (value: number): void => {
        view.setUint32(at, value, true)
        at += 4
      }
      view.setBigInt64(at, 9n, true)
      at += 8
      u32(0b1_0001_1111) // database, subtransactions, relations, invalidations, two-phase, statistics
      at += 8
      u32(2)
      u32(701)
      u32(702)
      u32(3)
      at += 3 * 12
      u32(2)
      at += 2 * (major >= 18 ? 16 : 12)
      u32(5)
      at += 5 * 16
      u32(4711)
      return at
    })
    wal.add(commit, { rmgr: RMGR_XACT, info: 0x30 | 0x80 })
    expect(pointsOf(wal, major)).toMatchObject([{ kind: 'commit', xid: 4711, subtransactions: [701, 702] }])
  })
}
