import { expect, test } from 'bun:test'
import fc from 'fast-check'
import { seed } from '../../test/support/seeded-random.ts'
import { checkKey, isTemporaryName, normalizePrefix } from './keys.ts'

test('a key that passes the check stays below any root, whatever it is made of', () => {
  const component = fc.oneof(fc.string(), fc.constantFrom('', '.', '..', '...', 'a', '\0', ' '))
  fc.assert(
    fc.property(fc.array(component, { maxLength: 6 }), components => {
      const key = components.join('/')
      try {
        checkKey(key, 'disk')
      } catch (error) {
        expect(error).toMatchObject({ code: 'KEY_REFUSED' })
        return
      }
      const url = new URL(`file:///root/dir/${key.split('/').map(encodeURIComponent).join('/')}`)
      expect(decodeURIComponent(url.pathname)).toBe(`/root/dir/${key}`)
    }),
    { seed, numRuns: 2000 },
  )
})

test('only the exact form is the name of a temporary', () => {
  expect(isTemporaryName('x.tmp.20261122T101112Z-0123456789abcdef')).toBe(true)
  for (const name of [
    'x.tmp',
    'x.tmp.20261122T101112Z-0123456789abcde',
    'x.tmp.20261122T101112Z-0123456789ABCDEF',
    'x.tmp.20261122T101112Z-0123456789abcdef.lz4',
    'xtmp.20261122T101112Z-0123456789abcdef',
  ]) {
    expect(isTemporaryName(name)).toBe(false)
  }
})

test('a configured prefix loses its empty components, as in the original', () => {
  expect(normalizePrefix('/a//b/')).toBe('a/b')
  expect(normalizePrefix('')).toBe('')
  expect(normalizePrefix('///')).toBe('')
})
