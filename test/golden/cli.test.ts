import { describe, expect, test } from 'bun:test'
import { mkdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { type Finished, runProcess } from '../support/process.ts'
import { describeUnless, interopDirectory, missingInterop } from '../support/skip.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { EMPTY_DIFFERENCES, LATER_VERBS, type Outcome } from './empty-differences.ts'

interface GoldenCase {
  readonly case: string
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly exit: number
  readonly stdoutFile: string | null
  readonly stderrFile: string | null
}

/** Where the root lay when the outputs were recorded. */
const RECORDED_ROOT = '/srv/interop'

const folder = path.join(interopDirectory(), 'golden/empty')

function readGolden(file: string | null): string {
  return file === null ? '' : readFileSync(path.join(folder, file), 'utf8')
}

function withoutTimes(text: string): string {
  return text.replace(/^(\w+: )\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d\.\d{6} /gm, '$1')
}

/** From source, or the executable that WALG_BINARY names. */
async function runCase(golden: GoldenCase): Promise<Outcome> {
  using directory = tempDirectory('golden')
  mkdirSync(directory.at('empty'))
  mkdirSync(directory.at('home'))
  const moved = (text: string): string => text.replaceAll(RECORDED_ROOT, directory.path)
  const env = Object.fromEntries(Object.entries(golden.env).map(([name, value]) => [name, moved(value)]))
  const binary = process.env['WALG_BINARY']
  const main = path.join(import.meta.dir, '../../src/cli/main.ts')
  const args = golden.argv.map(moved)
  const finished: Finished = await runProcess(
    binary ?? process.execPath,
    binary === undefined ? [main, ...args] : args,
    { env: { ...env, HOME: directory.at('home'), PATH: process.env['PATH'] }, cwd: directory.path },
  )
  const recorded = (text: string): string => withoutTimes(text.replaceAll(directory.path, RECORDED_ROOT))
  return { exit: finished.exit, stdout: recorded(finished.stdout), stderr: recorded(finished.stderr) }
}

function expectedOf(golden: GoldenCase): Outcome {
  const original = {
    exit: golden.exit,
    stdout: readGolden(golden.stdoutFile),
    stderr: withoutTimes(readGolden(golden.stderrFile)),
  }
  const verb = golden.argv[0] ?? ''
  if (LATER_VERBS.includes(verb)) {
    return { exit: 1, stdout: '', stderr: `ERROR: "${verb}" is not available yet in this version\n` }
  }
  const difference = EMPTY_DIFFERENCES.find(each => each.case === golden.case)
  const replaced = (text: string): string =>
    (difference?.replaced ?? []).reduce((rest, [from, to]) => rest.replaceAll(from, to), text)
  const { exit, stdout, stderr } = original
  return { exit, stdout: replaced(stdout), stderr: replaced(stderr), ...difference?.ours }
}

describeUnless(missingInterop(), 'the recorded outputs for an empty repository', () => {
  const { cases } = JSON.parse(readGolden('cases.json')) as { cases: GoldenCase[] }

  for (const golden of cases) {
    test(`${golden.case}: wal-g ${golden.argv.join(' ')}`, async () => {
      const outcome = await runCase(golden)
      const expected = expectedOf(golden)
      const isShort = EMPTY_DIFFERENCES.some(each => each.case === golden.case && each.isFirstLineEnough)
      // Version and build are those of the program that runs.
      const neutral = (text: string): string =>
        (isShort ? text.split('\n', 1)[0]! : text).replace(/version \S+\t\S+\t\S+\t/, 'version V\tR\tD\t')
      expect({ ...outcome, stdout: neutral(outcome.stdout) }).toEqual({
        ...expected,
        stdout: neutral(expected.stdout),
      })
    })
  }

  test('every listed difference is one of a recorded case, and has a reason', () => {
    const names = cases.map(each => each.case)
    expect(EMPTY_DIFFERENCES.filter(each => !names.includes(each.case) || each.reason === '')).toEqual([])
    console.log(`goldens empty ${cases.length}/${cases.length}`)
  })
})

describe('the list of differences', () => {
  test('names a case once', () => {
    const names = EMPTY_DIFFERENCES.map(each => each.case)
    expect(new Set(names).size).toBe(names.length)
  })
})
