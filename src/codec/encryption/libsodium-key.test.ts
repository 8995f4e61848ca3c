import { expect, test } from 'bun:test'
import { hasCode } from '../../kit/errors.ts'
import { deriveLibsodiumKey, isEncodedKeyUsedAsText, type KeyTransform } from './libsodium-key.ts'

function derive(text: string, transform: KeyTransform): string {
  return Buffer.from(deriveLibsodiumKey(text, transform, 'WALG_LIBSODIUM_KEY')).toString('latin1')
}

function problem(text: string, transform: KeyTransform): string {
  try {
    derive(text, transform)
  } catch (error) {
    if (hasCode(error, 'KEY_INVALID')) return error.message
    throw error
  }
  throw new Error('it was accepted')
}

test('without a transform the text is the key: padded with zeros from 25 bytes on, cut after 32', () => {
  expect(derive('k'.repeat(25), 'none')).toBe('k'.repeat(25) + '\0'.repeat(7))
  expect(derive('k'.repeat(31), 'none')).toBe(`${'k'.repeat(31)}\0`)
  expect(derive(`${'k'.repeat(32)}tail`, 'none')).toBe('k'.repeat(32))
  expect(problem('k'.repeat(24), 'none')).toContain('has 24 bytes, at least 25 are needed')
})

test('an encoded key must decode to exactly 32 bytes, and be what the transform says', () => {
  const key = Buffer.alloc(32, 0xa7)
  expect(derive(key.toString('base64'), 'base64')).toBe(key.toString('latin1'))
  expect(derive(key.toString('hex'), 'hex')).toBe(key.toString('latin1'))
  expect(derive(key.toString('hex').toUpperCase(), 'hex')).toBe(key.toString('latin1'))
  expect(problem(Buffer.alloc(31).toString('base64'), 'base64')).toContain('decodes to 31 bytes')
  expect(problem(Buffer.alloc(33).toString('hex'), 'hex')).toContain('decodes to 33 bytes')
  expect(problem(key.toString('base64').replace('=', ''), 'base64')).toContain('is not base64')
  expect(problem(`${key.toString('hex')}g0`, 'hex')).toContain('is not hex')
})

test('no error holds the key', () => {
  for (const transform of ['none', 'base64', 'hex'] as const) {
    expect(problem('hunter2!', transform)).not.toContain('hunter2')
  }
})

test('an encoded key that is taken as text is told from other texts', () => {
  expect(isEncodedKeyUsedAsText(Buffer.alloc(32).toString('base64'), 'none')).toBe(true)
  expect(isEncodedKeyUsedAsText(Buffer.alloc(32).toString('hex'), 'none')).toBe(true)
  expect(isEncodedKeyUsedAsText(Buffer.alloc(32).toString('base64'), 'base64')).toBe(false)
  expect(isEncodedKeyUsedAsText('a text of my own, long enough', 'none')).toBe(false)
})
