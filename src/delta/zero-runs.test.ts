import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { firstOutside, ZERO_RUNS_MAX, type ZeroRuns, zeroBlocksAfter, zeroRunsOf } from './zero-runs.ts'

const seed = Number(process.env['SEED'] ?? '20261122')

const runsOf = (blocks: readonly number[], end = Number.POSITIVE_INFINITY): ZeroRuns =>
  zeroRunsOf(blocks, end)

function blocksOf(runs: ZeroRuns): number[] {
  const blocks: number[] = []
  for (let at = 0; at < runs.length; at += 2) {
    for (let block = runs[at]!; block < runs[at]! + runs[at + 1]!; block++) blocks.push(block)
  }
  return blocks
}

const ascending = fc.uniqueArray(fc.nat(60), { maxLength: 40 }).map(blocks => blocks.sort((a, b) => a - b))

test('runs give back the blocks that went in, up to where the use of the file ends', () => {
  fc.assert(
    fc.property(ascending, fc.nat(70), (blocks, end) => {
      expect(blocksOf(runsOf(blocks, end))).toEqual(blocks.filter(block => block < end))
    }),
    { seed },
  )
})

test('the first block outside that matters is found', () => {
  fc.assert(
    fc.property(ascending, ascending, fc.nat(60), (zero, asked, from) => {
      const expected = asked.find(block => block >= from && !zero.includes(block))
      expect(firstOutside(runsOf(zero), asked, block => block >= from)).toBe(expected)
    }),
    { seed },
  )
})

test('what is written is zero no longer, and what was found zero is, too', () => {
  fc.assert(
    fc.property(ascending, ascending, ascending, (zero, written, found) => {
      const added = found.filter(block => !written.includes(block))
      const isZero = (block: number): boolean =>
        added.includes(block) || (zero.includes(block) && !written.includes(block))
      const expected = Array.from({ length: 61 }, (_, block) => block).filter(isZero)
      const after = zeroBlocksAfter(runsOf(zero), Uint32Array.from(written), Uint32Array.from(added))
      expect([...after]).toEqual(expected)
    }),
    { seed },
  )
})

test('a file with too many holes keeps the first ones', () => {
  const blocks = Array.from({ length: ZERO_RUNS_MAX + 10 }, (_, n) => 2 * n)
  expect(blocksOf(runsOf(blocks))).toEqual(blocks.slice(0, ZERO_RUNS_MAX))
})
