import { WalgError } from '../kit/errors.ts'

declare const lsnBrand: unique symbol
/** A position in the WAL, in bytes, exact. */
export type Lsn = bigint & { readonly [lsnBrand]: true }

const LSN_MAX = (1n << 64n) - 1n

/** Brands a number as an LSN. Throws FORMAT_INVALID outside 0 … 2^64-1. */
export function toLsn(value: bigint | number): Lsn {
  const lsn = BigInt(value)
  if (lsn < 0n || lsn > LSN_MAX) throw new WalgError('FORMAT_INVALID', `not an LSN: ${value}`)
  return lsn as Lsn
}

/** Parses PostgreSQL's `X/Y` form. Throws FORMAT_INVALID. */
export function parseLsn(text: string): Lsn {
  const match = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text.trim())
  if (match === null) {
    throw new WalgError('FORMAT_INVALID', `not an LSN: "${text}"`, { hint: 'an LSN looks like 0/16B3748' })
  }
  return ((BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`)) as Lsn
}

/** Formats as `X/Y`, upper-case hex without padding, as PostgreSQL and WAL-G do. */
export function formatLsn(lsn: Lsn): string {
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffffffffn).toString(16).toUpperCase()}`
}
