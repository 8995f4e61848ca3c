// npx bun test/mutations/run.ts [text]: breaks each recorded guard in a copy of the project and expects its test to fail.
import { spawnSync } from 'node:child_process'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { Mutation } from './mutation.ts'

const root = path.resolve(import.meta.dir, '../..')
const wanted = process.argv[2] ?? ''

async function listMutations(): Promise<Mutation[]> {
  const files = readdirSync(import.meta.dir).filter(name => !['mutation.ts', 'run.ts'].includes(name))
  const modules = await Promise.all(files.map(file => import(path.join(import.meta.dir, file))))
  const all = modules.flatMap(module => (module as { mutations: readonly Mutation[] }).mutations)
  return all.filter(one => `${one.guard} ${one.file} ${one.test}`.includes(wanted))
}

function copyProject(): string {
  const copy = mkdtempSync(path.join(tmpdir(), 'wal-g-mutation-'))
  for (const name of ['src', 'test', 'package.json', 'tsconfig.json', 'bunfig.toml']) {
    try {
      cpSync(path.join(root, name), path.join(copy, name), { recursive: true })
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'ENOENT') throw error
    }
  }
  symlinkSync(path.join(root, 'node_modules'), path.join(copy, 'node_modules'))
  return copy
}

function isPassing(copy: string, test: string): boolean {
  return spawnSync(process.execPath, ['test', test], { cwd: copy, timeout: 300_000 }).status === 0
}

/** What is wrong with a mutation; undefined when its test noticed. */
function tryMutation(copy: string, mutation: Mutation): string | undefined {
  const file = path.join(copy, mutation.file)
  const source = readFileSync(file, 'utf8')
  if (source.split(mutation.find).length !== 2) return 'its text does not occur exactly once'
  writeFileSync(
    file,
    source.replace(mutation.find, () => mutation.replace),
  )
  const isUnnoticed = isPassing(copy, mutation.test)
  writeFileSync(file, source)
  return isUnnoticed ? 'its test does not notice' : undefined
}

/** Tests that fail without any mutation prove nothing. */
function failingTests(copy: string, mutations: readonly Mutation[]): Set<string> {
  const tests = new Set(mutations.map(one => one.test))
  return new Set([...tests].filter(test => !isPassing(copy, test)))
}

const copy = copyProject()
let survivors = 0
try {
  const mutations = await listMutations()
  const failing = failingTests(copy, mutations)
  for (const mutation of mutations) {
    const fault = failing.has(mutation.test) ? 'its test fails anyhow' : tryMutation(copy, mutation)
    if (fault !== undefined) survivors++
    console.log(
      `${fault === undefined ? 'noticed' : 'SURVIVED'}  ${mutation.guard}${fault === undefined ? '' : `: ${fault}`}`,
    )
  }
} finally {
  rmSync(copy, { recursive: true, force: true })
}
console.log(`${survivors} survived`)
process.exitCode = survivors === 0 ? 0 : 1
