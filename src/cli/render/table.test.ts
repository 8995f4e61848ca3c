import { expect, test } from 'bun:test'
import { formatBoxTable, formatPlainTable } from './table.ts'

test('a plain table has columns one space apart and nothing behind the last', () => {
  const table = {
    columns: ['a', 'long name', 'b'],
    rows: [
      ['1234', 'x', 'y'],
      ['', 'zz', 'é日'],
    ],
  }
  expect(formatPlainTable(table)).toBe('a    long name b\n1234 x         y\n     zz        é日\n')
})

test('a box counts its rows from 0, right-aligned, and shouts its headings', () => {
  const rows = Array.from({ length: 11 }, (_, number) => [`row ${number}`])
  const lines = formatBoxTable({ columns: ['Name'], rows }).split('\n')
  expect(lines.slice(0, 4)).toEqual([
    '+----+--------+',
    '|  # | NAME   |',
    '+----+--------+',
    '|  0 | row 0  |',
  ])
  expect(lines.slice(-4)).toEqual(['|  9 | row 9  |', '| 10 | row 10 |', '+----+--------+', ''])
})

test('wide characters take two columns of a box, combining marks none', () => {
  const lines = formatBoxTable({ columns: ['n'], rows: [['日本'], ['e\u0301'], ['abcd']] }).split('\n')
  expect(lines.slice(3, 6)).toEqual(['| 0 | 日本 |', '| 1 | e\u0301    |', '| 2 | abcd |'])
})
