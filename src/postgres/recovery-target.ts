import { WalgError } from '../kit/errors.ts'
import { civilTime, localOffsetMinutes, parseTimestamp } from '../kit/timestamp.ts'
import { formatLsn, type Lsn, parseLsn } from './lsn.ts'

/** How far recovery is to go. */
export type RecoveryTarget =
  /** As far as there is WAL. */
  | { readonly kind: 'latest' }
  /** As soon as the backup is consistent. */
  | { readonly kind: 'immediate' }
  /** Microseconds since 1970; everything up to and including it. */
  | { readonly kind: 'time'; readonly timeUs: bigint }
  | { readonly kind: 'lsn'; readonly lsn: Lsn }
  | { readonly kind: 'name'; readonly name: string }
  | { readonly kind: 'xid'; readonly xid: number }

/** What the server does when it is there. */
export type RecoveryAction = 'promote' | 'pause' | 'shutdown'

const RESTORE_POINT_NAME_BYTES_MAX = 63
const XID_MAX = 0xffff_ffffn
const FIRST_XID = 3n
const TIME =
  /^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}(?::\d{2}(?:[.,]\d+)?)?) ?(Z|UTC|GMT|[+-]\d{2}(?::?\d{2})?)?$/i

/**
 * Reads a moment with its zone: RFC 3339, or as PostgreSQL prints it (`2026-11-22 14:28:09.857502+00`). Throws USAGE,
 * with the two likely readings as the hint when the zone is missing.
 */
export function parseTimeTarget(text: string): bigint {
  const match = TIME.exec(text.trim())
  if (match === null) {
    throw new WalgError('USAGE', `not a time: "${text}"`, {
      hint: 'it looks like "2026-11-22 14:28:09+00" or 2026-11-22T14:28:09Z',
    })
  }
  const [, date = '', time = '', zone] = match
  const clock = time.length === 5 ? `${time}:00` : time.replace(',', '.')
  if (zone === undefined) {
    const { seconds } = parse(`${date}T${clock}Z`, text)
    const offset = formatOffset(localOffsetMinutes(seconds))
    const other = offset === '+00' ? '' : `, or "${date} ${clock}${offset}" if the zone of this host is meant`
    throw new WalgError('USAGE', `the time "${text}" has no time zone`, {
      hint: `say which: "${date} ${clock}+00" for UTC${other}`,
    })
  }
  const { seconds, nanos } = parse(`${date}T${clock}${normalZone(zone)}`, text)
  return BigInt(seconds) * 1_000_000n + BigInt(Math.trunc(nanos / 1000))
}

function parse(rfc3339: string, given: string): { readonly seconds: number; readonly nanos: number } {
  try {
    return parseTimestamp(rfc3339)
  } catch (error) {
    throw new WalgError('USAGE', `there is no such time: "${given}"`, { cause: error })
  }
}

function normalZone(zone: string): string {
  if (!/^[+-]/.test(zone)) return 'Z'
  const digits = zone.slice(1).replace(':', '').padEnd(4, '0')
  return `${zone[0]}${digits.slice(0, 2)}:${digits.slice(2)}`
}

/** `+00`, `-03:30`: as PostgreSQL writes an offset. */
function formatOffset(minutes: number): string {
  const size = Math.abs(minutes)
  const rest = size % 60 === 0 ? '' : `:${String(size % 60).padStart(2, '0')}`
  return `${minutes < 0 ? '-' : '+'}${String(Math.trunc(size / 60)).padStart(2, '0')}${rest}`
}

/** `2026-11-22 14:28:09.857502+00`, always in UTC: what PostgreSQL and `parseTimeTarget` read. */
export function formatTimeTarget(timeUs: bigint): string {
  const micros = ((timeUs % 1_000_000n) + 1_000_000n) % 1_000_000n
  const seconds = Number((timeUs - micros) / 1_000_000n)
  const [year, month, day, hour, minute, second] = civilTime({ seconds, nanos: 0, offsetMinutes: 0 })
  const two = (value: number): string => String(value).padStart(2, '0')
  const fraction = micros === 0n ? '' : `.${String(micros).padStart(6, '0').replace(/0+$/, '')}`
  return `${String(year).padStart(4, '0')}-${two(month)}-${two(day)} ${two(hour)}:${two(minute)}:${two(second)}${fraction}+00`
}

/** Throws USAGE for what is no LSN. */
export function parseLsnTarget(text: string): Lsn {
  try {
    return parseLsn(text)
  } catch (error) {
    throw new WalgError('USAGE', `not an LSN: "${text}"`, { cause: error, hint: 'it looks like 0/16B3748' })
  }
}

/** Throws USAGE for a name that no restore point can have. */
export function parseNameTarget(text: string): string {
  const bytes = new TextEncoder().encode(text).length
  if (bytes > 0 && bytes <= RESTORE_POINT_NAME_BYTES_MAX && !text.includes('\0')) return text
  throw new WalgError('USAGE', `"${text}" cannot be the name of a restore point`, {
    hint: `a name has 1 to ${RESTORE_POINT_NAME_BYTES_MAX} bytes`,
  })
}

/** The transaction as WAL names it: of a number with its epoch (`pg_current_xact_id()`) the lower 32 bits. */
export function parseXidTarget(text: string): number {
  const xid = /^\d{1,20}$/.test(text.trim()) ? BigInt(text.trim()) & XID_MAX : 0n
  if (xid >= FIRST_XID) return Number(xid)
  throw new WalgError('USAGE', `not the number of a transaction: "${text}"`, {
    hint: 'it is what pg_current_xact_id() or txid_current() showed in that transaction',
  })
}

/** For messages: `the time 2026-… +00`. */
export function describeTarget(target: RecoveryTarget): string {
  switch (target.kind) {
    case 'latest':
      return 'the end of the archive'
    case 'immediate':
      return 'the end of the backup'
    case 'time':
      return `the time ${formatTimeTarget(target.timeUs)}`
    case 'lsn':
      return `LSN ${formatLsn(target.lsn)}`
    case 'name':
      return `restore point "${target.name}"`
    case 'xid':
      return `transaction ${target.xid}`
  }
}
