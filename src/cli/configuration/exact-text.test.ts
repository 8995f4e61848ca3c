import { afterAll, beforeAll, expect, test } from 'bun:test'
import { writeFileSync } from 'node:fs'
import { type TempDirectory, tempDirectory } from '../../../test/support/temp-directory.ts'
import { checkExact } from './exact-text.ts'

let place: TempDirectory
beforeAll(() => {
  place = tempDirectory('exact')
})
afterAll(() => place.remove())

function sourceOf(...parts: readonly (string | readonly number[])[]): string {
  const file = place.at('source')
  writeFileSync(
    file,
    Buffer.concat(parts.map(part => (typeof part === 'string' ? Buffer.from(part) : Buffer.from(part)))),
  )
  return file
}

const check = (text: string, source: string, config?: string) => (): void =>
  checkExact(text, 'the user data', config, [source])

test('a text whose bytes were not UTF-8 is told from one that has the replacement character itself', () => {
  const broken = sourceOf('--add-user-data\0"', [0xff, 0x61], '"\0')
  expect(check('"\uFFFDa"', broken)).toThrow('is not UTF-8')
  expect(check('"plain"', broken)).not.toThrow()
  const meant = sourceOf('--add-user-data\0"\uFFFDa"\0')
  expect(check('"\uFFFDa"', meant)).not.toThrow()
  expect(check('"\uFFFDa"', place.at('nowhere'), meant)).not.toThrow()
  expect(check('"\uFFFDa"', place.at('nowhere'))).toThrow('is not UTF-8')
})
