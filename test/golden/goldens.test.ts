import { afterAll, beforeAll, expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { describeUnless, missingInterop } from '../support/skip.ts'
import { type TempDirectory, tempDirectory } from '../support/temp-directory.ts'
import { runWalg } from '../support/walg.ts'
import { withBackupType } from './backup-type.ts'
import { EMPTY_DIFFERENCES, type Outcome } from './empty-differences.ts'
import {
  EMPTY_SET,
  extractRepository,
  type GoldenCase,
  type GoldenSet,
  isLater,
  readGolden,
  readGoldenSets,
  withoutTimes,
} from './golden-cases.ts'

/** What lies in the folder: a set or a case that gets lost makes this fail. */
const EXPECTED = { sets: 7, cases: 264, now: 51, differing: EMPTY_DIFFERENCES.length }

const reason = missingInterop()
const sets = reason === undefined ? readGoldenSets() : []
const nowCount = sets.flatMap(({ cases }) => cases).filter(golden => !isLater(golden)).length
let passed = 0

/** Where the repositories lay when the outputs were recorded. */
const RECORDED_FOLDER = '/srv/interop'

function differenceOf(set: GoldenSet, golden: GoldenCase): (typeof EMPTY_DIFFERENCES)[number] | undefined {
  return set.name === EMPTY_SET ? EMPTY_DIFFERENCES.find(each => each.case === golden.case) : undefined
}

function expectedOf(set: GoldenSet, golden: GoldenCase): Outcome {
  if (isLater(golden)) {
    return {
      exit: 1,
      stdout: '',
      stderr: `ERROR: "${golden.argv[0]}" is not available yet in this version\n`,
    }
  }
  const difference = differenceOf(set, golden)
  const replaced = (text: string): string =>
    (difference?.replaced ?? []).reduce((rest, [from, to]) => rest.replaceAll(from, to), text)
  return {
    exit: golden.exit,
    stdout: replaced(withBackupType(readGolden(set, golden.stdoutFile), golden.argv)),
    stderr: replaced(withoutTimes(readGolden(set, golden.stderrFile))),
    ...difference?.ours,
  }
}

async function runCase(golden: GoldenCase, folder: TempDirectory): Promise<Outcome> {
  const moved = (text: string): string => text.replaceAll(RECORDED_FOLDER, folder.path)
  const env = Object.fromEntries(Object.entries(golden.env).map(([name, value]) => [name, moved(value)]))
  const { exit, stdout, stderr } = await runWalg(golden.argv.map(moved), { env })
  const recorded = (text: string): string => withoutTimes(text.replaceAll(folder.path, RECORDED_FOLDER))
  return { exit, stdout: recorded(stdout), stderr: recorded(stderr) }
}

/** Version and build are those of the program that runs. */
function neutral(outcome: Outcome, isFirstLineEnough = false): Outcome {
  const stdout = isFirstLineEnough ? outcome.stdout.split('\n', 1)[0]! : outcome.stdout
  return { ...outcome, stdout: stdout.replace(/version \S+\t\S+\t\S+\t/, 'version V\tR\tD\t') }
}

describeUnless(reason, 'what the original printed, ours prints', () => {
  for (const set of sets.filter(({ cases }) => cases.some(golden => !isLater(golden)))) {
    let folder: TempDirectory
    beforeAll(() => {
      folder = tempDirectory('golden')
      extractRepository(set, set.root.replace(RECORDED_FOLDER, folder.path))
    })
    afterAll(() => folder.remove())

    // verbs of later pieces are tried in one set: they do not come as far as the repository
    for (const golden of set.cases.filter(one => !isLater(one) || set.name === EMPTY_SET)) {
      test(`${set.name}, ${golden.case}: wal-g ${golden.argv.join(' ')}`, async () => {
        const outcome = await runCase(golden, folder)
        const isShort = differenceOf(set, golden)?.isFirstLineEnough
        expect(neutral(outcome, isShort)).toEqual(neutral(expectedOf(set, golden), isShort))
        for (const made of ['out', 'outdir']) expect(existsSync(folder.at(made))).toBe(false)
        if (!isLater(golden)) passed += 1
      })
    }
  }

  test('nothing got lost on the way, and every difference belongs to a case and has a reason', () => {
    const later = new Map<string, number>()
    for (const { argv } of sets.flatMap(({ cases }) => cases).filter(isLater)) {
      later.set(argv[0]!, (later.get(argv[0]!) ?? 0) + 1)
    }
    const names = [...later].sort().map(([verb, count]) => `${verb} ${count}`)
    console.log(`goldens ${passed}/${nowCount}`)
    console.log(`later: ${names.join(', ')}`)
    const cases = sets.flatMap(set => set.cases.map(golden => ({ set, golden })))
    const differing = cases.filter(({ set, golden }) => differenceOf(set, golden) !== undefined).length
    expect({ sets: sets.length, cases: cases.length, now: passed, differing }).toEqual(EXPECTED)
    expect(EMPTY_DIFFERENCES.filter(({ reason: why }) => why === '')).toEqual([])
  })
})
