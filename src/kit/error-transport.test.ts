import { expect, test } from 'bun:test'
import { decodeError, encodeError } from './error-transport.ts'
import { hasCode, WalgError } from './errors.ts'

test('a coded error survives structured cloning with code, facts, hint and causes', () => {
  const inner = Object.assign(new Error('disk on fire'), { code: 'EIO' })
  const error = new WalgError('FILE_ACCESS', 'unable to read "x"', {
    facts: { path: 'x', lsn: 1n << 60n },
    hint: 'look at the disk',
    cause: inner,
  })
  const copy = decodeError(structuredClone(encodeError(error)))
  expect(hasCode(copy, 'FILE_ACCESS')).toBe(true)
  expect(copy.message).toBe(error.message)
  expect((copy as WalgError).facts).toEqual({ path: 'x', lsn: 1n << 60n })
  expect((copy as WalgError).hint).toBe('look at the disk')
  expect((copy.cause as Error).message).toBe('disk on fire')
})

test('an error without code stays one, with its stack', () => {
  const error = new TypeError('oops')
  const copy = decodeError(structuredClone(encodeError(error)))
  expect(copy).not.toBeInstanceOf(WalgError)
  expect(copy.stack).toBe(error.stack!)
  expect(decodeError(encodeError('text')).message).toBe('text')
})

test('a chain of causes is bounded', () => {
  const error = new Error('loop')
  error.cause = error
  expect(encodeError(error).cause?.message).toBe('loop')
})
