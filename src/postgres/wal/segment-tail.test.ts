import { describe, expect, test } from 'bun:test'
import { segmentName, walBytes } from '../../../test/support/wal-bytes.ts'
import { checkSegment } from './page-reader.ts'
import { judgeSegmentTail } from './segment-tail.ts'

const name = segmentName(5)

function judged(change: (bytes: Uint8Array, view: DataView) => void): ReturnType<typeof judgeSegmentTail> {
  const bytes = walBytes(name)
  change(bytes, new DataView(bytes.buffer))
  return judgeSegmentTail(checkSegment(bytes, name))
}

describe('the tail of a segment', () => {
  test('is fine when it is written, and when it is zeros, as after a switch', () => {
    expect(judged(() => {})).toBeUndefined()
    expect(judged(bytes => void bytes.fill(0, 8192 * 3 + 500))).toBeUndefined()
  })

  test('is unfinished where pages of an older segment follow', () => {
    expect(judged(bytes => bytes.set(walBytes(segmentName(2)).subarray(81_920), 81_920))).toEqual({
      isUnfinished: true,
      soundBytes: 81_920,
      endLsn: '0/514000',
      message: 'is written up to byte 81920 only (LSN 0/514000), pages of an older segment follow',
    })
  })

  test('is not unfinished where the file is cut, or holds pages of another offset', () => {
    const bytes = walBytes(name)
    bytes.set(walBytes(segmentName(2)).subarray(81_920), 81_920)
    expect(judgeSegmentTail(checkSegment(bytes.subarray(0, 500_000), name))?.isUnfinished).toBe(false)
    expect(judged(other => void other.copyWithin(81_920, 8192, 16_384))?.isUnfinished).toBe(false)
  })

  test('is damaged where an address, a magic, a timeline or a page of zeros is wrong', () => {
    const faults: readonly [(bytes: Uint8Array, view: DataView) => void, string][] = [
      [(_, view) => view.setBigUint64(16_384 + 8, 0x7000000n, true), 'it holds the page of 0/7000000'],
      [(_, view) => view.setUint16(16_384, 0xd000, true), 'it changes its page magic'],
      [(_, view) => view.setUint32(16_384 + 4, 9, true), 'it has a page of timeline 9'],
      [bytes => void bytes.fill(0, 16_384, 24_576), 'it has a page of zeros'],
    ]
    for (const [change, reason] of faults) {
      const tail = judged(change)
      expect(tail).toMatchObject({ isUnfinished: false, soundBytes: 16_384, endLsn: '0/504000' })
      expect(tail?.message).toStartWith(`is damaged from byte 16384 on (LSN 0/504000): ${reason}`)
    }
  })

  test('is nothing to judge where the head is at fault already', () => {
    expect(judged((_, view) => view.setUint16(0, 0, true))).toBeUndefined()
    expect(judgeSegmentTail(checkSegment(walBytes(name), segmentName(6)))).toBeUndefined()
    expect(judgeSegmentTail(checkSegment(walBytes(name).subarray(0, 8192), name))).toBeUndefined()
  })
})
