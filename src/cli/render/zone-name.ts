import { readFileSync } from 'node:fs'
import { localOffsetMinutes, type Timestamp } from '../../kit/timestamp.ts'

const ZONE_FOLDERS = ['/usr/share/zoneinfo', '/usr/lib/zoneinfo', '/usr/share/lib/zoneinfo']

/**
 * What stands behind an RFC 850 time: `UTC` for a zero offset, the abbreviation of this host's zone when the time
 * is in it (`CET`, `IST`), else the offset (`+0530`, `+02`).
 */
export function zoneAbbreviation(time: Timestamp): string {
  if (time.offsetMinutes === localOffsetMinutes(time.seconds)) {
    const name = localAbbreviation(time.seconds)
    if (name !== undefined) return name
  }
  return time.offsetMinutes === 0 ? 'UTC' : formatOffset(time.offsetMinutes)
}

function formatOffset(offsetMinutes: number): string {
  const size = Math.abs(offsetMinutes)
  const hours = String(Math.floor(size / 60)).padStart(2, '0')
  const minutes = String(size % 60).padStart(2, '0')
  return `${offsetMinutes < 0 ? '-' : '+'}${hours}${minutes}`
}

let local: ZoneTable | null | undefined

function localAbbreviation(seconds: number): string | undefined {
  local ??= loadLocalZone()
  return local === null ? undefined : abbreviationAt(local, seconds)
}

/** Transitions of a TZif file: from `times[i]` on, `names[i]` with `offsets[i]` (in seconds) holds. */
interface ZoneTable {
  readonly times: readonly number[]
  readonly kinds: readonly number[]
  readonly names: readonly string[]
  readonly offsets: readonly number[]
  readonly isDst: readonly boolean[]
}

function loadLocalZone(): ZoneTable | null {
  const zone = new Intl.DateTimeFormat().resolvedOptions().timeZone
  for (const folder of ZONE_FOLDERS) {
    try {
      return parseZoneFile(readFileSync(`${folder}/${zone}`))
    } catch {
      // Not every system has zone files at every place, or at all: then the offset is shown.
    }
  }
  return null
}

/** Reads the 64-bit block of a TZif file (RFC 8536); throws RangeError for anything else. */
function parseZoneFile(bytes: Uint8Array): ZoneTable | null {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (view.getUint32(0) !== 0x545a6966 || bytes[4]! < 0x32) return null
  const firstBlock = blockBytes(view, 0, 4)
  const at = 44 + firstBlock
  const timesCount = view.getUint32(at + 32)
  const kindsCount = view.getUint32(at + 36)
  const lettersCount = view.getUint32(at + 40)
  const timesAt = at + 44
  const indexAt = timesAt + 8 * timesCount
  const kindsAt = indexAt + timesCount
  const lettersAt = kindsAt + 6 * kindsCount
  const letters = new TextDecoder('latin1').decode(bytes.subarray(lettersAt, lettersAt + lettersCount))
  const kinds = Array.from({ length: kindsCount }, (_, kind) => kindsAt + 6 * kind)
  return {
    times: Array.from({ length: timesCount }, (_, index) => Number(view.getBigInt64(timesAt + 8 * index))),
    kinds: Array.from({ length: timesCount }, (_, index) => bytes[indexAt + index]!),
    offsets: kinds.map(kind => view.getInt32(kind)),
    isDst: kinds.map(kind => bytes[kind + 4] === 1),
    names: kinds.map(kind => letters.slice(bytes[kind + 5]!).split('\0', 1)[0]!),
  }
}

/** Bytes of the block behind the header at `at`, whose times take `timeBytes` each. */
function blockBytes(view: DataView, at: number, timeBytes: number): number {
  const [utCount, standardCount, leapCount, timesCount, kindsCount, lettersCount] = [
    20, 24, 28, 32, 36, 40,
  ].map(offset => view.getUint32(at + offset)) as [number, number, number, number, number, number]
  const leapBytes = (timeBytes + 4) * leapCount
  return timesCount * (timeBytes + 1) + kindsCount * 6 + lettersCount + leapBytes + standardCount + utCount
}

/** Behind the last transition the newest name with the offset that holds then (the rule of the file's footer). */
function abbreviationAt(zone: ZoneTable, seconds: number): string | undefined {
  const offset = 60 * localOffsetMinutes(seconds)
  let kind: number | undefined
  for (const [index, time] of zone.times.entries()) if (time <= seconds) kind = zone.kinds[index]
  if (kind !== undefined && zone.offsets[kind] === offset) return abbreviation(zone.names[kind])
  const newest = zone.kinds.findLast(candidate => zone.offsets[candidate] === offset)
  return abbreviation(zone.names[newest ?? zone.offsets.indexOf(offset)])
}

function abbreviation(name: string | undefined): string | undefined {
  return name === undefined || name === '' ? undefined : name
}
