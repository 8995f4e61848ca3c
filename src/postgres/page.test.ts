import { describe, expect, test } from 'bun:test'
import { closeSync, mkdtempSync, openSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { createLinearMemory, openModule } from '../kit/linear-memory.ts'
import { toLsn } from './lsn.ts'
import { openPageVerifier } from './page.ts'
import modulePath from './page.wasm' with { type: 'file' }
import {
  CHECKSUM_SEEDS,
  computePageChecksum,
  judgePage,
  readPageLsn,
  readStoredChecksum,
} from './page-header.ts'
import scalarModulePath from './page-scalar.wasm' with { type: 'file' }

const seed = Number(process.env['SEED'] ?? 20261122)
const LSN_AT = 0x1_0000_2000n

/** A page with a header that PostgreSQL would accept, random content, and its checksum for `block`. */
function makePage(
  block: number,
  content: Uint8Array,
  pageBytes: number,
  lsn = LSN_AT,
): Uint8Array<ArrayBuffer> {
  const page = new Uint8Array(pageBytes)
  page.set(content.subarray(0, pageBytes - 24), 24)
  const view = new DataView(page.buffer)
  view.setUint32(0, Number(lsn >> 32n), true)
  view.setUint32(4, Number(lsn & 0xffffffffn), true)
  view.setUint16(12, 24, true)
  view.setUint16(14, pageBytes, true)
  view.setUint16(16, pageBytes, true)
  view.setUint16(18, (pageBytes & 0xff00) | 4, true)
  view.setUint16(8, computePageChecksum(page, block), true)
  return page
}

const content = fc.uint8Array({ minLength: 100, maxLength: 4000 })

describe('page checksums', () => {
  test(`of vectors, scalars and plain JavaScript agree on any page and block (SEED=${seed})`, () => {
    const memory = createLinearMemory()
    const at = memory.allocate(32_768)
    const seeds = memory.allocate(128)
    const lanes = memory.allocate(128)
    memory.bytes.set(new Uint8Array(CHECKSUM_SEEDS.buffer), seeds)
    interface Exports {
      checksum(page: number, size: number, block: number, seeds: number, lanes: number): number
    }
    const vectors = openModule<Exports>(memory, modulePath)
    const scalars = openModule<Exports>(memory, scalarModulePath)
    fc.assert(
      fc.property(
        content,
        fc.integer({ min: 0, max: 0xffffffff }),
        fc.constantFrom(1024, 2048, 4096, 8192, 16_384, 32_768),
        (bytes, block, pageBytes) => {
          const page = makePage(block, bytes, pageBytes)
          memory.bytes.set(page, at)
          expect(vectors.checksum(at, pageBytes, block, seeds, lanes)).toBe(readStoredChecksum(page))
          expect(scalars.checksum(at, pageBytes, block, seeds, lanes)).toBe(readStoredChecksum(page))
          expect(Buffer.compare(memory.bytes.subarray(at, at + pageBytes), page)).toBe(0)
        },
      ),
      { seed, numRuns: 60 },
    )
  })

  test(`find exactly the damaged pages, in the linear memory and outside of it (SEED=${seed})`, () => {
    const memory = createLinearMemory()
    const block = memory.allocate(20 * 8192)
    const inside = openPageVerifier({ memory })
    const outside = openPageVerifier()
    fc.assert(
      fc.property(
        content,
        fc.integer({ min: 0, max: 5_000_000 }),
        fc.uniqueArray(fc.integer({ min: 0, max: 19 }), { maxLength: 6 }),
        fc.integer({ min: 0, max: 8191 }),
        (bytes, firstBlock, damaged, where) => {
          const pages = new Uint8Array(20 * 8192 + 77)
          for (let index = 0; index < 20; index++) {
            pages.set(makePage(firstBlock + index, bytes, 8192), index * 8192)
          }
          for (const index of damaged) pages[index * 8192 + where]! ^= 0x10
          const expected = damaged.map(index => firstBlock + index).sort((left, right) => left - right)
          expect(outside.verify(pages, firstBlock)).toEqual(expected)
          memory.bytes.set(pages.subarray(0, 20 * 8192), block)
          expect(inside.verify(memory.bytes.subarray(block, block + 20 * 8192), firstBlock)).toEqual(expected)
        },
      ),
      { seed, numRuns: 60 },
    )
  })

  test('a page of zeros is new and whole; one with anything in it but no upper bound is damaged', () => {
    const verifier = openPageVerifier()
    const pages = new Uint8Array(2 * 8192)
    expect(verifier.verify(pages, 7)).toEqual([])
    pages[8192 + 100] = 1
    expect(verifier.verify(pages, 7)).toEqual([8])
  })

  test('pages written after the backup began are not judged: replay rewrites them', () => {
    const page = makePage(3, new Uint8Array(50).fill(9), 8192)
    page[4000]! ^= 1
    expect(openPageVerifier({ startLsn: toLsn(LSN_AT + 1n) }).verify(page, 3)).toEqual([3])
    expect(openPageVerifier({ startLsn: toLsn(LSN_AT) }).verify(page, 3)).toEqual([])
  })

  test('a page that claims to be newer than the end of the backup is judged: no WAL rewrites it', () => {
    const open = (start: bigint, end: bigint) =>
      openPageVerifier({ startLsn: toLsn(start), endLsn: toLsn(end) })
    const page = makePage(3, new Uint8Array(50).fill(9), 8192)
    page[4000]! ^= 1
    expect(open(LSN_AT - 1n, LSN_AT).verify(page, 3)).toEqual([])
    expect(open(LSN_AT, LSN_AT).verify(page, 3)).toEqual([])
    expect(open(LSN_AT - 2n, LSN_AT - 1n).verify(page, 3)).toEqual([3])
    expect(open(LSN_AT + 1n, LSN_AT + 2n).verify(page, 3)).toEqual([3])
    const newer = makePage(3, new Uint8Array(50).fill(9), 8192)
    newer[3]! ^= 0x40
    expect(open(LSN_AT - 1n, LSN_AT + 1n).verify(newer, 3)).toEqual([3])
    const ones = new Uint8Array(8192).fill(0xff)
    for (const verifier of [openPageVerifier(), open(LSN_AT - 1n, LSN_AT + 1n)]) {
      expect(verifier.verify(ones, 3)).toEqual([3])
    }
    // whole pages are no damage, however new they claim to be
    expect(open(1n, 2n).verify(makePage(3, new Uint8Array(50), 8192), 3)).toEqual([])
  })

  test('an end without a start, and pages that are new within the window: what has no upper bound is judged', () => {
    const pages = new Uint8Array(8192)
    pages.set(makePage(0, new Uint8Array(50), 8192).subarray(0, 8))
    const window = { startLsn: toLsn(LSN_AT), endLsn: toLsn(LSN_AT) }
    expect(openPageVerifier(window).verify(pages, 0)).toEqual([0])
    const page = makePage(0, new Uint8Array(50), 8192)
    page[4000]! ^= 1
    expect(openPageVerifier({ endLsn: toLsn(LSN_AT) }).verify(page, 0)).toEqual([0])
  })

  test('a page out of its place is damaged, one of the second gigabyte counts on from the first', () => {
    const verifier = openPageVerifier()
    const page = makePage(131_072, new Uint8Array(50).fill(9), 8192)
    expect(verifier.verify(page, 131_072)).toEqual([])
    expect(verifier.verify(page, 0)).toEqual([0])
  })

  test('a suspect is read again: torn reads and truncated files are no damage, damage stays', () => {
    const directory = mkdtempSync(join(tmpdir(), 'pages-'))
    const path = join(directory, '16384.1')
    const first = 131_072
    const bad = makePage(first + 1, new Uint8Array(50).fill(9), 8192)
    bad[5000]! ^= 1
    writeFileSync(path, Buffer.concat([makePage(first, new Uint8Array(50).fill(8), 8192), bad]))
    const fd = openSync(path, 'r')
    try {
      const verifier = openPageVerifier()
      expect(verifier.confirm(fd, [first, first + 1, first + 2], first)).toEqual([
        { block: first + 1, lsn: toLsn(LSN_AT) },
      ])
    } finally {
      closeSync(fd)
      rmSync(directory, { recursive: true })
    }
  })
})

describe('the judgement of a page by its header', () => {
  test('tells valid, new and invalid pages apart', () => {
    const page = makePage(0, new Uint8Array(50).fill(1), 8192)
    expect(judgePage(page)).toBe('valid')
    expect(readPageLsn(page)).toBe(toLsn(LSN_AT))
    expect(judgePage(new Uint8Array(8192))).toBe('new')
    for (const [offset, value] of [
      [10, 0x08],
      [12, 10],
      [13, 0x40],
      [18, 6],
      [19, 0x10],
    ] as const) {
      const other = page.slice()
      other[offset] = value
      expect(judgePage(other)).toBe('invalid')
    }
    expect(judgePage(makePage(0, new Uint8Array(50), 8192, 0n))).toBe('invalid')
  })
})
