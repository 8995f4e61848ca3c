import { describe, expect, test } from 'bun:test'
import { BACKUP_END, backupEnd, WalBuilder } from '../../../test/postgres/wal-builder.ts'
import { toLsn } from '../lsn.ts'
import { findRecordEnd, pagesBefore, type RecordEnd } from './record-end.ts'
import { decodeSegmentHeader } from './wal-page.ts'

function aligned(lsn: bigint): bigint {
  return (lsn + 7n) & ~7n
}

function endAt(wal: WalBuilder, endLsn: bigint, spoil = (_bytes: Uint8Array): void => {}): RecordEnd {
  const { bytes } = wal.segments()[0]!
  spoil(bytes)
  const segment = decodeSegmentHeader(new DataView(bytes.buffer), 0)!
  const { from, to } = pagesBefore(toLsn(endLsn), segment)
  return findRecordEnd(bytes.subarray(from, to), { segment, timeline: 1, endLsn: toLsn(endLsn) })
}

/** Records of `bodyBytes` up to behind the second page, then the end of a backup. */
function someWal(bodyBytes: number): WalBuilder {
  const wal = new WalBuilder(3n)
  while (wal.lsn < wal.firstLsn + 20_000n) wal.add(new Uint8Array(bodyBytes))
  wal.add(backupEnd(wal.firstLsn + 40n), BACKUP_END)
  wal.add(new Uint8Array(50))
  return wal
}

describe('the record that ends at a place', () => {
  test('is that of pg_backup_stop, with the start of the backup', () => {
    for (const bodyBytes of [10, 77, 900]) {
      const wal = someWal(bodyBytes)
      const { startLsn, endLsn } = wal.records.at(-2)!
      const found = endAt(wal, aligned(endLsn))
      expect(found).toEqual({ kind: 'record', startLsn, backupStartLsn: wal.firstLsn + 40n } as RecordEnd)
    }
  })

  test('is found wherever in its page it ends: at the very end of it, and when it began in the page before', () => {
    const pageBytes = 8192
    for (let freeBytes = 8; freeBytes <= 48; freeBytes += 8) {
      const wal = new WalBuilder(3n)
      wal.add(new Uint8Array(pageBytes - 40 - 24 - freeBytes))
      wal.add(backupEnd(77n), BACKUP_END)
      wal.add(new Uint8Array(100))
      const { startLsn, endLsn } = wal.records[1]!
      expect([freeBytes, endAt(wal, aligned(endLsn))]).toEqual([
        freeBytes,
        { kind: 'record', startLsn, backupStartLsn: 77n } as RecordEnd,
      ])
    }
  })

  test('is another one, long or short, or a switch', () => {
    const wal = new WalBuilder(3n)
    wal.add(new Uint8Array(100))
    wal.add(new Uint8Array(40_000))
    wal.add(new Uint8Array(100))
    wal.switchSegment()
    const [short, long] = wal.records as [{ startLsn: bigint; endLsn: bigint }, { endLsn: bigint }]
    expect(endAt(wal, aligned(short.endLsn))).toEqual({
      kind: 'record',
      startLsn: short.startLsn,
      backupStartLsn: undefined,
    } as RecordEnd)
    expect(endAt(wal, aligned(long.endLsn)).kind).toBe('record')
    const switched = new WalBuilder(3n)
    while (switched.lsn < switched.firstLsn + BigInt((1 << 20) - 200)) switched.add(new Uint8Array(60))
    switched.switchSegment()
    expect(endAt(switched, switched.firstLsn + BigInt(1 << 20)).kind).toBe('record')
  })

  test('may be a switch far in front of the end of a segment, of which only empty pages are seen', () => {
    const wal = new WalBuilder(3n)
    wal.add(new Uint8Array(100))
    wal.switchSegment()
    expect(endAt(wal, wal.firstLsn + BigInt(1 << 20))).toEqual({ kind: 'switched' })
    expect(endAt(wal, wal.firstLsn + BigInt((1 << 20) - 8)).kind).toBe('between')
  })

  test('is none between the two ends of a record, and where nothing was written', () => {
    for (const bodyBytes of [10, 77, 900]) {
      const wal = someWal(bodyBytes)
      const { startLsn, endLsn } = wal.records.at(-2)!
      for (let lsn = startLsn + 8n; lsn < endLsn; lsn += 8n) expect(endAt(wal, lsn).kind).toBe('between')
      expect(endAt(wal, wal.firstLsn + 500_000n).kind).toBe('between')
    }
  })

  test('cannot be told where the WAL before it is damaged, or another segment is in the file', () => {
    const wal = someWal(77)
    const { endLsn } = wal.records.at(-2)!
    const at = Number(aligned(endLsn) - wal.firstLsn)
    const flip = (offset: number) => (bytes: Uint8Array) => {
      bytes[offset] = bytes[offset]! ^ 1
    }
    expect(endAt(wal, aligned(endLsn), flip(at - 20))).toMatchObject({ kind: 'unreadable' })
    const inPageAddress = 2 * wal.pageBytes + 12
    expect(endAt(wal, aligned(endLsn), flip(inPageAddress))).toMatchObject({ kind: 'unreadable' })
  })
})
