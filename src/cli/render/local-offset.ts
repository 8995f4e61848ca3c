import { readFileSync } from 'node:fs'

/** The offset of local time and the seconds since 1970 between which it holds. */
export interface LocalOffset {
  readonly offsetSeconds: number
  readonly fromSeconds: number
  readonly untilSeconds: number
}

const ZONE_NAME = /^[A-Za-z][A-Za-z0-9_+-]*(?:\/[A-Za-z0-9_+-]+)*$/
const HEADER_BYTES = 44
const COUNTS_OFFSET = 20

let current: LocalOffset | undefined

/**
 * Offset of this host's zone at a time. The runtime's `Date` knows it too, but its first question for local time loads the
 * tables of all zones, a sixth of what a process for one WAL segment takes. So the zone file is asked, and `Date` only
 * where that does not answer.
 */
export function localOffsetSeconds(atSeconds: number, zone: string | undefined): number {
  if (current !== undefined && atSeconds >= current.fromSeconds && atSeconds < current.untilSeconds) {
    return current.offsetSeconds
  }
  current = offsetOfHost(atSeconds, zone)
  return current?.offsetSeconds ?? -60 * new Date(atSeconds * 1000).getTimezoneOffset()
}

function offsetOfHost(atSeconds: number, zone: string | undefined): LocalOffset | undefined {
  if (zone !== undefined && !ZONE_NAME.test(zone)) return undefined
  try {
    return readOffset(
      readFileSync(zone === undefined ? '/etc/localtime' : `/usr/share/zoneinfo/${zone}`),
      atSeconds,
    )
  } catch {
    return undefined
  }
}

/**
 * Reads the 64-bit block of a TZif file (RFC 8536). Undefined when the file does not say it outright: before its first
 * transition, or behind the last one in a zone that goes on changing by a rule.
 */
export function readOffset(bytes: Uint8Array, atSeconds: number): LocalOffset | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (view.getUint32(0) !== 0x545a6966 || bytes[4]! < 0x32) return undefined
  const first = countsAt(view, 0)
  const begin = HEADER_BYTES + bytesOf(first, 4)
  const counts = countsAt(view, begin)
  const timesAt = begin + HEADER_BYTES
  const kindsAt = timesAt + counts.times * 9
  const timeOf = (index: number): number => Number(view.getBigInt64(timesAt + 8 * index))
  let after = 0
  while (after < counts.times && timeOf(after) <= atSeconds) after++
  if (after === 0 && counts.times > 0) return undefined
  const footer = new TextDecoder('latin1').decode(bytes.subarray(timesAt + bytesOf(counts, 8)))
  if (after === counts.times && footer.includes(',')) return undefined
  const kind = after === 0 ? 0 : bytes[timesAt + counts.times * 8 + after - 1]!
  return {
    offsetSeconds: view.getInt32(kindsAt + 6 * kind),
    fromSeconds: after === 0 ? Number.NEGATIVE_INFINITY : timeOf(after - 1),
    untilSeconds: after === counts.times ? Number.POSITIVE_INFINITY : timeOf(after),
  }
}

interface Counts {
  readonly times: number
  readonly kinds: number
  readonly letters: number
  readonly leaps: number
  readonly flags: number
}

function countsAt(view: DataView, headerAt: number): Counts {
  const count = (index: number): number => view.getUint32(headerAt + COUNTS_OFFSET + 4 * index)
  return { flags: count(0) + count(1), leaps: count(2), times: count(3), kinds: count(4), letters: count(5) }
}

function bytesOf(counts: Counts, timeBytes: number): number {
  const { times, kinds, letters, leaps, flags } = counts
  return times * (timeBytes + 1) + kinds * 6 + letters + leaps * (timeBytes + 4) + flags
}
