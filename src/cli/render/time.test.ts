import { expect, test } from 'bun:test'
import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { testUnless } from '../../../test/support/skip.ts'
import { parseTimestamp, ZERO_TIME } from '../../kit/timestamp.ts'
import { formatPlainTime, formatPrettyTime } from './time.ts'

test('a time that is not known is a dash', () => {
  expect([formatPlainTime(null), formatPrettyTime(null), formatPlainTime(ZERO_TIME)]).toEqual(['-', '-', '-'])
})

test('plain times have whole seconds', () => {
  expect(formatPlainTime(parseTimestamp('2026-11-22T11:34:59.650982334Z'))).toBe('2026-11-22T11:34:59Z')
})

/** Pretty times as a process in that zone shows them. */
function prettyIn(zone: string, ...times: string[]): string[] {
  const script = `
    import { localTimestampFromNs, epochNs, parseTimestamp } from '${import.meta.dir}/../../kit/timestamp.ts'
    import { formatPrettyTime } from '${import.meta.dir}/time.ts'
    for (const time of ${JSON.stringify(times)}) {
      console.log(formatPrettyTime(localTimestampFromNs(epochNs(parseTimestamp(time)))))
    }`
  const run = spawnSync(process.execPath, ['-e', script], { env: { TZ: zone }, encoding: 'utf8' })
  return run.stdout.trimEnd().split('\n')
}

const noZones = existsSync('/usr/share/zoneinfo/Europe/Berlin') ? undefined : 'no zone files (tzdata)'

test('UTC is called UTC', () => {
  expect(prettyIn('UTC', '2026-11-22T11:34:59Z')).toEqual(['Sunday, 22-Nov-26 11:34:59 UTC'])
})

testUnless(noZones, 'local times carry the abbreviation of their zone, summer and winter', () => {
  expect(prettyIn('Europe/Berlin', '2026-01-22T11:00:00Z', '2026-07-22T11:00:00Z')).toEqual([
    'Thursday, 22-Jan-26 12:00:00 CET',
    'Wednesday, 22-Jul-26 13:00:00 CEST',
  ])
  expect(prettyIn('Asia/Kolkata', '2026-01-22T11:00:00Z')).toEqual(['Thursday, 22-Jan-26 16:30:00 IST'])
  expect(prettyIn('America/New_York', '2042-07-22T11:00:00Z')).toEqual(['Tuesday, 22-Jul-42 07:00:00 EDT'])
})

test('a time in a foreign zone carries its offset', () => {
  expect(formatPrettyTime(parseTimestamp('2026-11-22T11:34:59+05:31'))).toBe(
    'Sunday, 22-Nov-26 11:34:59 +0531',
  )
})
