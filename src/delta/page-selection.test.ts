import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { applyIncrement } from './apply.ts'
import { encodeIncrementHead, incrementSizeBytes } from './increment.ts'
import { BLOCKS_MAX, PageSelector, type ParentFile, type Selection } from './page-selection.ts'
import { zeroRunsOf } from './zero-runs.ts'

const seed = Number(process.env['SEED'] ?? '20261122')
const PAGE = 8192
const SINCE = 0x2_0000_0100n

/** `zero`, `garbage`, or the LSN of a valid page. */
type PageSpec = 'zero' | 'garbage' | bigint

function pageOf(spec: PageSpec, fill = 0): Uint8Array {
  const page = new Uint8Array(PAGE)
  if (spec === 'zero') return page
  if (spec === 'garbage') return page.fill(0xff)
  const view = new DataView(page.buffer)
  view.setUint32(0, Number(spec >> 32n), true)
  view.setUint32(4, Number(spec & 0xffffffffn), true)
  view.setUint16(12, 28, true)
  view.setUint16(14, PAGE - 100, true)
  view.setUint16(16, PAGE, true)
  view.setUint16(18, PAGE | 4, true)
  page[PAGE - 1] = fill
  return page
}

function fileOf(specs: readonly PageSpec[]): Uint8Array {
  return Buffer.concat(specs.map(spec => pageOf(spec)))
}

function select(specs: readonly PageSpec[], parent?: ParentFile, pagesAtOnce = specs.length): Selection {
  const selector = new PageSelector(PAGE, SINCE)
  const file = fileOf(specs)
  selector.begin(parent)
  for (let at = 0; at < specs.length; at += pagesAtOnce) {
    selector.judge(file.subarray(at * PAGE, (at + pagesAtOnce) * PAGE), at)
  }
  return selector.end()
}

const blocksOf = (specs: readonly PageSpec[], parent?: ParentFile): number[] | string => {
  const { blocks, whole } = select(specs, parent)
  return whole === undefined ? [...blocks] : `${whole.kind} ${whole.block}`
}

const OLD = SINCE - 1n

describe('choosing the pages of a delta', () => {
  test('takes those at or behind the start of the parent, compared as 64 bits', () => {
    expect(blocksOf([OLD, SINCE, SINCE + 1n, 0x1_ffff_ffffn, 0x3_0000_0000n, OLD])).toEqual([1, 2, 4])
    expect(blocksOf([])).toEqual([])
  })

  test('takes all that the parent does not have, however old: copied files keep their LSNs', () => {
    expect(blocksOf([OLD, OLD, OLD], { blocks: 1, usedBlocks: 1 })).toEqual([1, 2])
    expect(blocksOf([OLD, OLD], { blocks: 0, usedBlocks: 0 })).toEqual([0, 1])
  })

  test('a page that is none makes the file whole', () => {
    expect(blocksOf([OLD, 'garbage', SINCE])).toBe('invalid page 1')
    const half = fileOf([OLD, 'zero'])
    half[PAGE + 5000] = 1
    const selector = new PageSelector(PAGE, SINCE)
    selector.begin(undefined)
    selector.judge(half, 0)
    expect(selector.end().whole).toEqual({ kind: 'invalid page', block: 1 })
  })

  test('a zero page is never taken: left out where the parent is zero, too', () => {
    // behind the end of the parent, or of what it used
    expect(blocksOf([SINCE, 'zero', 'zero'], { blocks: 1, usedBlocks: 1 })).toEqual([0])
    expect(blocksOf([SINCE, 'zero', 'zero'], { blocks: 3, usedBlocks: 1 })).toEqual([0])
  })

  test('a zero page that may have been something else makes the file whole', () => {
    expect(blocksOf([OLD, SINCE, 'zero'])).toBe('zero page 2')
    expect(blocksOf([OLD, SINCE, 'zero'], { blocks: 3, usedBlocks: 3 })).toBe('zero page 2')
    expect(blocksOf([OLD, 'zero', SINCE], { blocks: 3, usedBlocks: 3 })).toBe('zero page 1')
    // PostgreSQL makes no page zero before one that it has left alone, but a repair by hand does
    expect(blocksOf([OLD, 'zero', OLD], { blocks: 3, usedBlocks: 3 })).toBe('zero page 1')
    expect(blocksOf([OLD, 'zero', OLD])).toBe('zero page 1')
  })

  test('what comes before the zeros at the end is told, and what older backups may have behind the end', () => {
    const pages = [OLD, SINCE, 'zero', OLD, 'zero', 'zero'] as const
    expect(select(pages, { blocks: 4, usedBlocks: 4 }).usedBlocks).toBe(4)
    expect(select(pages, { blocks: 9, usedBlocks: 3, zeroes: new Uint32Array() }).usedBlocks).toBe(4)
    expect(select(['zero', 'zero'], { blocks: 0, usedBlocks: 0 }).usedBlocks).toBe(0)
    // the file was cut, or the parent does not tell
    expect(select([OLD], { blocks: 9, usedBlocks: 9 }).usedBlocks).toBe(9)
    expect(select([OLD]).usedBlocks).toBe(BLOCKS_MAX)
  })

  test('old pages that are marked all-visible are taken on demand', () => {
    const visible = pageOf(OLD)
    visible[10] = 0x4
    const file = Buffer.concat([pageOf(SINCE), pageOf('zero'), visible, pageOf(OLD)])
    const zeroes = new Uint32Array([1, 1])
    const selector = new PageSelector(PAGE, SINCE)
    for (const [takesVisible, blocks] of [
      [true, [0, 2]],
      [false, [0]],
    ] as const) {
      selector.begin({ blocks: 4, usedBlocks: 4, zeroes }, takesVisible)
      selector.judge(file, 0)
      const selection = selector.end()
      expect(selection).toEqual({ blocks: new Uint32Array(blocks), whole: undefined, usedBlocks: 4, zeroes })
    }
    selector.begin(undefined)
    selector.judge(visible, 0)
    expect(selector.end().blocks.length).toBe(0)
  })

  test('pages that a map names are taken whatever their LSN', () => {
    const selector = new PageSelector(PAGE, SINCE)
    selector.begin({ blocks: 9, usedBlocks: 9, zeroes: new Uint32Array([1, 3]) })
    selector.take(fileOf([OLD, 'garbage']), 3)
    selector.take(fileOf(['zero']), 9)
    expect(selector.end(true)).toEqual({
      blocks: new Uint32Array([3, 4]),
      whole: undefined,
      usedBlocks: 9,
      zeroes: new Uint32Array([1, 2]),
    })
  })

  test('a zero page is left out where the parent says that it was zero, and is told to the next delta', () => {
    const parent = (...zeroes: number[]): ParentFile => ({
      blocks: 6,
      usedBlocks: 6,
      zeroes: new Uint32Array(zeroes),
    })
    const pages = [SINCE, 'zero', 'zero', SINCE, 'zero', SINCE, 'zero'] as const
    expect(blocksOf(pages, parent(1, 2, 4, 1))).toEqual([0, 3, 5])
    expect([...select(pages, parent(1, 2, 4, 1)).zeroes]).toEqual([1, 2, 4, 1])
    expect(blocksOf(pages, parent(1, 2))).toBe('zero page 4')
    expect(blocksOf(pages, parent(2, 3))).toBe('zero page 1')
    expect(blocksOf(pages, parent(1, 1, 4, 1))).toBe('zero page 2')
  })
})

/** A file that changes as PostgreSQL changes one: pages get newer, the file is cut and grows, by zeros or by pages. */
const change = fc.oneof(
  fc.record({ kind: fc.constant('write' as const), at: fc.nat(20) }),
  fc.record({ kind: fc.constant('cut' as const), at: fc.nat(12) }),
  fc.record({ kind: fc.constant('extend' as const), at: fc.integer({ min: 1, max: 4 }) }),
)

const histories = fc.record({
  parent: fc.array(fc.oneof(fc.constant('zero' as const), fc.bigInt({ min: 1n, max: SINCE + 5n })), {
    maxLength: 12,
  }),
  changes: fc.array(change, { maxLength: 8 }),
  isKnown: fc.boolean(),
  pagesAtOnce: fc.integer({ min: 1, max: 5 }),
})

function changed(
  parent: readonly PageSpec[],
  changes: readonly { kind: string; at: number }[],
  lsn = SINCE + 10n,
): PageSpec[] {
  let file = [...parent]
  let next = lsn
  for (const { kind, at } of changes) {
    if (kind === 'cut') file = file.slice(0, at)
    else if (kind === 'extend') file.push(...Array.from({ length: at }, () => 'zero' as const))
    else if (at < file.length) file[at] = next++
  }
  return file
}

type Pages = ReadonlyMap<number, Uint8Array>

/** The original's reverse restore, increments from the newest on: older pages fill what begins with zeros. */
function reverse(fileBlocks: number, increments: readonly Pages[], whole: Uint8Array): Uint8Array {
  const file = new Uint8Array(fileBlocks * PAGE)
  for (const pages of [...increments, pagesOf(whole)]) {
    for (const [block, page] of pages) {
      const place = file.subarray(block * PAGE, (block + 1) * PAGE)
      if (place.subarray(0, 24).every(byte => byte === 0)) place.set(page.subarray(0, place.length))
    }
  }
  return file
}

function pagesOf(file: Uint8Array, blocks?: Iterable<number>): Pages {
  const all = blocks ?? Array.from({ length: file.length / PAGE }, (_, block) => block)
  return new Map([...all].map(block => [block, file.slice(block * PAGE, (block + 1) * PAGE)]))
}

test('an increment gives the file back exactly, forward and in reverse, or there is none', () => {
  fc.assert(
    fc.property(histories, ({ parent, changes, isKnown, pagesAtOnce }) => {
      const now = changed(parent, changes)
      const usedBlocks = parent.findLastIndex(spec => spec !== 'zero') + 1
      const known = isKnown ? { blocks: parent.length, usedBlocks } : undefined
      const { blocks, whole } = select(now, known, pagesAtOnce)
      if (whole !== undefined) return
      const before = fileOf(parent)
      const after = fileOf(now)
      const pages = pagesOf(after, blocks)
      expect(reverse(now.length, [pages], before)).toEqual(new Uint8Array(after))

      const increment = Buffer.concat([encodeIncrementHead(after.length, blocks), ...pages.values()])
      expect(increment.length).toBe(incrementSizeBytes(blocks.length, PAGE))
      let file = new Uint8Array(before)
      const resize = (size: number): void => {
        const longer = new Uint8Array(size)
        longer.set(file.subarray(0, size))
        file = longer
      }
      const application = applyIncrement('/base/1/1', increment.length, PAGE, {
        truncate: resize,
        writeAt: (bytes, position) => file.set(bytes, position),
      })
      application.write(increment)
      application.end()
      expect(file).toEqual(new Uint8Array(after))
    }),
    { seed, numRuns: 300 },
  )
})

/** What a backup that has the file whole tells of it. */
function wholeParent(file: readonly PageSpec[]): ParentFile {
  const usedBlocks = file.findLastIndex(spec => spec !== 'zero') + 1
  const zeroes = [...file.keys()].filter(block => file[block] === 'zero')
  return { blocks: file.length, usedBlocks, zeroes: zeroRunsOf(zeroes, usedBlocks) }
}

/** As a block map has it: every block that is another one now, and those behind the end of the parent. */
function mapOf(before: readonly PageSpec[], after: readonly PageSpec[]): number[] {
  return [...after.keys()].filter(block => before[block] !== after[block])
}

test('no block of a chain comes back from below when it is restored in reverse', () => {
  const step = fc.record({
    changes: fc.array(change, { maxLength: 6 }),
    isMapped: fc.boolean(),
    /** False: the backup is the original's, which tells no sizes. */
    isTold: fc.boolean(),
  })
  fc.assert(
    fc.property(histories, fc.array(step, { minLength: 1, maxLength: 4 }), ({ parent, isKnown }, steps) => {
      let since = SINCE
      let file: readonly PageSpec[] = parent.map(spec => (spec !== 'zero' && spec >= SINCE ? OLD : spec))
      let whole = fileOf(file)
      let known = isKnown ? wholeParent(file) : undefined
      let increments: Pages[] = []
      for (const { changes, isMapped, isTold } of steps) {
        const now = changed(file, changes, since + 10n)
        const selector = new PageSelector(PAGE, since)
        selector.begin(known)
        const content = fileOf(now)
        if (!isMapped) selector.judge(content, 0)
        else for (const [block, page] of pagesOf(content, mapOf(file, now))) selector.take(page, block)
        const { blocks, whole: reason, usedBlocks, zeroes } = selector.end(isMapped)
        if (reason === undefined) {
          increments = [pagesOf(content, blocks), ...increments]
          known = { blocks: now.length, usedBlocks, zeroes }
        } else {
          whole = content
          increments = []
          known = wholeParent(now)
        }
        if (!isTold) known = undefined
        expect(reverse(now.length, increments, whole)).toEqual(new Uint8Array(content))
        file = now
        since += 100n
      }
    }),
    { seed, numRuns: 2000 },
  )
})
