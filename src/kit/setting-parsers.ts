/** Parsers for settings tables. Each throws an Error whose message says what was expected. */
import { checkPortableJson } from './json.ts'
import type { SettingParser } from './settings.ts'
import { parseByteSize, parseDurationMs, parsePeriodMs } from './sizes.ts'

export const text: SettingParser<string> = value => value

const TRUE_WORDS = ['1', 't', 'T', 'TRUE', 'true', 'True']
const FALSE_WORDS = ['0', 'f', 'F', 'FALSE', 'false', 'False']

/** The words that the original reads strictly; anything else is refused instead of meaning false. */
export const boolean: SettingParser<boolean> = value => {
  const word = value.trim()
  if (TRUE_WORDS.includes(word)) return true
  if (FALSE_WORDS.includes(word)) return false
  throw new Error('true or false')
}

export function wholeNumber(
  limits: { readonly min?: number; readonly max?: number } = {},
): SettingParser<number> {
  const min = limits.min ?? 0
  const max = limits.max ?? Number.MAX_SAFE_INTEGER
  return value => {
    const number = /^[+-]?\d+$/.test(value.trim()) ? Number(value) : Number.NaN
    if (number >= min && number <= max) return number
    if (limits.max === undefined) throw new Error(`a whole number of at least ${min}`)
    throw new Error(`a whole number from ${min} to ${max}`)
  }
}

/** How many of something at a time: more than `max`, which no machine has use for, count as `max`. */
export function concurrency(max: number): SettingParser<number> {
  const parse = wholeNumber({ min: 1 })
  return value => Math.min(max, parse(value))
}

/** A share from 0 to 1, such as `0.3`. */
export const share: SettingParser<number> = value => {
  const number = /^\d*\.?\d+$/.test(value.trim()) ? Number(value) : Number.NaN
  if (number >= 0 && number <= 1) return number
  throw new Error('a number from 0 to 1, e.g. 0.5')
}

/** One of `words`, exactly as written there. */
export function oneOf<const W extends readonly string[]>(...words: W): SettingParser<W[number]> {
  return value => {
    const found = words.find(word => word === value)
    if (found === undefined) throw new Error(`one of ${words.join(', ')}`)
    return found
  }
}

/** One of `words`; upper and lower case mean the same. */
export function oneOfAnyCase<const W extends readonly string[]>(...words: W): SettingParser<W[number]> {
  return value => {
    const found = words.find(word => word.toLowerCase() === value.trim().toLowerCase())
    if (found === undefined) throw new Error(`one of ${words.join(', ')}`)
    return found
  }
}

/** Bytes, at least `minBytes`. */
export function byteSize(minBytes = 0): SettingParser<number> {
  return value => {
    const bytes = parseByteSize(value)
    if (bytes < minBytes) throw new Error(`at least ${minBytes} bytes`)
    return bytes
  }
}

/** Milliseconds of a duration such as `90s`. */
export function duration(minMs = 0): SettingParser<number> {
  return value => {
    const ms = parseDurationMs(value)
    if (ms < minMs) throw new Error(`a duration of at least ${minMs}ms`)
    return ms
  }
}

/** Milliseconds, more than none, of a long span such as `14d`. */
export const period: SettingParser<number> = value => {
  const ms = parsePeriodMs(value)
  if (ms === 0) throw new Error('a span longer than nothing')
  return ms
}

/** JSON, kept as the exact text that was given. */
export const jsonText: SettingParser<string> = value => {
  try {
    checkPortableJson(value)
  } catch {
    throw new Error('valid JSON, with numbers within the range of a double')
  }
  return value
}
