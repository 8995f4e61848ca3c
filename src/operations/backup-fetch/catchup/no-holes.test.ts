import { expect, test } from 'bun:test'
import { assertNoHoles } from './no-holes.ts'

const PAGE = 8192

function check(presentBlocks: number, fileBlocks: number, blocks: readonly number[]): string {
  const file = { name: 'base/5/16384', presentBytes: presentBlocks * PAGE, pageBytes: PAGE }
  const header = { fileSizeBytes: fileBlocks * PAGE, blocksCount: blocks.length }
  try {
    assertNoHoles(file, header, Uint32Array.from(blocks))
    return 'fits'
  } catch (error) {
    return (error as Error).message
  }
}

test('behind the end of the file that is there, an increment brings every page', () => {
  expect(check(4, 4, [])).toBe('fits')
  expect(check(4, 2, [])).toBe('fits')
  expect(check(4, 6, [1, 4, 5])).toBe('fits')
  expect(check(0, 2, [0, 1])).toBe('fits')
  expect(check(4, 6, [1, 4])).toContain('does not bring block 5')
  expect(check(4, 6, [1, 5])).toContain('does not bring block 4')
  expect(check(0, 2, [1])).toContain('does not bring block 0')
  expect(check(0, 1, [])).toContain('ends at block 0 here')
})
