// npm run test:mutations [-- text]: breaks each recorded guard in a copy of the project and expects its test to fail.
// Tests of the executable run the program from the copy's source.
import { spawnSync } from 'node:child_process'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { interopDirectory } from '../support/skip.ts'
import type { Mutation } from './mutation.ts'

const root = path.resolve(import.meta.dir, '../..')
const wanted = process.argv[2] ?? ''
const RUN_TIMEOUT_MS = 300_000

async function listMutations(): Promise<Mutation[]> {
  const files = readdirSync(import.meta.dir).filter(
    name => !['mutation.ts', 'mutations.test.ts', 'run.ts'].includes(name),
  )
  const modules = await Promise.all(files.map(file => import(path.join(import.meta.dir, file))))
  const lists = modules.map(module => (module as { mutations: readonly Mutation[] }).mutations)
  const all = lists.flatMap((list, index) => list.map(one => ({ ...one, list: files[index]! })))
  return all.filter(one => `${one.list} ${one.guard} ${one.file} ${one.test}`.includes(wanted))
}

/** A copy that the user who runs PostgreSQL can read, with a `wal-g` that runs its source. */
function copyProject(): string {
  const copy = mkdtempSync(path.join(tmpdir(), 'wal-g-mutation-'))
  chmodSync(copy, 0o755)
  for (const name of ['src', 'test', 'README.md', 'package.json', 'tsconfig.json', 'bunfig.toml']) {
    if (existsSync(path.join(root, name)))
      cpSync(path.join(root, name), path.join(copy, name), { recursive: true })
  }
  symlinkSync(path.join(root, 'node_modules'), path.join(copy, 'node_modules'))
  const main = path.join(copy, 'src/cli/main.ts')
  // the runtime would keep a cache at home, and tests run the program with a home that must not be there
  const script = `#!/bin/sh\nBUN_RUNTIME_TRANSPILER_CACHE_PATH=0 exec '${process.execPath}' '${main}' "$@"\n`
  writeFileSync(path.join(copy, 'wal-g'), script, { mode: 0o755 })
  return copy
}

/** `passed`, `failed`, or `broken`: no test has failed, and yet the run did not end well. */
function runTest(copy: string, { test, title }: Mutation): 'passed' | 'failed' | 'broken' {
  const args = ['test', '--timeout=120000', `./${test}`, ...(title === undefined ? [] : ['-t', title])]
  const run = spawnSync(process.execPath, args, {
    cwd: copy,
    encoding: 'utf8',
    timeout: RUN_TIMEOUT_MS,
    env: { ...process.env, WALG_BINARY: path.join(copy, 'wal-g'), WALG_INTEROP_DIR: interopDirectory() },
  })
  if (run.status === 0) return 'passed'
  return /^\(fail\)/m.test(run.stdout + run.stderr) || run.status === null ? 'failed' : 'broken'
}

const baselines = new Map<string, string>()

/** What is wrong with a mutation; undefined when its test noticed. */
function tryMutation(copy: string, mutation: Mutation): string | undefined {
  const file = path.join(copy, mutation.file)
  const source = existsSync(file) ? readFileSync(file, 'utf8') : ''
  if (source.split(mutation.find).length !== 2) return 'its text does not occur exactly once'
  const name = `${mutation.test} ${mutation.title ?? ''}`
  if (!baselines.has(name)) baselines.set(name, runTest(copy, mutation))
  if (baselines.get(name) !== 'passed') return 'its test does not pass before anything is broken'
  writeFileSync(
    file,
    source.replace(mutation.find, () => mutation.replace),
  )
  const outcome = runTest(copy, mutation)
  writeFileSync(file, source)
  if (outcome === 'broken') return 'the tests cannot be run with it'
  return outcome === 'passed' ? 'its test does not notice' : undefined
}

const copy = copyProject()
let survivors = 0
try {
  for (const mutation of await listMutations()) {
    const fault = tryMutation(copy, mutation)
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
