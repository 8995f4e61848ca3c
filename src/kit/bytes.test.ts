import { expect, test } from 'bun:test'
import { collect, concatBytes, sourceFromStream, streamFromSource, streamOf } from './bytes.ts'

test('collect copies chunks that are lent, whatever kind of array they are', async () => {
  const lent = Buffer.alloc(3)
  async function* reusing(): AsyncGenerator<Uint8Array> {
    for (const value of [1, 2, 3]) yield lent.fill(value)
  }
  expect([...(await collect(reusing(), 100))]).toEqual([1, 1, 1, 2, 2, 2, 3, 3, 3])
})

test('collect refuses more than its limit', async () => {
  const failure = await collect(streamOf(new Uint8Array(8), new Uint8Array(3)), 10).catch(error => error)
  expect(failure).toBeInstanceOf(RangeError)
})

test('a stream comes back from a source made of it, in any pieces', async () => {
  const content = Uint8Array.from({ length: 1_000 }, (_, i) => i & 255)
  const pieces = [content.subarray(0, 1), content.subarray(1, 700), content.subarray(700)]
  for (const chunkBytes of [1, 7, 1_000, 5_000]) {
    const stream = streamFromSource(sourceFromStream(streamOf(...pieces)), chunkBytes)
    expect(await collect(stream, 1_000)).toEqual(content)
  }
})

test('stopping early runs the producer’s end', async () => {
  let isEnded = false
  async function* producer(): AsyncGenerator<Uint8Array> {
    try {
      for (;;) yield new Uint8Array(10)
    } finally {
      isEnded = true
    }
  }
  for await (const _ of streamFromSource(sourceFromStream(producer()), 4)) break
  expect(isEnded).toBe(true)
})

test('concatBytes joins what it is given', () => {
  expect([...concatBytes([Uint8Array.of(1), new Uint8Array(0), Uint8Array.of(2, 3)])]).toEqual([1, 2, 3])
})
