import { expect, test } from 'bun:test'
import { similarName } from './similar-name.ts'

const names = ['WALG_FILE_PREFIX', 'WALG_S3_PREFIX', 'WALG_GS_PREFIX', 'PGHOST', 'PGPORT']

test('a name with a slip of the pen finds the one that was meant', () => {
  expect(similarName('WALG_FILE_PERFIX', names)).toBe('WALG_FILE_PREFIX')
  expect(similarName('PGHOTS', ['PGHOST'])).toBeUndefined()
  expect(similarName('PGHOSTS', names)).toBe('PGHOST')
})

test('a name like no other finds nothing', () => {
  expect(similarName('SOMETHING_ELSE', names)).toBeUndefined()
  expect(similarName('', names)).toBeUndefined()
})
