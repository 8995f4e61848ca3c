import { expect, test } from 'bun:test'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import type { Mutation } from './mutation.ts'

const root = path.resolve(import.meta.dir, '../..')
const NO_LISTS = new Set(['mutation.ts', 'run.ts', 'mutations.test.ts'])
const lists = readdirSync(import.meta.dir).filter(name => !NO_LISTS.has(name))

test.each(lists)(
  'every guard of %s is still where its mutation breaks it, and its test is there',
  async name => {
    const { mutations } = (await import(path.join(import.meta.dir, name))) as {
      mutations: readonly Mutation[]
    }
    expect(mutations.length).toBeGreaterThan(0)
    const stale = mutations.filter(({ file, find, test: testFile, title }) => {
      const source = path.join(root, file)
      const tests = path.join(root, testFile)
      if (!existsSync(source) || !existsSync(tests)) return true
      return readFileSync(source, 'utf8').split(find).length !== 2 || title === ''
    })
    expect(stale.map(({ guard }) => guard)).toEqual([])
  },
)
