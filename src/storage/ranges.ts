import { WalgError } from '../kit/errors.ts'
import type { GetOptions } from './storage.ts'

/** The bytes to read: from `firstBytes` up to, not including, `endBytes`. */
export interface ObjectRange {
  readonly firstBytes: number
  readonly endBytes: number
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
