import { expect, test } from 'bun:test'
import { existsSync, readFileSync } from 'node:fs'
import { readOffset } from './local-offset.ts'

const FOLDER = '/usr/share/zoneinfo'
const ZONES = [
  'Etc/UTC',
  'Europe/Berlin',
  'Asia/Kolkata',
  'America/New_York',
  'Asia/Tokyo',
  'Australia/Lord_Howe',
]
const TIMES = ['1999-12-31T23:59:59Z', '2026-01-15T12:00:00Z', '2026-07-15T12:00:00Z', '2036-10-30T00:00:00Z']

/** What the runtime says. */
function offsetByIntl(zone: string, atSeconds: number): number {
  const parts = new Intl.DateTimeFormat('en-US', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  }).formatToParts(new Date(atSeconds * 1000))
  const part = (type: string): number => Number(parts.find(one => one.type === type)?.value)
  const local = Date.UTC(
    part('year'),
    part('month') - 1,
    part('day'),
    part('hour'),
    part('minute'),
    part('second'),
  )
  return local / 1000 - atSeconds
}

test.skipIf(!existsSync(`${FOLDER}/Etc/UTC`))(
  'wherever the zone file says the offset it is the one of the runtime, and it holds up to its own bounds',
  () => {
    for (const zone of ZONES) {
      for (const time of TIMES) {
        const at = Date.parse(time) / 1000
        const found = readOffset(readFileSync(`${FOLDER}/${zone}`), at)
        if (found === undefined) continue
        expect([zone, time, found.offsetSeconds]).toEqual([zone, time, offsetByIntl(zone, at)])
        expect(found.fromSeconds <= at && at < found.untilSeconds).toBe(true)
        if (!Number.isFinite(found.untilSeconds)) continue
        const last = found.untilSeconds - 1
        expect([zone, last, found.offsetSeconds]).toEqual([zone, last, offsetByIntl(zone, last)])
      }
    }
  },
)

test.skipIf(!existsSync(`${FOLDER}/Etc/UTC`))('a zone without changes is known for all times', () => {
  const bytes = readFileSync(`${FOLDER}/Etc/UTC`)
  for (const at of [-1e9, 0, 4e9]) expect(readOffset(bytes, at)?.offsetSeconds).toBe(0)
})

test('what is no zone file says nothing', () => {
  expect(readOffset(new Uint8Array(64), 0)).toBeUndefined()
})
