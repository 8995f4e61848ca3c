import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { seed } from '../../test/support/seeded-random.ts'
import { type JsonPiece, parsePiece, splitJson } from './json-stream.ts'

async function* chunksOf(text: string, chunkBytes: number): AsyncGenerator<Uint8Array> {
  const bytes = new TextEncoder().encode(text)
  const lent = new Uint8Array(chunkBytes)
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    const chunk = bytes.subarray(at, at + chunkBytes)
    lent.set(chunk)
    yield lent.subarray(0, chunk.length)
  }
}

async function split(text: string, chunkBytes = 7, groupBytes = 16): Promise<JsonPiece[]> {
  const pieces: JsonPiece[] = []
  const options = { isGrouped: (key: string) => key.startsWith('G'), groupBytes }
  for await (const piece of splitJson(chunksOf(text, chunkBytes), options)) pieces.push(piece)
  return pieces
}

/** Puts the pieces together again, as a reader of a large document does. */
function join(pieces: readonly JsonPiece[]): Record<string, unknown> {
  const whole: Record<string, unknown> = {}
  for (const { kind, key, text } of pieces) {
    const value = JSON.parse(text) as Record<string, unknown>
    if (kind === 'member') whole[key] = value
    else {
      whole[key] ??= {}
      const entries = whole[key] as Record<string, unknown>
      for (const [name, entry] of Object.entries(value)) {
        const known = entries[name]
        entries[name] = Array.isArray(known) && Array.isArray(entry) ? [...known, ...entry] : entry
      }
    }
  }
  return whole
}

test('a large object arrives in groups, also when one of its arrays is larger than a group', async () => {
  const pieces = await split(
    '{"a":1,"Gparts":{"p1":["aaaaaaaa","bbbbbbbb","cccccccc"],"p2":[]},"b":"x"}',
    7,
    20,
  )
  expect(pieces.map(piece => piece.kind)).toEqual(['member', 'group', 'group', 'member'])
  expect(pieces[1]?.text).toBe('{"p1":["aaaaaaaa","bbbbbbbb"]}')
  expect(pieces[2]?.text).toBe('{"p1":["cccccccc"],"p2":[]}')
})

test('any document comes together again, wherever the chunks and groups are cut', async () => {
  const names = fc.string({ unit: 'grapheme', maxLength: 6 }).filter(name => name !== '__proto__')
  const entries = fc.dictionary(
    names,
    fc.oneof(fc.array(fc.string(), { maxLength: 6 }), fc.dictionary(names, fc.boolean())),
  )
  const documents = fc.record({
    G1: entries,
    plain: fc.jsonValue({ maxDepth: 3 }),
    G2: fc.oneof(entries, fc.constant(null)),
    last: fc.constantFrom('x', 1, true, null),
  })
  await fc.assert(
    fc.asyncProperty(
      documents,
      fc.integer({ min: 1, max: 40 }),
      fc.integer({ min: 1, max: 60 }),
      fc.constantFrom(undefined, 1),
      async (value, chunkBytes, groupBytes, indent) => {
        const text = JSON.stringify(value, undefined, indent)
        expect(join(await split(text, chunkBytes, groupBytes))).toEqual(JSON.parse(text))
      },
    ),
    { seed },
  )
})

test('every cut of a document is reported', async () => {
  const text = '{"a":{"b":[1,"x"]},"G":{"k":["v","w"],"l":{}},"c":"d"}'
  for (let length = 0; length < text.length; length += 1) {
    await expect(split(text.slice(0, length))).rejects.toMatchObject({
      code: length === 0 ? 'FORMAT_INVALID' : 'FORMAT_TRUNCATED',
    })
  }
  expect(join(await split(`${text}\n `))).toEqual(JSON.parse(text))
})

test.each([
  '[]',
  '1',
  '{,}',
  '{"a"}',
  '{"a":}',
  '{"a":1,}',
  '{"a":1 "b":2}',
  '{"a":1}}',
  '{"a":1}x',
  '{"G":{"k":1]}',
  '{"G":{"aaaaaaaaaaaaaaaaaaaa":1,}}',
  '{"G":{"k":["aaaaaaaaaaaaaaaaaaaaaaa",]}}',
])('%s is refused', async text => {
  const reading = split(text).then(pieces => pieces.map(piece => parsePiece(piece.text)))
  await expect(reading).rejects.toMatchObject({ code: 'FORMAT_INVALID' })
})

test('control characters are no white space: a tail of zeros is damage', async () => {
  for (const text of ['{"a":1}\u0000', '{"a":1\u0007}', '\u000c{"a":1}', '{"a":"x"\u00a0}']) {
    const reading = split(text).then(pieces => pieces.map(piece => parsePiece(piece.text)))
    await expect(reading).rejects.toMatchObject({ code: 'FORMAT_INVALID' })
  }
})

test('text that is not UTF-8 is refused', async () => {
  async function* bytes(): AsyncGenerator<Uint8Array> {
    yield new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])
  }
  const reading = Array.fromAsync(splitJson(bytes(), { isGrouped: () => false }))
  await expect(reading).rejects.toMatchObject({ code: 'FORMAT_INVALID' })
})

test('an entry larger than the limit is refused instead of filling the memory', async () => {
  const options = { isGrouped: () => false, pieceBytesMax: 1000 }
  const source = chunksOf(`{"a":"${'x'.repeat(5000)}"}`, 100)
  await expect(Array.fromAsync(splitJson(source, options))).rejects.toMatchObject({ code: 'FORMAT_INVALID' })
})
