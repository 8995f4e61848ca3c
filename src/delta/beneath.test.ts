import { describe, expect, test } from 'bun:test'
import { BeneathWriter, type NewerPages } from './beneath.ts'

const PAGE = 8192

interface Write {
  readonly position: number
  readonly length: number
}

/** Writes older bytes in pieces beneath newer pages; a file of `content`. */
function restoreBeneath(
  content: Uint8Array,
  newer: NewerPages,
  older: Uint8Array,
  pieceBytes = older.length,
): Write[] {
  const writes: Write[] = []
  const target = {
    writeAt(bytes: Uint8Array, position: number): void {
      writes.push({ position, length: bytes.length })
      content.set(bytes, position)
    },
    readAt(into: Uint8Array, position: number): number {
      const found = content.subarray(position, position + into.length)
      into.set(found)
      return found.length
    },
  }
  const writer = new BeneathWriter(target, newer, PAGE)
  for (let at = 0; at < older.length; at += pieceBytes) {
    writer.write(older.subarray(at, at + pieceBytes), at)
  }
  writer.clear(older.length)
  return writes
}

const pages = (fills: string): Uint8Array =>
  new Uint8Array(Buffer.concat([...fills].map(fill => Buffer.alloc(PAGE, fill === '0' ? 0 : fill))))

const newerPages = (limit: number, cover: number, blocks: readonly number[]): NewerPages => ({
  limitBytes: limit * PAGE,
  coverBytes: cover * PAGE,
  has: block => blocks.includes(block),
})

describe('older bytes beneath newer pages', () => {
  test('fill what is missing, neighbours in one write, and leave newer pages alone, zero pages too', () => {
    const content = pages('0N00N0')
    const writes = restoreBeneath(content, newerPages(6, 6, [1, 3, 4]), pages('abcdef'))
    expect(content).toEqual(pages('aNc0Nf'))
    expect(writes).toEqual([0, 2, 5].map(block => ({ position: block * PAGE, length: PAGE })))
  })

  test('are the same however the bytes come', () => {
    for (const pieceBytes of [1000, PAGE - 1, PAGE, 20_000]) {
      const content = pages('0N00N0')
      restoreBeneath(content, newerPages(6, 6, [1, 3, 4]), pages('abcdef'), pieceBytes)
      expect(content).toEqual(pages('aNc0Nf'))
    }
  })

  test('end where the file was cut since, though it has grown again', () => {
    const content = pages('0000N')
    expect(restoreBeneath(content, newerPages(2, 5, [4]), pages('abcde'))).toEqual([
      { position: 0, length: 2 * PAGE },
    ])
    expect(content).toEqual(pages('ab00N'))
  })

  test('are followed by zeros, where a try that broke off has left something else', () => {
    const content = pages('xNxxNx')
    restoreBeneath(content, newerPages(6, 6, [1, 4]), pages('ab'))
    expect(content).toEqual(pages('aN00N0'))
    const cut = pages('xx')
    cut.set(pages('N'), PAGE)
    restoreBeneath(cut, newerPages(2, 2, [1]), new Uint8Array(100).fill(0x61))
    expect(cut.subarray(0, 100)).toEqual(new Uint8Array(100).fill(0x61))
    expect(cut.subarray(100)).toEqual(new Uint8Array(Buffer.concat([new Uint8Array(PAGE - 100), pages('N')])))
  })

  test('that nobody needs are told: those of newer pages, and all behind a cut', () => {
    const target = { writeAt() {}, readAt: () => 0 }
    const writer = new BeneathWriter(target, newerPages(6, 8, [1, 2, 5]), PAGE)
    const end = 10 * PAGE
    expect(writer.unneededBytes(0, end)).toBe(0)
    expect(writer.unneededBytes(PAGE, end)).toBe(2 * PAGE)
    expect(writer.unneededBytes(PAGE + 100, end)).toBe(2 * PAGE - 100)
    expect(writer.unneededBytes(PAGE, 2 * PAGE)).toBe(PAGE)
    expect(writer.unneededBytes(3 * PAGE, end)).toBe(0)
    expect(writer.unneededBytes(5 * PAGE, end)).toBe(5 * PAGE)
    expect(writer.unneededBytes(7 * PAGE, end)).toBe(3 * PAGE)
  })
})
