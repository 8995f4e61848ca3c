import { afterEach, beforeEach, expect, test } from 'bun:test'
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { isMarkedDone, isMarkedReady, listDone, listReady, markDone } from './archive-status.ts'

let wal = ''
const mark = (name: string): void => writeFileSync(join(wal, 'archive_status', name), '')

beforeEach(() => {
  wal = mkdtempSync(join(tmpdir(), 'status-'))
  mkdirSync(join(wal, 'archive_status'))
})
afterEach(() => rmSync(wal, { recursive: true, force: true }))

const segment = (number: number, timeline = 1): string =>
  `0000000${timeline}00000000000000${number.toString(16).toUpperCase().padStart(2, '0')}`

test('ready files come in the order of the archiver: history files first, then the oldest', async () => {
  const names = [
    segment(10),
    segment(3),
    `${segment(3)}.00000028.backup`,
    `${segment(11)}.partial`,
    segment(1, 2),
    '00000002.history',
    '00000003.history',
  ]
  for (const name of names) mark(`${name}.ready`)
  for (const name of [`${segment(2)}.done`, 'RECOVERYXLOG.ready', 'x.ready', `${segment(4)}.ready.tmp`])
    mark(name)
  expect(await listReady(wal)).toEqual([
    '00000002.history',
    '00000003.history',
    segment(3),
    `${segment(3)}.00000028.backup`,
    segment(10),
    `${segment(11)}.partial`,
    segment(1, 2),
  ])
  expect(await listDone(wal)).toEqual([segment(2)])
})

test('marking done turns the mark, and somebody who was quicker is no error', async () => {
  mark(`${segment(5)}.ready`)
  expect(await isMarkedReady(wal, segment(5))).toBe(true)
  expect(await markDone(wal, segment(5))).toBe(true)
  expect(existsSync(join(wal, 'archive_status', `${segment(5)}.done`))).toBe(true)
  expect(await isMarkedDone(wal, segment(5))).toBe(true)
  expect(await isMarkedReady(wal, segment(5))).toBe(false)
  expect(await markDone(wal, segment(5))).toBe(false)
})

test('a directory without archive_status says so; a missing directory is an error', async () => {
  rmSync(join(wal, 'archive_status'), { recursive: true })
  expect(await listReady(wal)).toBeUndefined()
  await expect(listReady(join(wal, 'nowhere'))).rejects.toMatchObject({ code: 'FILE_NOT_FOUND' })
})
