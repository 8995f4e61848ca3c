// Runs the tests: `npm test` the fixed-seed tier, `npm run test:long` the rest (test/long, and more seeds).
// Usage: node scripts/test.mjs [--long] [--seeds N] [part of a path…]
// The last line is `N passed, N failed, N skipped`; exit status 1 when a test failed or none ran.
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { bun, ensureBuild, ensureTools, root } from './ensure.mjs'
import { readResults } from './junit.mjs'
import { run } from './run.mjs'

const FIXED_SEED = 20261122
const SEEDS_LONG = 20
/** Only against a test that never answers; a test may set its own. */
const TEST_TIMEOUT_MS = 120_000
const PASS_TIMEOUT_MS = 60 * 60_000
/** One more than the CPUs: many tests wait, for a stalled socket or a server's own pace. */
const WORKERS = Math.min(4, cpus().length + 1)
/** What is repeated of a failed test's words at the end, where it is found. */
const REASON_CHARACTERS_MAX = 2_000
/** Files that are named at the end of a run of more. */
const SLOWEST_SHOWN = 15

const { values, positionals } = parseArgs({
  options: { long: { type: 'boolean', default: false }, seeds: { type: 'string' } },
  allowPositionals: true,
})

function listTests(folder) {
  return readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter(file => file.endsWith('.test.ts'))
    .map(file => `./${folder}/${file}`)
    .sort()
}

const isLong = file => file.startsWith('./test/long/')
const usesSeeds = file => /fast-check|seeded-random/.test(readFileSync(join(root, file), 'utf8'))

/** What to run: files and seed of each pass. */
function planPasses() {
  const wanted = file => positionals.length === 0 || positionals.some(part => file.includes(part))
  const files = ['src', 'test'].flatMap(listTests).filter(wanted)
  const firstSeed = Number(process.env.SEED ?? FIXED_SEED)
  if (!values.long) return [{ seed: firstSeed, files: files.filter(file => !isLong(file)) }]
  const passes = [{ seed: firstSeed, files: files.filter(isLong) }]
  const seeded = files.filter(file => !isLong(file) && usesSeeds(file))
  const seeds = Number(values.seeds ?? SEEDS_LONG)
  for (let more = 1; more <= seeds; more++) passes.push({ seed: firstSeed + more, files: seeded })
  return passes
}

function runPass({ seed, files }, number) {
  const report = join(root, '.cache', `junit-${process.pid}-${number}.xml`)
  mkdirSync(join(root, '.cache'), { recursive: true })
  // a place of its own, so that nothing stays behind whatever happens
  const temporary = mkdtempSync(join(tmpdir(), 'wal-g-tests-'))
  chmodSync(temporary, 0o1777)
  const { status } = run(
    bun,
    [
      '--no-orphans',
      'test',
      `--parallel=${WORKERS}`,
      `--timeout=${TEST_TIMEOUT_MS}`,
      '--only-failures',
      '--reporter=junit',
      `--reporter-outfile=${report}`,
      ...files,
    ],
    {
      cwd: root,
      isShown: true,
      timeoutMs: PASS_TIMEOUT_MS,
      env: {
        ...process.env,
        SEED: String(seed),
        TMPDIR: temporary,
        WALG_BINARY: join(root, 'dist/wal-g'),
      },
    },
  )
  rmSync(temporary, { recursive: true, force: true })
  const results = readResults(report)
  rmSync(report, { force: true })
  for (const file of files.map(name => name.slice('./'.length))) {
    if (!results.files.has(file)) results.failed.push(`${file}: does not load, or has no test`)
  }
  // an error between two tests is in the status only
  if (status !== 0 && results.failed.length === 0) results.failed.push(`bun test ended with status ${status}`)
  return results
}

function reasonOf(text = '') {
  return text.slice(0, REASON_CHARACTERS_MAX).replace(/^/, '\n').replaceAll('\n', '\n      ').trimEnd()
}

const startedAt = performance.now()
ensureTools()
ensureBuild()
const total = { passed: 0, failed: [], skipped: [], seconds: [] }
for (const [number, pass] of planPasses().entries()) {
  if (pass.files.length === 0) continue
  console.log(`\nSEED=${pass.seed}, ${pass.files.length} files`)
  const results = runPass(pass, number)
  total.passed += results.passed
  total.failed.push(
    ...results.failed.map(title => `${title} (SEED=${pass.seed})${reasonOf(results.reasons.get(title))}`),
  )
  total.skipped.push(...results.skipped)
  total.seconds.push(...results.files)
}

if (total.skipped.length > 0) {
  console.log('\nSkipped:')
  for (const title of new Set(total.skipped)) console.log(`  ${title}`)
}
if (total.failed.length > 0) {
  console.log('\nFailed:')
  for (const title of total.failed) console.log(`  ${title}`)
}
if (total.seconds.length > SLOWEST_SHOWN) {
  console.log('\nSlowest:')
  const slowest = total.seconds.toSorted(([, left], [, right]) => right - left).slice(0, SLOWEST_SHOWN)
  for (const [file, seconds] of slowest) console.log(`  ${Math.round(seconds)} s  ${file}`)
}
console.log(`\n${Math.round((performance.now() - startedAt) / 1000)} s`)
const isEmpty = total.passed + total.failed.length === 0
if (isEmpty) console.log('no test ran')
console.log(`${total.passed} passed, ${total.failed.length} failed, ${total.skipped.length} skipped`)
process.exitCode = total.failed.length > 0 || isEmpty ? 1 : 0
