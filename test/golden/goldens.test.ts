import { afterAll, beforeAll, expect, test } from 'bun:test'
import { existsSync } from 'node:fs'
import { describeUnless, missingInterop } from '../support/skip.ts'
import { type TempDirectory, tempDirectory } from '../support/temp-directory.ts'
import { runWalg } from '../support/walg.ts'
import { withBackupType } from './backup-type.ts'
import { DIFFERENCES, type Outcome } from './differences.ts'
import {
  EMPTY_SET,
  extractRepository,
  type GoldenCase,
  type GoldenSet,
  isLater,
  listObjects,
  readGolden,
  readGoldenSets,
  withoutTimes,
} from './golden-cases.ts'

/** What lies in the folder: a set or a case that gets lost makes this fail. */
const EXPECTED = { sets: 7, cases: 264 }

const reason = missingInterop()
const sets = reason === undefined ? readGoldenSets() : []
const nowCount = sets.flatMap(({ cases }) => cases).filter(golden => !isLater(golden)).length
let passed = 0

/** The least that was compared once: a verb that works does not become a later one again. */
const NOW_MIN = 230

/** Where the repositories lay when the outputs were recorded. */
const RECORDED_FOLDER = '/srv/interop'

function differenceOf(set: GoldenSet, golden: GoldenCase): (typeof DIFFERENCES)[number] | undefined {
  return DIFFERENCES.find(each => each.case === golden.case && (each.set ?? EMPTY_SET) === set.name)
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
  // the repositories are young; what protects a push under way would keep leftovers that the original removes
  if (golden.argv[0] === 'delete') env['WALG_GARBAGE_MIN_AGE'] = '0s'
  const { exit, stdout, stderr } = await runWalg(golden.argv.map(moved), { env })
  const recorded = (text: string): string => withoutTimes(text.replaceAll(folder.path, RECORDED_FOLDER))
  return { exit, stdout: recorded(stdout), stderr: recorded(stderr) }
}

/** Version and build are those of the program that runs; an order that varies is no order. */
function neutral(set: GoldenSet, golden: GoldenCase, outcome: Outcome): Outcome {
  const isShort = differenceOf(set, golden)?.isFirstLineEnough === true
  const stdout = isShort ? outcome.stdout.split('\n', 1)[0]! : outcome.stdout
  const sorted = (text: string, varies: unknown): string =>
    varies === undefined ? text : text.split('\n').sort().join('\n')
  return {
    ...outcome,
    stdout: sorted(stdout.replace(/version \S+\t\S+\t\S+\t/, 'version V\tR\tD\t'), golden.stdoutVaries),
    stderr: sorted(outcome.stderr, golden.stderrVaries),
  }
}

/** The objects that must remain; an empty list was recorded as an empty line. */
function objectsAfter(set: GoldenSet, golden: GoldenCase, before: string): string {
  const removes = differenceOf(set, golden)?.removes
  if (removes !== undefined) {
    const remaining = before.split('\n').filter(key => !removes.some(prefix => key.startsWith(prefix)))
    return remaining.join('\n')
  }
  if (golden.objectsAfterFile === undefined) return before
  return readGolden(set, golden.objectsAfterFile).replace(/^\n$/, '')
}

/** A command that changes something begins with a repository of its own, and what remains is compared, too. */
async function checkCase(set: GoldenSet, golden: GoldenCase, shared: TempDirectory): Promise<void> {
  const removes = differenceOf(set, golden)?.removes
  const isMarking = golden.argv[0] === 'backup-mark'
  const isChanging = golden.objectsAfterFile !== undefined || removes !== undefined || isMarking
  using own = isChanging ? tempDirectory('golden') : undefined
  const folder = own ?? shared
  const root = set.root.replace(RECORDED_FOLDER, folder.path)
  if (isChanging) extractRepository(set, root)
  const before = listObjects(root)
  const outcome = await runCase(golden, folder)
  expect(neutral(set, golden, outcome)).toEqual(neutral(set, golden, expectedOf(set, golden)))
  expect(listObjects(root)).toBe(objectsAfter(set, golden, before))
  for (const made of ['out', 'outdir']) expect(existsSync(folder.at(made))).toBe(false)
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
        await checkCase(set, golden, folder)
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
    expect({ sets: sets.length, cases: cases.length }).toEqual(EXPECTED)
    expect(passed).toBe(nowCount)
    expect(passed).toBeGreaterThanOrEqual(NOW_MIN)
    const differing = cases.filter(({ set, golden }) => differenceOf(set, golden) !== undefined)
    expect(differing).toHaveLength(DIFFERENCES.length)
    expect(DIFFERENCES.filter(({ reason: why }) => why === '')).toEqual([])
  })
})
