import { WalgError } from './errors.ts'

/**
 * A moment with nanoseconds and the zone offset it was written with: what RFC 3339 text holds, exactly. The
 * moment is (`seconds` since 1970, `nanos` 0 … 999,999,999); the offset only matters for the text.
 */
export interface Timestamp {
  readonly seconds: number
  readonly nanos: number
  readonly offsetMinutes: number
}

const ZERO_SECONDS = -62_135_596_800

/** A time that is not known, see `isZeroTime`. */
export const ZERO_TIME: Timestamp = { seconds: ZERO_SECONDS, nanos: 0, offsetMinutes: 0 }

/** The longest text that is read as a time. */
const TEXT_LENGTH_MAX = 64
const scratch: Uint8Array = new Uint8Array(TEXT_LENGTH_MAX)
const parsed: Float64Array = new Float64Array(3)

/** Parses RFC 3339 with any number of fractional digits (beyond nanoseconds: cut). Throws FORMAT_INVALID. */
export function parseTimestamp(text: string): Timestamp {
  const length = Math.min(text.length, TEXT_LENGTH_MAX)
  for (let at = 0; at < length; at += 1) scratch[at] = Math.min(text.charCodeAt(at), 0xff)
  if (length < text.length || !readTimestamp(scratch, 0, length, parsed)) {
    throw new WalgError('FORMAT_INVALID', `not an RFC 3339 time: "${text.slice(0, 2 * TEXT_LENGTH_MAX)}"`)
  }
  return { seconds: parsed[0]!, nanos: parsed[1]!, offsetMinutes: parsed[2]! }
}

/**
 * The same for the ASCII text `bytes[from … to)`, without allocating: a backup has a million of them. Fills `into`
 * with seconds, nanos and offset in minutes; false when it is no time.
 */
export function readTimestamp(bytes: Uint8Array, from: number, to: number, into: Float64Array): boolean {
  if (to - from < '0000-00-00T00:00:00Z'.length || !hasMarks(bytes, from)) return false
  const year = digits(bytes, from, 4)
  const month = digits(bytes, from + 5, 2)
  const day = digits(bytes, from + 8, 2)
  const hour = digits(bytes, from + 11, 2)
  const minute = digits(bytes, from + 14, 2)
  const second = digits(bytes, from + 17, 2)
  if (year < 0 || month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month)) return false
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) return false
  let at = from + 19
  let nanos = 0
  if (bytes[at] === 0x2e || bytes[at] === 0x2c) {
    const first = at + 1
    let scale = 100_000_000
    for (at = first; at < to && isDigit(bytes[at]!); at += 1) {
      nanos += (bytes[at]! - 0x30) * scale
      scale = Math.floor(scale / 10)
    }
    if (at === first) return false
  }
  const offset = readOffset(bytes, at, to)
  into[0] = daysFromCivil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset * 60
  into[1] = nanos
  into[2] = offset
  return !Number.isNaN(offset)
}

/** `-`, `-`, `T`, `:`, `:` at their places. */
function hasMarks(bytes: Uint8Array, from: number): boolean {
  const isDate = bytes[from + 4] === 0x2d && bytes[from + 7] === 0x2d
  return (
    isDate && (bytes[from + 10]! | 0x20) === 0x74 && bytes[from + 13] === 0x3a && bytes[from + 16] === 0x3a
  )
}

/** Minutes east of UTC; NaN when `bytes[at … to)` is no offset. */
function readOffset(bytes: Uint8Array, at: number, to: number): number {
  const mark = bytes[at]!
  if ((mark | 0x20) === 0x7a && to === at + 1) return 0
  const hours = digits(bytes, at + 1, 2)
  const minutes = digits(bytes, at + 4, 2)
  const isShaped = (mark === 0x2b || mark === 0x2d) && bytes[at + 3] === 0x3a && to === at + 6
  if (!isShaped || hours < 0 || hours > 24 || minutes < 0 || minutes > 59) return Number.NaN
  const offset = hours * 60 + minutes
  return mark === 0x2d && offset !== 0 ? -offset : offset
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39
}

/** `count` decimal digits at `at`, or -1. */
function digits(bytes: Uint8Array, at: number, count: number): number {
  let value = 0
  for (let index = at; index < at + count; index += 1) {
    const code = bytes[index]!
    if (!isDigit(code)) return -1
    value = value * 10 + code - 0x30
  }
  return value
}

/** RFC 3339 with up to nine fractional digits, trailing zeros cut, `Z` for a zero offset (as the original writes). */
export function formatTimestamp(time: Timestamp): string {
  return dateAndTime(time) + fractionOf(time.nanos) + formatOffset(time.offsetMinutes)
}

/** RFC 3339 with whole seconds. */
export function formatTimestampSeconds(time: Timestamp): string {
  return dateAndTime(time) + formatOffset(time.offsetMinutes)
}

/** Nanoseconds since 1970. */
export function epochNs(time: Timestamp): bigint {
  return BigInt(time.seconds) * 1_000_000_000n + BigInt(time.nanos)
}

/** The moment `ns` after 1970, to be written with `offsetMinutes` (default UTC). */
export function timestampFromNs(ns: bigint, offsetMinutes = 0): Timestamp {
  const seconds = Number(ns / 1_000_000_000n)
  const nanos = Number(ns % 1_000_000_000n)
  return nanos < 0
    ? { seconds: seconds - 1, nanos: nanos + 1_000_000_000, offsetMinutes }
    : { seconds, nanos, offsetMinutes }
}

/** No zone changes its offset but at a whole quarter of an hour; files that lie together were mostly written together. */
const ZONE_STEP_SECONDS = 900
let lastQuarterHour = Number.NaN
let lastOffsetMinutes = 0

/** The zone offset of this host at that moment, in minutes east of UTC. */
export function localOffsetMinutes(seconds: number): number {
  const quarterHour = Math.floor(seconds / ZONE_STEP_SECONDS)
  if (quarterHour !== lastQuarterHour) {
    lastOffsetMinutes = -Math.trunc(new Date(seconds * 1000).getTimezoneOffset())
    lastQuarterHour = quarterHour
  }
  return lastOffsetMinutes
}

/** The moment `ns` after 1970 in the zone of this host. */
export function localTimestampFromNs(ns: bigint): Timestamp {
  const time = timestampFromNs(ns)
  return { ...time, offsetMinutes: localOffsetMinutes(time.seconds) }
}

/** The same moment rounded up to whole microseconds, in UTC: how backup start and end are stored. */
export function ceilToMicroseconds(ns: bigint): Timestamp {
  return timestampFromNs(((ns + 999n) / 1000n) * 1000n)
}

/** True for the first second of year 1: how the original writes a time that it does not have. */
export function isZeroTime(time: Timestamp): boolean {
  return time.seconds === ZERO_SECONDS && time.nanos === 0
}

/** Now, in nanoseconds since 1970 (the clock's own resolution is coarser). */
export function nowNs(): bigint {
  return BigInt(Math.round((performance.timeOrigin + performance.now()) * 1000)) * 1000n
}

/** Year, month (1-12), day, hour, minute, second and weekday (0 = Sunday) as a clock in that zone shows them. */
export function civilTime(
  time: Timestamp,
): readonly [number, number, number, number, number, number, number] {
  const local = time.seconds + time.offsetMinutes * 60
  const days = Math.floor(local / 86_400)
  const rest = local - days * 86_400
  const [year, month, day] = civilFromDays(days)
  const weekday = (((days + 4) % 7) + 7) % 7
  return [year, month, day, Math.floor(rest / 3600), Math.floor(rest / 60) % 60, rest % 60, weekday]
}

/** Files that lie together were mostly written in the same second. */
let lastLocalSeconds = Number.NaN
let lastDateAndTime = ''

function dateAndTime(time: Timestamp): string {
  const local = time.seconds + time.offsetMinutes * 60
  if (local === lastLocalSeconds) return lastDateAndTime
  lastDateAndTime = formatDateAndTime(time)
  lastLocalSeconds = local
  return lastDateAndTime
}

function formatDateAndTime(time: Timestamp): string {
  const [year, month, day, hour, minute, second] = civilTime(time)
  return `${String(year).padStart(4, '0')}-${two(month)}-${two(day)}T${two(hour)}:${two(minute)}:${two(second)}`
}

/** A point and the digits up to the last that is not 0. */
function fractionOf(nanos: number): string {
  if (nanos === 0) return ''
  let digits = 9
  let value = nanos
  while (value % 10 === 0) {
    value /= 10
    digits -= 1
  }
  return `.${String(value).padStart(digits, '0')}`
}

function formatOffset(offsetMinutes: number): string {
  if (offsetMinutes === 0) return 'Z'
  const size = Math.abs(offsetMinutes)
  return `${offsetMinutes < 0 ? '-' : '+'}${two(Math.floor(size / 60))}:${two(size % 60)}`
}

function two(value: number): string {
  return value < 10 ? `0${value}` : String(value)
}

function daysInMonth(year: number, month: number): number {
  if (month === 2) return (year % 4 === 0 && year % 100 !== 0) || year % 400 === 0 ? 29 : 28
  return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
}

/** Days since 1970-01-01 of a date in the proleptic Gregorian calendar; years begin in March inside. */
function daysFromCivil(year: number, month: number, day: number): number {
  const y = month <= 2 ? year - 1 : year
  const era = Math.floor(y / 400)
  const yearOfEra = y - era * 400
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1
  const dayOfEra = yearOfEra * 365 + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100) + dayOfYear
  return era * 146_097 + dayOfEra - 719_468
}

function civilFromDays(days: number): readonly [number, number, number] {
  const shifted = days + 719_468
  const era = Math.floor(shifted / 146_097)
  const dayOfEra = shifted - era * 146_097
  const yearOfEra = Math.floor(
    (dayOfEra -
      Math.floor(dayOfEra / 1460) +
      Math.floor(dayOfEra / 36_524) -
      Math.floor(dayOfEra / 146_096)) /
      365,
  )
  const dayOfYear = dayOfEra - (365 * yearOfEra + Math.floor(yearOfEra / 4) - Math.floor(yearOfEra / 100))
  const monthFromMarch = Math.floor((5 * dayOfYear + 2) / 153)
  const day = dayOfYear - Math.floor((153 * monthFromMarch + 2) / 5) + 1
  const month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
  return [yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day]
}
