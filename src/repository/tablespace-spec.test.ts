import { expect, test } from 'bun:test'
import { parseTablespaceMapping, parseTablespaceMappings } from './tablespace-spec.ts'

test('a mapping has two absolute paths; equals signs and commas within them are escaped', () => {
  expect(parseTablespaceMapping('/a/=/b')).toEqual({ from: '/a', to: '/b' })
  expect(parseTablespaceMapping('/a\\=b=/c\\,d\\\\e')).toEqual({ from: '/a=b', to: '/c,d\\\\e' })
  for (const text of ['/a', '/a=b', 'a=/b', '/a=/b=/c', '/a=']) {
    expect(() => parseTablespaceMapping(text)).toThrow(
      expect.objectContaining({ code: 'USAGE', hint: expect.stringContaining('a comma "\\,"') }),
    )
  }
})

test('what the command line has split at an escaped comma is one mapping', () => {
  expect(parseTablespaceMappings(['/a\\', 'b\\', 'c=/d', '/e=/f\\', 'g'])).toEqual([
    { from: '/a,b,c', to: '/d' },
    { from: '/e', to: '/f,g' },
  ])
  expect(parseTablespaceMappings(undefined)).toEqual([])
  expect(() => parseTablespaceMappings([])).toThrow('names nothing')
})
