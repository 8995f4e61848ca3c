import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { ZeroPages } from './zero-pages.ts'

const seed = Number(process.env['SEED'] ?? '20261122')
const PAGE = 8192

/** `z`: zero; `p`: a page as PostgreSQL makes them; `e`: zero but for its last byte. */
function fileOf(pages: string): Uint8Array {
  const bytes = new Uint8Array(pages.length * PAGE)
  for (const [block, kind] of [...pages].entries()) {
    if (kind === 'p') bytes[block * PAGE + 19] = bytes[block * PAGE + 18] = 4
    if (kind === 'e') bytes[(block + 1) * PAGE - 1] = 1
  }
  return bytes
}

test('zero pages are found, and where the use of the file ends, however its bytes come', () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom('z', 'z', 'p', 'e'), { maxLength: 12 }),
      fc.integer({ min: 1, max: 3 * PAGE }),
      (kinds, pieceBytes) => {
        const pages = kinds.join('')
        const file = fileOf(pages)
        const found = new ZeroPages(PAGE)
        found.begin()
        for (let at = 0; at < file.length; at += pieceBytes) found.observe(file.subarray(at, at + pieceBytes))
        const used = pages.replace(/z+$/, '').length
        expect(found.usedBlocks).toBe(used)
        const runs = [...pages.slice(0, used).matchAll(/z+/g)].flatMap(run => [run.index, run[0].length])
        expect([...found.runs]).toEqual(runs)
      },
    ),
    { seed },
  )
})

test('a page that is cut counts as used, and the next file begins anew', () => {
  const found = new ZeroPages(PAGE)
  found.begin()
  found.observe(fileOf('zp').subarray(0, PAGE + 100))
  expect([found.usedBlocks, ...found.runs]).toEqual([2, 0, 1])
  found.begin()
  found.observe(fileOf('zz'))
  expect([found.usedBlocks, found.runs.length]).toEqual([0, 0])
})
