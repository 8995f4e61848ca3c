import { afterEach, beforeEach, expect, spyOn, test } from 'bun:test'
import fs, { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { type TempDirectory, tempDirectory } from '../../../../test/support/temp-directory.ts'
import { createLogger } from '../../../kit/log.ts'
import { type Lsn, toLsn } from '../../../postgres/lsn.ts'
import { firstLsnOf } from '../../../postgres/wal-segment.ts'
import { removeStaleWal } from './stale-wal.ts'

const SEGMENT = 1 << 20
const START = toLsn(0x500028)
const SUMMARY = '0000000100000000001000000000000000280000.summary'

let place: TempDirectory
let messages: string[]
beforeEach(() => {
  place = tempDirectory('stale-wal')
  for (const name of ['archive_status', 'summaries'])
    mkdirSync(place.at(`pg_wal/${name}`), { recursive: true })
  messages = []
})
afterEach(() => place.remove())

/** `1/2` is segment 2 of timeline 1. */
const segment = (name: string): string =>
  name
    .split('/')
    .map((part, index) => part.padStart(index === 0 ? 8 : 16, '0'))
    .join('')

function put(name: string, beginLsn: Lsn = firstLsnOf(segment(name), SEGMENT)!): void {
  const header = new Uint8Array(40)
  new DataView(header.buffer).setBigUint64(8, beginLsn, true)
  writeFileSync(place.at(`pg_wal/${segment(name)}`), header)
}

const mark = (name: string): void => writeFileSync(place.at(`pg_wal/archive_status/${name}`), '')
const summary = (): void => writeFileSync(place.at(`pg_wal/summaries/${SUMMARY}`), '')

function left(): string[] {
  return readdirSync(place.at('pg_wal'), { recursive: true })
    .map(String)
    .filter(name => name !== 'archive_status' && name !== 'summaries')
    .sort()
}

const run = (majorVersion = 17): Promise<void> =>
  removeStaleWal(
    createLogger((level, message) => void messages.push(`${level}: ${message}`)),
    {
      root: place.path,
      startLsn: START,
      majorVersion,
      segmentBytes: SEGMENT,
      isDurable: true,
    },
  )

test('what is before the gap goes, of every timeline, with its marks; history files and what comes later stay', async () => {
  for (const name of ['1/2', '2/2', '2/3', '2/5', '2/6']) put(name)
  for (const name of ['00000002.history', `${segment('2/3')}.partial`])
    writeFileSync(place.at(`pg_wal/${name}`), '')
  mark(`${segment('1/2')}.done`)
  mark(`${segment('2/5')}.done`)
  mark('00000002.history.ready')
  summary()
  await run()
  expect(left()).toEqual(
    [
      '00000002.history',
      `${segment('2/3')}.partial`,
      segment('2/5'),
      segment('2/6'),
      'archive_status/00000002.history.ready',
      `archive_status/${segment('2/5')}.done`,
    ].sort(),
  )
})

test('a segment that waits to be archived stays, and that is said', async () => {
  for (const name of ['1/2', '1/3']) put(name)
  mark(`${segment('1/2')}.ready`)
  summary()
  await run()
  expect(left()).toEqual([segment('1/2'), `archive_status/${segment('1/2')}.ready`])
  expect(messages.join()).toMatch(/WARNING: 1 old WAL segments stay in pg_wal/i)
})

test('without a gap nothing goes; a file that still holds another segment closes none', async () => {
  for (const name of ['1/2', '1/3', '2/4', '2/5']) put(name)
  summary()
  const before = left()
  await run()
  expect(left()).toEqual(before)
  put('2/5', toLsn(0x100000))
  await run()
  expect(left()).toEqual([segment('2/5')])
})

test('servers before PostgreSQL 17 have no summarizer: nothing goes', async () => {
  put('1/2')
  await run(16)
  expect(left()).toEqual([segment('1/2')])
})

test('what a try has left goes with the next, wherever it was killed', async () => {
  const files = ['1/2', '1/3', '2/3', '2/5']
  const removals = { isOver: false, left: 0 }
  const unlink = fs.unlinkSync
  using spy = spyOn(fs, 'unlinkSync').mockImplementation(file => {
    if (removals.left-- === 0) throw new Error('killed')
    unlink(file)
  })
  for (let survived = 0; !removals.isOver; survived++) {
    for (const name of files) put(name)
    for (const name of files) mark(`${segment(name)}.done`)
    summary()
    removals.left = survived
    removals.isOver = await run().then(
      () => true,
      () => false,
    )
    removals.left = -1
    await run()
    expect(left().filter(name => !name.endsWith('.done'))).toEqual([segment('2/5')])
  }
  // a summary, three segments and their marks
  expect(spy.mock.calls.length).toBeGreaterThan(7 * 7)
})
