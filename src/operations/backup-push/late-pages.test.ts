import { expect, test } from 'bun:test'
import { toLsn } from '../../postgres/lsn.ts'
import { judgeLate, type LatePage, sortSuspects } from './late-pages.ts'

test('pages from the start on are late, older ones and those without an upper bound damaged', () => {
  const suspects = [
    { block: 102, lsn: toLsn(10n) },
    { block: 103, lsn: toLsn(9n) },
    { block: 104, lsn: undefined },
    { block: 105, lsn: toLsn(0xffff_ffff_ffff_ffffn) },
  ]
  expect(sortSuspects(suspects, 10n, 100)).toEqual({
    blocks: [3, 4],
    late: [
      { block: 2, lsn: 10n },
      { block: 5, lsn: 0xffff_ffff_ffff_ffffn },
    ],
  })
})

test('late pages beyond the end join the damage, those up to the end are left to replay', () => {
  const found: unknown[] = []
  const damage = new Map<string, readonly number[]>([
    ['a', [1, 7]],
    ['b', [0]],
  ])
  const late = new Map<string, readonly LatePage[]>([
    ['a', [5n, 20n, 21n].map((lsn, at) => ({ block: 2 * at, lsn }))],
    ['c', [{ block: 9, lsn: 30n }]],
    ['d', [{ block: 1, lsn: 20n }]],
  ])
  const all = judgeLate(damage, late, toLsn(20n), (file, blocks) => found.push([file, blocks]))
  expect([...all]).toEqual([
    ['a', [1, 4, 7]],
    ['b', [0]],
    ['c', [9]],
  ])
  expect(found).toEqual([
    ['a', [4]],
    ['c', [9]],
  ])
  expect(damage.get('a')).toEqual([1, 7])
})
