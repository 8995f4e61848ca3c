import { expect, test } from 'bun:test'
import { collect } from '../../../kit/bytes.ts'
import { createLogger } from '../../../kit/log.ts'
import { toLsn } from '../../../postgres/lsn.ts'
import { computePageChecksum } from '../../../postgres/page-header.ts'
import { StreamedPages } from './streamed-pages.ts'

const PAGE = 8192
const BLOCKS_PER_SEGMENT = 131_072

function makePage(block: number, lsn: number): Uint8Array {
  const page = new Uint8Array(PAGE).fill(7)
  const view = new DataView(page.buffer)
  view.setUint32(0, 0, true)
  view.setUint32(4, lsn, true)
  view.setUint16(12, 24, true)
  view.setUint16(14, PAGE, true)
  view.setUint16(16, PAGE, true)
  view.setUint16(18, PAGE | 4, true)
  view.setUint16(8, computePageChecksum(page, block), true)
  return page
}

/** Reads nothing: the role may not. */
const UNABLE = async () => 'unable' as const

/**
 * Twenty pages of a second piece; 2 to 9 are damaged, 12 was written during the backup, 14 has no content yet, 15 lacks its first
 * half, 17 is all ones, 18 lacks its header, 19 its upper bound.
 */
function secondPiece(): Uint8Array {
  const bytes = new Uint8Array(20 * PAGE)
  for (let block = 0; block < 20; block++) {
    const page = makePage(BLOCKS_PER_SEGMENT + block, block === 12 ? 5000 : 100)
    if ((block >= 2 && block < 10) || block === 12) page[4000] = 8
    if (block === 14) page.fill(0)
    if (block === 15) page.fill(0, 0, PAGE / 2)
    if (block === 17) page.fill(0xff)
    if (block === 18) page.fill(0, 0, 24)
    if (block === 19) page.fill(0, 14, 16)
    bytes.set(page, block * PAGE)
  }
  return bytes
}

async function* cut(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.slice(at, at + size)
}

function open(messages: string[] = []): StreamedPages {
  return new StreamedPages({
    pageBytes: PAGE,
    blocksPerSegment: BLOCKS_PER_SEGMENT,
    startLsn: toLsn(4000n),
    log: createLogger((level, message) => messages.push(`${level} ${message}`)),
  })
}

test('every damaged page is found, however the server cuts its messages, and the bytes stay as they are', async () => {
  const bytes = secondPiece()
  const found = [2, 3, 4, 5, 6, 7, 8, 9, 15, 17, 18, 19]
  for (const size of [1000, 8191, 8192, 8193, 32_768, bytes.length]) {
    const pages = open()
    const through = pages.verify('./base/5/16384.1', bytes.length, cut(bytes, size))
    expect(await collect(through, bytes.length)).toEqual(bytes)
    expect([...(await pages.judge(toLsn(5000n), UNABLE))]).toEqual([['base/5/16384.1', found]])
    const withLate = [...found, 12].sort((left, right) => left - right)
    expect([...(await pages.judge(toLsn(4999n), UNABLE))]).toEqual([['base/5/16384.1', withLate]])
  }
})

test('damage that only the end of the backup shows is said then', async () => {
  const messages: string[] = []
  const pages = open(messages)
  const bytes = secondPiece()
  await collect(pages.verify('base/5/16384.1', bytes.length, cut(bytes, 8192)), bytes.length)
  expect(messages).toEqual(['WARNING Corruption found in base/5/16384.1/[2, 3, 4, 5, 6, 7, 8, 9]'])
  await pages.judge(toLsn(5000n), UNABLE)
  expect(messages.slice(1)).toEqual([
    'WARNING Corruption found in base/5/16384.1/[15, 18, 19]',
    'WARNING Corruption found in base/5/16384.1/[17]',
  ])
})

test('a page without an upper bound is read again: it may have been half written, or cut off since', async () => {
  const bytes = secondPiece()
  const pages = open()
  await collect(pages.verify('base/5/16384.1', bytes.length, cut(bytes, 8192)), bytes.length)
  const asked: [string, number, number][] = []
  const damage = await pages.judge(toLsn(5000n), async (name, position, sizeBytes) => {
    asked.push([name, position / PAGE, sizeBytes])
    if (position === 15 * PAGE) return makePage(BLOCKS_PER_SEGMENT + 15, 4500)
    if (position === 18 * PAGE) return undefined
    return bytes.subarray(position, position + sizeBytes)
  })
  expect(asked).toEqual([15, 18, 19].map(block => ['base/5/16384.1', block, PAGE]))
  expect(damage.get('base/5/16384.1')).toEqual([2, 3, 4, 5, 6, 7, 8, 9, 17, 19])
})

test('a file that is no relation is not looked at, and one without whole pages is said', async () => {
  const messages: string[] = []
  const pages = open(messages)
  const bytes = secondPiece().subarray(0, 5 * PAGE + 100)
  for (const name of ['base/5/pg_filenode.map', 'pg_tblspc/16400/PG_18_1/5/16401']) {
    expect(await collect(pages.verify(name, bytes.length, cut(bytes, 3000)), bytes.length)).toEqual(bytes)
  }
  expect((await pages.judge(toLsn(5000n), UNABLE)).size).toBe(0)
  expect(messages).toEqual([
    `WARNING "pg_tblspc/16400/PG_18_1/5/16401" has ${bytes.length} bytes, not whole pages: packed without verifying its pages`,
  ])
})
