import { describe, expect, test } from 'bun:test'
import fc from 'fast-check'
import { hasCode } from '../kit/errors.ts'
import { applyIncrement } from './apply.ts'
import { incrementSizeBytes } from './increment.ts'

const seed = Number(process.env['SEED'] ?? '20261122')
const PAGE = 64

function encode(fileSizeBytes: number, pages: readonly (readonly [number, number])[]): Uint8Array {
  const bytes = new Uint8Array(incrementSizeBytes(pages.length, PAGE))
  const view = new DataView(bytes.buffer)
  bytes.set([0x77, 0x69, 0x31, 0x55])
  view.setBigUint64(4, BigInt(fileSizeBytes), true)
  view.setUint32(12, pages.length, true)
  for (const [index, [block, fill]] of pages.entries()) {
    view.setUint32(16 + index * 4, block, true)
    bytes.fill(fill, 16 + pages.length * 4 + index * PAGE, 16 + pages.length * 4 + (index + 1) * PAGE)
  }
  return bytes
}

interface Patched {
  readonly content: Uint8Array
  readonly writes: number
  readonly finalSizeBytes: number
}

function apply(
  base: Uint8Array,
  increment: Uint8Array,
  pieceBytes: number,
  sizeBytes = increment.length,
): Patched {
  let content = base.slice()
  let writes = 0
  const resize = (size: number): void => {
    const next = new Uint8Array(size)
    next.set(content.subarray(0, size))
    content = next
  }
  const application = applyIncrement('/base/1/1', sizeBytes, PAGE, {
    truncate: resize,
    writeAt(bytes, position): void {
      writes++
      if (position + bytes.length > content.length) resize(position + bytes.length)
      content.set(bytes, position)
    },
  })
  for (let at = 0; at < increment.length; at += pieceBytes) {
    application.write(increment.subarray(at, at + pieceBytes))
  }
  application.end()
  return { content, writes, finalSizeBytes: application.finalSizeBytes }
}

const codeOf = (action: () => unknown): string => {
  try {
    action()
  } catch (error) {
    return hasCode(error, 'FORMAT_INVALID', 'FORMAT_TRUNCATED', 'FORMAT_UNSUPPORTED')
      ? error.code
      : String(error)
  }
  return 'none'
}

describe('increments', () => {
  test('the test vector of the format is 8212 bytes for one page of three', () => {
    expect(incrementSizeBytes(1, 8192)).toBe(8212)
    expect(incrementSizeBytes(0, 8192)).toBe(16)
  })

  test('pages land in their places however the stream is cut', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 12 }),
        fc.integer({ min: 0, max: 12 }),
        fc.array(fc.tuple(fc.integer({ min: 0, max: 14 }), fc.integer({ min: 1, max: 255 })), {
          maxLength: 10,
        }),
        fc.integer({ min: 1, max: 300 }),
        (basePages, filePages, pages, pieceBytes) => {
          const base = new Uint8Array(basePages * PAGE).fill(0xee)
          const expected: number[] = []
          const size = Math.max(filePages, ...pages.map(([block]) => block + 1))
          for (let block = 0; block < size; block++) {
            const page = pages.findLast(([number]) => number === block)
            expected.push(page?.[1] ?? (block < Math.min(basePages, filePages) ? 0xee : 0))
          }
          const patched = apply(base, encode(filePages * PAGE, pages), pieceBytes)
          expect(patched.content).toEqual(
            new Uint8Array(expected.flatMap(fill => new Array<number>(PAGE).fill(fill))),
          )
          expect(patched.finalSizeBytes).toBe(size * PAGE)
          expect(apply(patched.content, encode(filePages * PAGE, pages), 1000).content).toEqual(
            patched.content,
          )
        },
      ),
      { seed, numRuns: 200 },
    )
  })

  test('neighbouring pages are written together', () => {
    const increment = encode(6 * PAGE, [
      [1, 1],
      [2, 2],
      [3, 3],
      [5, 5],
    ])
    expect(apply(new Uint8Array(6 * PAGE), increment, increment.length).writes).toBe(2)
  })

  test('an increment without pages only sets the size', () => {
    expect(apply(new Uint8Array(4 * PAGE).fill(9), encode(2 * PAGE, []), 16).content).toEqual(
      new Uint8Array(2 * PAGE).fill(9),
    )
  })

  test('damage is an error before anything is written', () => {
    const good = encode(PAGE, [[0, 1]])
    const none = new Uint8Array(0)
    for (const [at, code] of [
      [0, 'FORMAT_INVALID'],
      [1, 'FORMAT_INVALID'],
      [2, 'FORMAT_UNSUPPORTED'],
      [3, 'FORMAT_INVALID'],
      [11, 'FORMAT_INVALID'],
      [12, 'FORMAT_INVALID'],
    ] as const) {
      const bad = good.slice()
      bad[at]! ^= 0x80
      expect([at, codeOf(() => apply(none, bad, 7))]).toEqual([at, code])
    }
    const longer = new Uint8Array(good.length + 1)
    longer.set(good)
    expect(codeOf(() => apply(none, longer, 7))).toBe('FORMAT_INVALID')
    expect(codeOf(() => apply(none, longer, 7, good.length))).toBe('FORMAT_INVALID')
  })

  test('a cut increment is an error', () => {
    const good = encode(PAGE, [[0, 1]])
    for (const size of [0, 5, 16, 18, 20, good.length - 1]) {
      expect(codeOf(() => apply(new Uint8Array(0), good.subarray(0, size), 7, good.length))).toBe(
        'FORMAT_TRUNCATED',
      )
    }
  })
})
