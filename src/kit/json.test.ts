import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { seed } from '../../test/support/seeded-random.ts'
import {
  checkJson,
  checkPortableJson,
  compactJson,
  indentJson,
  isSameJson,
  JsonMembers,
  type JsonValue,
  parseJson,
  quoteJson,
  writeJson,
} from './json.ts'

test('integers beyond 2^53 stay exact', () => {
  expect(parseJson('{"a":7710957917932049533,"b":1.5,"c":[18446744073709551615]}')).toEqual({
    a: 7710957917932049533n,
    b: 1.5,
    c: [18446744073709551615n],
  })
  expect(writeJson({ id: 7710957917932049533n })).toBe('{"id":7710957917932049533}')
})

test('raw text is written as it stands, without white space', () => {
  const rawJson = '{ "n" : 12345678901234567890, "f": 1.0, "t": "a  b" }'
  expect(writeJson({ user: { rawJson } })).toBe('{"user":{"n":12345678901234567890,"f":1.0,"t":"a  b"}}')
})

test('v1 escapes <, >, & and the line separators, v2 does not', () => {
  expect(quoteJson('<a&b>\u2028\u2029', 'v1')).toBe('"\\u003ca\\u0026b\\u003e\\u2028\\u2029"')
  expect(quoteJson('<a&b>\u2028', 'v2')).toBe('"<a&b>\u2028"')
  expect(compactJson('["<"]', 'v1')).toBe('["\\u003c"]')
})

test('members that are undefined are left out, null is written', () => {
  expect(writeJson({ a: undefined, b: null, c: [], d: {} })).toBe('{"b":null,"c":[],"d":{}}')
})

test('a number without a JSON form is refused', () => {
  expect(() => writeJson({ a: Number.NaN })).toThrow(expect.objectContaining({ code: 'FORMAT_INVALID' }))
})

test('a number that no double holds is not portable, and is named', () => {
  checkPortableJson('{"a":12345678901234567890,"b":1e308}')
  expect(() => checkPortableJson('{"a":[-1e400]}')).toThrow('-1e400')
})

test('indentation leaves empty arrays and objects on one line', () => {
  expect(indentJson('{"a":[ ],"b":{},"c":[1,{"d":"x"}]}', '    ')).toBe(
    '{\n    "a": [],\n    "b": {},\n    "c": [\n        1,\n        {\n            "d": "x"\n        }\n    ]\n}',
  )
})

test('members are found in any case, the last of duplicates counts, null is absent', () => {
  const members = JsonMembers.parse('{"lsn":1,"LSN":2,"Spec":null,"x":{"y":"}"}}')
  expect(members.bigint('Lsn')).toBe(2n)
  expect(members.raw('spec')).toBeUndefined()
  expect(members.raw('X')).toBe('{"y":"}"}')
  expect(members.object('x')?.string('Y')).toBe('}')
})

test.each([
  ['string', '{"a":1}'],
  ['boolean', '{"a":"true"}'],
  ['bigint', '{"a":1.5}'],
  ['integer', '{"a":9007199254740993}'],
  ['object', '{"a":[]}'],
  ['strings', '{"a":["x",1]}'],
] as const)('a member that is no %s is refused', (type, text) => {
  expect(() => JsonMembers.parse(text)[type]('a')).toThrow(
    expect.objectContaining({ code: 'FORMAT_INVALID' }),
  )
})

test.each(['', ' ', '{', '[1]', 'null', '"x"', '{"a":1,}'])('%p is refused as an object', text => {
  expect(() => JsonMembers.parse(text)).toThrow(expect.objectContaining({ code: 'FORMAT_INVALID' }))
})

test('documents are compared by value', () => {
  expect(isSameJson('{"a":1,"b":[2]}', '{ "b":[2.0], "a":1e0 }')).toBe(true)
  expect(isSameJson('{"a":1}', '{"a":1,"b":null}')).toBe(false)
  expect(isSameJson('[]', '{}')).toBe(false)
  expect(isSameJson('12345678901234567890', '12345678901234567000')).toBe(false)
})

const documents = fc.jsonValue({ maxDepth: 4 }) as fc.Arbitrary<JsonValue>

test('what is written is read back, in every layout', () => {
  fc.assert(
    fc.property(documents, fc.constantFrom('v1' as const, 'v2' as const), (value, escaping) => {
      const text = writeJson(value, escaping)
      const expected = JSON.parse(JSON.stringify(value))
      expect(JSON.parse(text)).toEqual(expected)
      expect(JSON.parse(indentJson(text, '  ', escaping))).toEqual(expected)
      expect(compactJson(indentJson(text, '\t', escaping), escaping)).toBe(text)
      checkJson(text)
    }),
    { seed },
  )
})

test('the text of every member is kept, whatever the layout', () => {
  fc.assert(
    fc.property(fc.dictionary(fc.string(), documents), record => {
      const text = JSON.stringify(record, undefined, 1)
      const entries = [...JsonMembers.entries(text)]
      expect(entries.map(([key]) => key)).toEqual(Object.keys(record))
      for (const [key, raw] of entries)
        expect(JSON.parse(raw)).toEqual(JSON.parse(JSON.stringify(record[key])))
    }),
    { seed },
  )
})
