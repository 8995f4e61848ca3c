import { describe, expect, test } from 'bun:test'
import {
  boolean,
  byteSize,
  concurrency,
  duration,
  jsonText,
  oneOf,
  oneOfAnyCase,
  wholeNumber,
} from './setting-parsers.ts'

describe('setting parsers', () => {
  test('a boolean takes the strict words only: what is not understood is never taken for false', () => {
    expect(['1', 't', 'T', 'TRUE', 'true', 'True'].map(boolean)).toEqual(Array(6).fill(true))
    expect(['0', 'f', 'F', 'FALSE', 'false', 'False'].map(boolean)).toEqual(Array(6).fill(false))
    for (const word of ['yes', 'on', 'no', 'tRUE', '2', ''])
      expect(() => boolean(word)).toThrow('true or false')
  })

  test('a whole number keeps to its limits and says them', () => {
    expect(wholeNumber({ min: 1, max: 9 })('9')).toBe(9)
    expect(() => wholeNumber({ min: 1, max: 9 })('10')).toThrow('a whole number from 1 to 9')
    for (const text of ['0', '-1', '1.5', '1e3', 'abc', '']) {
      expect(() => wholeNumber({ min: 1 })(text)).toThrow('a whole number of at least 1')
    }
  })

  test('so many at a time that no machine has use for them count as the most', () => {
    expect(['1', '8', '9', '100000'].map(concurrency(8))).toEqual([1, 8, 8, 8])
    expect(() => concurrency(8)('0')).toThrow('a whole number of at least 1')
  })

  test('one of several words is matched exactly, or in any case where the table says so', () => {
    expect(oneOf('lz4', 'none')('lz4')).toBe('lz4')
    expect(() => oneOf('lz4', 'none')('LZ4')).toThrow('one of lz4, none')
    expect(oneOfAnyCase('fastest', 'best')('BEST')).toBe('best')
  })

  test('sizes and durations have their least value', () => {
    expect(() => byteSize(1)('0')).toThrow('at least 1 bytes')
    expect(() => duration(1000)('10ms')).toThrow('a duration of at least 1000ms')
  })

  test('JSON is checked and kept as it was written', () => {
    expect(jsonText('{"a": 12345678901234567890}')).toBe('{"a": 12345678901234567890}')
    expect(() => jsonText('{a}')).toThrow('valid JSON')
    expect(() => jsonText('[1e400]')).toThrow('range of a double')
  })
})
