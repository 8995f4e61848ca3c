import { describe, expect, test } from 'bun:test'
import { compileGlob } from './glob-match.ts'

describe('masks', () => {
  for (const [pattern, name, isMatch] of [
    ['/global/*', '/global/pg_control', true],
    ['/*', '/PG_VERSION', true],
    ['/*', '/global/1', false],
    ['/base/*', '/base/5/1', false],
    ['/base/*/*', '/base/5/1', true],
    ['/base/?/1', '/base/5/1', true],
    ['/base/?/1', '/base/55/1', false],
    ['/a?c', '/a/c', false],
    ['/[a-c]x', '/bx', true],
    ['/[^a-c]x', '/bx', false],
    ['/[^a-c]x', '/dx', true],
    ['/a[^b]c', '/a/c', true],
    ['/[^c-a]', '/b', true],
    ['/\\*', '/*', true],
    ['/\\*', '/a', false],
    ['/*.txt', '/данные.txt', true],
    ['/?', '/ы', true],
    ['//PG_VERSION', '/PG_VERSION', false],
    ['/a.c', '/abc', false],
    ['/a', '/a\nb', false],
    ['/a*b', '/a\nb', true],
    ['/[c-a]', '/b', false],
  ] as const) {
    test(`"${pattern}" ${isMatch ? 'matches' : 'does not match'} ${JSON.stringify(name)}`, () => {
      expect(compileGlob(pattern)(name)).toBe(isMatch)
    })
  }

  for (const pattern of ['[', '[a', '[]', '[]a]', '[-]', '[a-', 'a\\', '[^', '[a-]']) {
    test(`"${pattern}" is refused`, () => {
      expect(() => compileGlob(pattern)).toThrow('not a valid pattern')
    })
  }
})
