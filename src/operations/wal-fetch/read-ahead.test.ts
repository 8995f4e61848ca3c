import { expect, test } from 'bun:test'
import fc from 'fast-check'
import type { ByteSource } from '../../kit/bytes.ts'
import { readAhead } from './read-ahead.ts'

/** Gives `content` in pieces of the lengths in `counts`, round and round. */
function sourceOf(content: Uint8Array, counts: readonly number[]) {
  let at = 0
  let reads = 0
  let isClosed = false
  const source: ByteSource = {
    read(into) {
      const count = Math.min(into.length, counts[reads++ % counts.length]!, content.length - at)
      into.set(content.subarray(at, at + count))
      at += count
      return reads % 2 === 0 ? count : Promise.resolve(count)
    },
    close() {
      isClosed = true
    },
  }
  return { source, isClosed: () => isClosed, reads: () => reads }
}

test('the bytes are those of the source, whatever is asked for and whatever it gives', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 500 }),
      fc.array(fc.integer({ min: 1, max: 90 }), { minLength: 1, maxLength: 5 }),
      fc.array(fc.integer({ min: 1, max: 120 }), { minLength: 1, maxLength: 5 }),
      fc.integer({ min: 1, max: 64 }),
      async (content, counts, wants, pieceBytes) => {
        const { source, isClosed } = sourceOf(content, counts)
        const ahead = readAhead(source, pieceBytes)
        const got: number[] = []
        for (let turn = 0; ; turn++) {
          const into = new Uint8Array(wants[turn % wants.length]!)
          const count = await ahead.read(into)
          if (count === 0) break
          got.push(...into.subarray(0, count))
        }
        expect(await ahead.read(new Uint8Array(9))).toBe(0)
        await ahead.close()
        expect([got, isClosed()]).toEqual([[...content], true])
      },
    ),
    { seed: Number(process.env['SEED'] ?? 1) },
  )
})

test('a failure comes behind the bytes that were read before it, and each time it is asked for', async () => {
  let reads = 0
  const ahead = readAhead({
    read(into) {
      if (reads++ > 0) throw new Error('the line is cut')
      into.fill(7, 0, 3)
      return 3
    },
    close() {},
  })
  const into = new Uint8Array(2)
  expect([await ahead.read(into), await ahead.read(into)]).toEqual([2, 1])
  for (const _ of [1, 2]) await expect(ahead.read(into)).rejects.toThrow('the line is cut')
})

test('no more than one piece is read ahead, and nothing behind the end', async () => {
  const { source, reads } = sourceOf(new Uint8Array(30), [10])
  const ahead = readAhead(source, 10)
  await Bun.sleep(1)
  expect(reads()).toBe(1)
  await ahead.read(new Uint8Array(4))
  await Bun.sleep(1)
  expect(reads()).toBe(2)
  while ((await ahead.read(new Uint8Array(10))) > 0);
  await ahead.read(new Uint8Array(10))
  expect(reads()).toBe(4)
})
