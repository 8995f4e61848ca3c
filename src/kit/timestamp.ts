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

/** Parses RFC 3339 with any number of fractional digits (beyond nanoseconds: cut). Throws FORMAT_INVALID. */
export function parseTimestamp(text: string): Timestamp {
  const year = digits(text, 0, 4)
  const month = digits(text, 5, 2)
  const day = digits(text, 8, 2)
  const hour = digits(text, 11, 2)
  const minute = digits(text, 14, 2)
  const second = digits(text, 17, 2)
  const marks = text[4]! + text[7] + text[10] + text[13] + text[16]
  const isDate = month >= 1 && month <= 12 && day >= 1 && day <= daysInMonth(year, month)
  if (year < 0 || !isDate || (marks !== '--T::' && marks !== '--t::')) throw invalid(text)
  if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59) throw invalid(text)
  let at = 19
  let nanos = 0
  if (text[at] === '.' || text[at] === ',') {
    let scale = 100_000_000
    const first = at + 1
    for (at = first; isDigit(text.charCodeAt(at)); at += 1) {
      nanos += (text.charCodeAt(at) - 0x30) * scale
      scale = Math.floor(scale / 10)
    }
    if (at === first) throw invalid(text)
  }
  const offsetMinutes = parseOffset(text, at)
  const days = daysFromCivil(year, month, day)
  const seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offsetMinutes * 60
  return { seconds, nanos, offsetMinutes }
}

function parseOffset(text: string, at: number): number {
  const mark = text[at]
  if ((mark === 'Z' || mark === 'z') && text.length === at + 1) return 0
  const hours = digits(text, at + 1, 2)
  const minutes = digits(text, at + 4, 2)
  const isShaped = (mark === '+' || mark === '-') && text[at + 3] === ':' && text.length === at + 6
  if (!isShaped || hours < 0 || hours > 24 || minutes < 0 || minutes > 59) throw invalid(text)
  const offset = hours * 60 + minutes
  return mark === '-' && offset !== 0 ? -offset : offset
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39
}

/** `count` decimal digits at `at`, or -1. */
function digits(text: string, at: number, count: number): number {
  let value = 0
  for (let index = at; index < at + count; index += 1) {
    const code = text.charCodeAt(index)
    if (!isDigit(code)) return -1
    value = value * 10 + code - 0x30
  }
  return value
}

/** RFC 3339 with up to nine fractional digits, trailing zeros cut, `Z` for a zero offset (as the original writes). */
export function formatTimestamp(time: Timestamp): string {
  const fraction = time.nanos === 0 ? '' : `.${String(time.nanos).padStart(9, '0').replace(/0+$/, '')}`
  return `${dateAndTime(time)}${fraction}${formatOffset(time.offsetMinutes)}`
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
  const nanos = ((ns % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n
  return { seconds: Number((ns - nanos) / 1_000_000_000n), nanos: Number(nanos), offsetMinutes }
}

/** The zone offset of this host at that moment, in minutes east of UTC. */
export function localOffsetMinutes(seconds: number): number {
  return -Math.trunc(new Date(seconds * 1000).getTimezoneOffset())
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

function dateAndTime(time: Timestamp): string {
  const [year, month, day, hour, minute, second] = civilTime(time)
  return `${String(year).padStart(4, '0')}-${two(month)}-${two(day)}T${two(hour)}:${two(minute)}:${two(second)}`
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

function invalid(text: string): WalgError {
  return new WalgError('FORMAT_INVALID', `not an RFC 3339 time: "${text}"`)
}
