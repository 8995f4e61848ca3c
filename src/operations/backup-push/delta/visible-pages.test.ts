import { expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { tempDirectory } from '../../../../test/support/temp-directory.ts'
import { parseRelationFile } from '../../../postgres/relation-file.ts'
import { scanMethod } from './visible-pages.ts'

const PAGE = 8192
const SINCE = 0x2_0000_0100n
/** Blocks that one page of a visibility map tells of. */
const PER_PAGE = (PAGE - 24) * 4
const MARKS = { sinceLsn: SINCE, pageBytes: PAGE, blocksPerSegment: 131_072 }

/** A visibility map whose pages have these LSNs. */
function mapOf(lsns: readonly bigint[]): Uint8Array {
  const map = new Uint8Array(lsns.length * PAGE)
  const view = new DataView(map.buffer)
  for (const [page, lsn] of lsns.entries()) {
    view.setUint32(page * PAGE, Number(lsn >> 32n), true)
    view.setUint32(page * PAGE + 4, Number(lsn & 0xffffffffn), true)
  }
  return map
}

function methodOf(lsns: readonly bigint[] | undefined, blocks: number, segment = 0): string {
  using folder = tempDirectory('visible')
  const name = segment === 0 ? '16384' : `16384.${segment}`
  if (lsns !== undefined) writeFileSync(folder.at('16384_vm'), mapOf(lsns))
  const relation = parseRelationFile(`/base/5/${name}`)!
  return scanMethod(MARKS, folder.at(name), { relation, blocks })
}

test('visible pages are taken when their visibility map has gained a bit at or behind the start of the parent', () => {
  expect(methodOf([SINCE - 1n], 10)).toBe('scan')
  expect(methodOf([0x1_ffff_ffffn], 10)).toBe('scan')
  expect(methodOf([SINCE], 10)).toBe('scan visible')
  expect(methodOf([0x3_0000_0000n], 10)).toBe('scan visible')
})

test('only the pages of the map that tell of the blocks of the file count', () => {
  expect(methodOf([0n, SINCE], PER_PAGE)).toBe('scan')
  expect(methodOf([0n, SINCE], PER_PAGE + 1)).toBe('scan visible')
  // the second file begins on page 4 of the map
  const first = Math.floor(131_072 / PER_PAGE)
  expect(methodOf([...new Array<bigint>(first).fill(SINCE), 0n], 10, 1)).toBe('scan')
  expect(methodOf([...new Array<bigint>(first).fill(0n), SINCE], 10, 1)).toBe('scan visible')
  // the second file of a map is not looked at
  expect(methodOf([0n], 10, 40_000)).toBe('scan visible')
})

test('without a map, behind its end, and where marks move the LSN, the LSN tells everything', () => {
  expect(methodOf(undefined, 10)).toBe('scan')
  expect(methodOf([SINCE], 10, 2)).toBe('scan')
  const relation = parseRelationFile('/base/5/16384')!
  expect(scanMethod(undefined, '/nowhere/16384', { relation, blocks: 10 })).toBe('scan')
})
