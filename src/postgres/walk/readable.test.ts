import { expect, test } from 'bun:test'
import { Refusals } from './readable.ts'

test('files that cannot be read and names that cannot be stored are told together', () => {
  const refusals = new Refusals()
  refusals.assertNone('/data')
  refusals.addBadName('/data/base', new Uint8Array([0x61, 0xff]))
  refusals.addUnreadable('/data/secret')
  refusals.addUnreadable('/data/other')
  expect(() => refusals.assertNone('/data')).toThrow(
    expect.objectContaining({
      code: 'FILE_ACCESS',
      message:
        'unable to read "/data/secret", "/data/other": permission denied; names that are not UTF-8 cannot be stored, in "/data/base": a\\xff',
      hint: expect.stringMatching(/nothing was sent; run as the owner.*; rename or move/),
    }),
  )
})

test('of many the first are named, the others counted', () => {
  const refusals = new Refusals()
  for (let count = 0; count < 12; count += 1) refusals.addBadName('/data', new Uint8Array([0xff, count]))
  expect(() => refusals.assertNone('/data')).toThrow(/x09 and 2 more$/)
})
