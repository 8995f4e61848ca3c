import { expect, test } from 'bun:test'
import { createRedactor } from './redaction.ts'

test('a secret is hidden wherever it stands, also JSON- and URL-encoded', () => {
  const redact = createRedactor(['p"a/ss'])
  expect(redact('user p"a/ss@host {"x":"p\\"a/ss"} x=p%22a%2Fss')).toBe(
    'user --HIDDEN--@host {"x":"--HIDDEN--"} x=--HIDDEN--',
  )
})

test('a secret that contains another one is hidden whole', () => {
  expect(createRedactor(['abc', 'abcdef'])('xabcdefx abc')).toBe('x--HIDDEN--x --HIDDEN--')
})

test('each line of a long secret is hidden by itself', () => {
  const key = '-----BEGIN KEY-----\nAAAABBBB\nCCCC\n-----END KEY-----'
  expect(createRedactor([key])('line CCCC and AAAABBBB')).toBe('line --HIDDEN-- and --HIDDEN--')
  expect(createRedactor([key.replaceAll('\n', '\\n')])('CCCC')).toBe('--HIDDEN--')
})

test('a text of one or two characters is no secret and hides no ordinary words', () => {
  expect(createRedactor(['a', ''])('a banana')).toBe('a banana')
})
