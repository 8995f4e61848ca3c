import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { seed } from '../../test/support/seeded-random.ts'
import { hasCode } from './errors.ts'
import {
  ceilToMicroseconds,
  civilTime,
  epochNs,
  formatTimestamp,
  formatTimestampSeconds,
  isZeroTime,
  parseTimestamp,
  timestampFromNs,
  ZERO_TIME,
} from './timestamp.ts'

test('times keep their nanoseconds and their zone', () => {
  const time = parseTimestamp('2026-11-22T17:00:55.902274652+05:30')
  expect(epochNs(time)).toBe(1795347055902274652n)
  expect(formatTimestamp(time)).toBe('2026-11-22T17:00:55.902274652+05:30')
  expect(formatTimestampSeconds(time)).toBe('2026-11-22T17:00:55+05:30')
})

test('trailing zeros of the fraction are cut and a zero offset is written Z', () => {
  expect(formatTimestamp(parseTimestamp('2026-11-22T11:34:58.445630000+00:00'))).toBe(
    '2026-11-22T11:34:58.44563Z',
  )
  expect(formatTimestamp(parseTimestamp('2026-11-22t11:34:54.000-00:00'))).toBe('2026-11-22T11:34:54Z')
})

test('the time of nobody is the first second of year 1', () => {
  expect(formatTimestamp(ZERO_TIME)).toBe('0001-01-01T00:00:00Z')
  expect(isZeroTime(parseTimestamp('0001-01-01T00:00:00Z'))).toBe(true)
})

test('microseconds are rounded up', () => {
  expect(formatTimestamp(ceilToMicroseconds(1_000_000_001n))).toBe('1970-01-01T00:00:01.000001Z')
  expect(formatTimestamp(ceilToMicroseconds(1_000_001_000n))).toBe('1970-01-01T00:00:01.000001Z')
})

test.each([
  '',
  '2026-11-22',
  '2026-11-22 11:34:58Z',
  '2026-02-29T00:00:00Z',
  '2026-13-01T00:00:00Z',
  '2026-11-22T24:00:00Z',
  '2026-11-22T11:34:58',
  '2026-11-22T11:34:58.Z',
  '2026-11-22T11:34:58+0530',
  '2026-11-22T11:34:58Zx',
  '２０２６-11-22T11:34:58Z',
])('%p is refused as a time', text => {
  expect(() => parseTimestamp(text)).toThrow(expect.objectContaining({ code: 'FORMAT_INVALID' }))
})

test('every time of the years 1 to 9999 in every zone comes back from its text', () => {
  const times = fc.record({
    ns: fc.bigInt({ min: -62_135_510_400_000_000_000n, max: 253_402_214_400_000_000_000n }),
    offset: fc.integer({ min: -23 * 60, max: 23 * 60 }),
  })
  fc.assert(
    fc.property(times, ({ ns, offset }) => {
      const time = timestampFromNs(ns, offset)
      const again = parseTimestamp(formatTimestamp(time))
      expect(epochNs(again)).toBe(ns)
      expect(again.offsetMinutes).toBe(offset)
    }),
    { seed },
  )
})

test('the calendar agrees with that of the platform', () => {
  fc.assert(
    fc.property(fc.integer({ min: -30_000_000_000, max: 250_000_000_000 }), seconds => {
      const date = new Date(seconds * 1000)
      expect(civilTime({ seconds, nanos: 0, offsetMinutes: 0 })).toEqual([
        date.getUTCFullYear(),
        date.getUTCMonth() + 1,
        date.getUTCDate(),
        date.getUTCHours(),
        date.getUTCMinutes(),
        date.getUTCSeconds(),
        date.getUTCDay(),
      ])
    }),
    { seed },
  )
})

test('a time that cannot be read is a coded error', () => {
  let caught: unknown
  try {
    parseTimestamp('yesterday')
  } catch (error) {
    caught = error
  }
  expect(hasCode(caught, 'FORMAT_INVALID')).toBe(true)
})
