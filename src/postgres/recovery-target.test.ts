import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { WalgError } from '../kit/errors.ts'
import { formatTimeTarget, parseNameTarget, parseTimeTarget, parseXidTarget } from './recovery-target.ts'

const seed = Number(process.env['SEED'] ?? 20261122)
const NOON_US = 1_795_348_800_000_000n // 2026-11-22 12:00:00 UTC

function failure(act: () => unknown): WalgError {
  try {
    act()
  } catch (error) {
    if (error instanceof WalgError) return error
    throw error
  }
  throw new Error('nothing was thrown')
}

describe('a time to recover to', () => {
  test('is read in every form that PostgreSQL and RFC 3339 write', () => {
    for (const text of [
      '2026-11-22T12:00:00Z',
      '2026-11-22 12:00:00+00',
      '2026-11-22 12:00+00',
      '2026-11-22 12:00:00 UTC',
      '2026-11-22 13:00:00.000000+01',
      '2026-11-22 06:30:00-05:30',
      '2026-11-22 06:30:00-0530',
    ]) {
      expect([text, parseTimeTarget(text)]).toEqual([text, NOON_US])
    }
    expect(parseTimeTarget('2026-11-22 12:00:00.000001+00')).toBe(NOON_US + 1n)
  })

  test('needs its zone, and is shown with one', () => {
    const error = failure(() => parseTimeTarget('2026-11-22 12:00:00'))
    expect([error.code, error.hint]).toEqual([
      'USAGE',
      expect.stringContaining('"2026-11-22 12:00:00+00" for UTC'),
    ])
  })

  test('that does not exist is refused', () => {
    for (const text of ['', 'now', '2026-02-30 12:00:00+00', '2026-11-22 25:00:00Z', '2026-11-22']) {
      expect([text, failure(() => parseTimeTarget(text)).code]).toEqual([text, 'USAGE'])
    }
  })

  test(`is what it was after being written and read (SEED=${seed})`, () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 253_402_300_799_999_999n }), timeUs => {
        expect(parseTimeTarget(formatTimeTarget(timeUs))).toBe(timeUs)
      }),
      { seed },
    )
  })
})

test('a transaction is named with or without its epoch; reserved numbers are none', () => {
  expect(parseXidTarget('4711')).toBe(4711)
  expect(parseXidTarget(String((7n << 32n) + 4711n))).toBe(4711)
  for (const text of ['2', '0', '-5', 'x', '']) expect(failure(() => parseXidTarget(text)).code).toBe('USAGE')
})

test('a restore point has a name of 1 to 63 bytes', () => {
  expect(parseNameTarget('ä'.repeat(31))).toBe('ä'.repeat(31))
  for (const text of ['', 'ä'.repeat(32)]) expect(failure(() => parseNameTarget(text)).code).toBe('USAGE')
})
