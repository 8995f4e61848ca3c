import { WalgError } from '../kit/errors.ts'
import type { GetOptions } from './storage.ts'

/** The bytes to read: from `firstBytes` up to, not including, `endBytes`. */
export interface ObjectRange {
  readonly firstBytes: number
  readonly endBytes: number
}

/** Value of the Range header for the bytes from `firstBytes` up to, not including, `endBytes`; undefined for everything. */
export function rangeHeader(firstBytes: number, endBytes: number | undefined): string | undefined {
  if (firstBytes === 0 && endBytes === undefined) return undefined
  return `bytes=${firstBytes}-${endBytes === undefined ? '' : endBytes - 1}`
}

/** The size of the whole object in a Content-Range header, `bytes 5-9/100`. */
export function wholeSizeOf(contentRange: string | null | undefined): number | undefined {
  const total = /\/(\d+)$/.exec(contentRange ?? '')?.[1]
  return total === undefined ? undefined : Number(total)
}

/** Checks a wanted range against an object's size; throws RANGE_INVALID. */
export function rangeWithin(
  key: string,
  storage: string,
  sizeBytes: number,
  range: GetOptions['range'],
): ObjectRange {
  const first = range?.first ?? 0
  const end = range?.end ?? sizeBytes
  if (
    !Number.isSafeInteger(first) ||
    !Number.isSafeInteger(end) ||
    first < 0 ||
    end < first ||
    first > sizeBytes
  ) {
    throw new WalgError(
      'RANGE_INVALID',
      `object "${key}" in storage "${storage}" has ${sizeBytes} bytes, the range ${first}-${range?.end ?? ''} is not in it`,
      { facts: { key, storage, sizeBytes, first, end } },
    )
  }
  return { firstBytes: first, endBytes: Math.min(end, sizeBytes) }
}
