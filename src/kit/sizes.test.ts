import { describe, expect, test } from 'bun:test'
import { formatByteSize, formatDurationMs, parseByteSize, parseDurationMs } from './sizes.ts'

describe('sizes', () => {
  test('are plain bytes or carry k, m, g, in either case, with or without b', () => {
    const read = ['0', '1048576', '64k', '64KB', '20m', '20Mb', '1g', '2 gb'].map(parseByteSize)
    expect(read).toEqual([0, 1048576, 65536, 65536, 20971520, 20971520, 1073741824, 2147483648])
  })

  test('that are no whole number of bytes are refused with what was expected', () => {
    for (const text of ['', '-1', '1.5m', '10t', 'abc', '9999999999999999g', '0x10']) {
      expect(() => parseByteSize(text)).toThrow('a number of bytes')
    }
  })

  test('are shown in the largest unit that fits', () => {
    const shown = [0, 1023, 1536, 20971520, 1.5 * 2 ** 40].map(formatByteSize)
    expect(shown).toEqual(['0 B', '1023 B', '1.5 KiB', '20.0 MiB', '1.5 TiB'])
  })
})

describe('durations', () => {
  test('need their unit, may be combined, and 0 needs none', () => {
    const read = ['90s', '1m30s', '1h', '1.5h', '250ms', '100us', '0', '0s'].map(parseDurationMs)
    expect(read).toEqual([90000, 90000, 3600000, 5400000, 250, 0.1, 0, 0])
  })

  test('without a unit, negative or garbled are refused', () => {
    for (const text of ['', '60', '-1s', '1d', 's', '1m 30s', '1 s', 'm1']) {
      expect(() => parseDurationMs(text)).toThrow('a duration with its unit')
    }
  })

  test('are shown in a form that reads back as the same', () => {
    for (const ms of [0, 5, 250, 1500, 59_000, 60_000, 90_000, 3_600_000, 3_725_000]) {
      expect(parseDurationMs(formatDurationMs(ms))).toBe(ms)
    }
  })
})
