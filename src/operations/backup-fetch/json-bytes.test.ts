import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { JsonBytes } from './json-bytes.ts'

const seed = Number(process.env['SEED'] ?? '20261122')

test('any text, name and whole number comes out as JSON says, from a buffer of any size', () => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.string({ unit: 'grapheme' }), fc.maxSafeNat(), fc.integer()), { maxLength: 20 }),
      fc.integer({ min: 1, max: 64 }),
      (rows, capacityBytes) => {
        const json = new JsonBytes(capacityBytes)
        const lines = rows.map(([name, size, other]) => {
          const utf8 = new TextEncoder().encode(`<${name}>`)
          json
            .text('[')
            .quoted(utf8, 1, utf8.length - 1)
            .text(',')
            .number(size)
            .text(',')
            .number(other)
            .text(`,"${other}é"]\n`)
          return [name, size, other, `${other}é`]
        })
        const text = new TextDecoder().decode(json.take())
        expect(
          text
            .split('\n')
            .filter(line => line !== '')
            .map(line => JSON.parse(line)),
        ).toEqual(lines)
        expect(json.usedBytes).toBe(0)
      },
    ),
    { seed, numRuns: 200 },
  )
})
