import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { parseRelationFile } from '../../postgres/relation-file.ts'
import { BlockSet } from './block-set.ts'
import { ChangeMap } from './change-map.ts'
import { openMappedPages } from './mapped-pages.ts'

const seed = Number(process.env['SEED'] ?? '20261122')
const block = fc.oneof(
  fc.integer({ min: 0, max: 300 }),
  fc.integer({ min: 32_000, max: 33_000 }),
  fc.integer({ min: 2 ** 32 - 70_000, max: 2 ** 32 - 1 }),
)

describe('a set of blocks', () => {
  test('gives back what was put in, sorted and once', () => {
    fc.assert(
      fc.property(fc.array(block, { maxLength: 400 }), block, block, (blocks, one, other) => {
        const set = new BlockSet()
        for (const each of blocks) set.add(each)
        const [begin, end] = one < other ? [one, other] : [other, one]
        const expected = [...new Set(blocks)].filter(each => each >= begin && each < end)
        expect([...set.between(begin, end)]).toEqual(expected.sort((a, b) => a - b))
      }),
      { seed, numRuns: 300 },
    )
  })
})

const file = (name: string) => parseRelationFile(name)!
const sizes = (blocks: number) => ({ blocks, parentBlocks: undefined })
const FILE_BLOCKS = 131_072

describe('what a map says of a file', () => {
  const map = new ChangeMap()
  for (const number of [5, 3, 3, FILE_BLOCKS + 1, FILE_BLOCKS, 2 * FILE_BLOCKS])
    map.block(1663, 5, 100, 0, number)
  map.block(1663, 5, 100, 2, 77)
  map.block(1663, 5, 200, 0, 1)
  map.limit(1663, 5, 200, 0, FILE_BLOCKS + 3)
  map.limit(1663, 5, 200, 0, FILE_BLOCKS + 9)
  map.limit(1663, 5, 300, 0, 0)
  map.limit(1663, 5, 400, 1, 0)
  map.database(1700, 6)
  const pages = openMappedPages(map, 'WAL', 8192)
  const said = (name: string, blocks: number): number[] | string => {
    const changes = pages.changesOf(file(name), sizes(blocks))
    return typeof changes === 'string' ? changes : [...changes]
  }

  test('blocks are counted from the beginning of the file; those behind its end are left out', () => {
    expect(said('/base/5/100', 6)).toEqual([3, 5])
    expect(said('/base/5/100', 4)).toEqual([3])
    expect(said('/base/5/100.1', FILE_BLOCKS)).toEqual([0, 1])
    expect(said('/base/5/100.2', 1)).toEqual([0])
    expect(said('/base/5/100.3', 1)).toEqual([])
  })

  test('from the point where a relation was cut everything counts as changed', () => {
    expect(said('/base/5/200', FILE_BLOCKS)).toEqual([1])
    expect(said('/base/5/200.1', 6)).toEqual([3, 4, 5])
    expect(said('/base/5/200.1', 2)).toEqual([])
    expect(said('/base/5/200.2', 2)).toBe('replaced')
  })

  test('a relation made anew is replaced, so is everything in a database that was copied', () => {
    expect(said('/base/5/300', 1)).toBe('replaced')
    expect(said('/pg_tblspc/1700/PG_15_202209061/6/1', 1)).toBe('replaced')
    expect(said('/pg_tblspc/1700/PG_15_202209061/7/1', 1)).toEqual([])
  })

  test('other forks are not its matter', () => {
    expect(said('/base/5/100_vm', 1)).toBe('unknown')
    expect(said('/base/5/400', 1)).toEqual([])
  })

  test('maps of two ranges give the same whatever order they are merged in', () => {
    const one = new ChangeMap()
    const other = new ChangeMap()
    one.block(1663, 5, 100, 0, 9)
    one.limit(1663, 5, 100, 0, 20)
    other.limit(1663, 5, 100, 0, 12)
    other.doubt('no')
    for (const [first, second] of [
      [one, other],
      [other, one],
    ] as const) {
      const both = new ChangeMap()
      both.merge(first)
      both.merge(second)
      expect(both.doubtReason).toBe('no')
      expect([
        ...(openMappedPages(both, '', 8192).changesOf(file('/base/5/100'), sizes(14)) as Uint32Array),
      ]).toEqual([9, 12, 13])
    }
  })
})
