import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { seed } from '../../test/support/seeded-random.ts'
import { NameTable } from './name-table.ts'

const encode = (text: string): Uint8Array => new TextEncoder().encode(text)

test('every name is found again, by text and by bytes, and names that were not added are not', () => {
  const names = fc.uniqueArray(fc.string({ unit: 'grapheme', maxLength: 20 }), { maxLength: 200 })
  fc.assert(
    fc.property(names, names, (added, others) => {
      const table = new NameTable()
      expect(added.map(name => table.add(name))).toEqual(added.map((_, index) => index))
      expect(added.map(name => table.add(name))).toEqual(added.map((_, index) => index))
      expect(table.count).toBe(added.length)
      for (const [index, name] of added.entries()) {
        expect(table.at(index)).toBe(name)
        expect(table.find(name)).toBe(index)
        expect(table.findBytes(encode(name))).toBe(index)
      }
      for (const name of others) expect(table.find(name)).toBe(added.indexOf(name))
    }),
    { seed },
  )
})

test('names longer than a page and hundreds of thousands of names are held', () => {
  const table = new NameTable()
  const long = `/${'x'.repeat(3 << 20)}`
  expect(table.add(long)).toBe(0)
  for (let number = 1; number < 200_000; number += 1) table.add(`/base/${number}/1259`)
  expect(table.at(0)).toBe(long)
  expect(table.find('/base/199999/1259')).toBe(199_999)
  expect(table.find('/base/200000/1259')).toBe(-1)
})

test('a name that is not well-formed Unicode is refused', () => {
  expect(() => new NameTable().add('/base/\ud800')).toThrow(
    expect.objectContaining({ code: 'FORMAT_INVALID' }),
  )
})
