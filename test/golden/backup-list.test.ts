import { afterAll, beforeAll, expect, test } from 'bun:test'
import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { describeUnless, interopDirectory, missingInterop } from '../support/skip.ts'
import { type TempDirectory, tempDirectory } from '../support/temp-directory.ts'
import { runWalg } from '../support/walg.ts'

interface GoldenCase {
  readonly case: string
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly exit: number
  readonly stdoutFile: string | null
  readonly stderrFile: string | null
}

interface GoldenSet {
  readonly name: string
  readonly archive: string | null
  readonly root: string
  readonly cases: readonly GoldenCase[]
}

const reason = missingInterop()
const sets = reason === undefined ? readSets() : []
const total = sets.reduce((sum, set) => sum + set.cases.length, 0)
let passed = 0

/** Every set with its cases of backup-list. */
function readSets(): GoldenSet[] {
  const folder = path.join(interopDirectory(), 'golden')
  const all = readdirSync(folder).map(name => {
    const set = JSON.parse(readFileSync(path.join(folder, name, 'cases.json'), 'utf8')) as GoldenSet
    return { ...set, name, cases: set.cases.filter(({ argv }) => argv[0] === 'backup-list') }
  })
  return all.filter(set => set.cases.length > 0)
}

function readGolden(set: GoldenSet, file: string | null): string {
  return file === null ? '' : readFileSync(path.join(interopDirectory(), 'golden', set.name, file), 'utf8')
}

/** A repository as the original left it, modification times included. */
function extract(set: GoldenSet, root: string): void {
  mkdirSync(root)
  if (set.archive === null) return
  const archive = path.join(interopDirectory(), set.archive)
  if (!existsSync(archive)) throw new Error(`there is no "${archive}"`)
  const tar = spawnSync('tar', ['-xf', archive, '-C', root], { encoding: 'utf8' })
  if (tar.status !== 0) throw new Error(tar.stderr)
}

/** Our one difference (docs/COMPATIBILITY.md): `--detail` has a last column, or key, with the type of the backup. */
function withBackupType(text: string, argv: readonly string[]): string {
  if (!argv.includes('--detail') || text === '' || text === '[]\n') return text
  if (!argv.includes('--json')) return argv.includes('--pretty') ? boxWithType(text) : plainWithType(text)
  const isPretty = argv.includes('--pretty')
  const types = [...text.matchAll(/"backup_name": ?"([^"]*)"/g)].map(([, name]) => typeOf(name!))
  const end = isPretty ? /\n {4}\}/g : /\}(?=,\{"backup_name"|\]\n$)/g
  return text.replace(end, close => {
    const type = types.shift()
    return isPretty ? `,\n        "backup_type": "${type}"${close}` : `,"backup_type":"${type}"${close}`
  })
}

function plainWithType(text: string): string {
  const [head, ...rows] = text.trimEnd().split('\n') as [string, ...string[]]
  const lines = rows.map(row => `${row.padEnd(head.length + 1)}${typeOf(row.split(' ', 1)[0]!)}`)
  return `${[`${head} backup_type`, ...lines].join('\n')}\n`
}

function boxWithType(text: string): string {
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line, number) => {
      if (line.startsWith('+')) return `${line}-------------+`
      const cell = number === 1 ? 'BACKUP TYPE' : typeOf(line.split('|')[2]!.trim())
      return `${line} ${cell.padEnd(11)} |`
    })
  return `${lines.join('\n')}\n`
}

function typeOf(name: string): string {
  return name.includes('_D_') ? 'delta' : 'full'
}

/** A log without its times and without our lines of advice. */
function plainLog(stderr: string): string {
  const withoutTimes = stderr.replace(/^([A-Z]+: )\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d\.\d{6} /gm, '$1')
  return withoutTimes.replace(/^ {2}hint: .*\n/gm, '')
}

/** Ours differ on purpose (docs/COMPATIBILITY.md): the original names another value than the one that was given. */
const DIFFERENT_STDERR = new Map([
  ['bad-log-level', 'ERROR: WALG_LOG_LEVEL is "LOUD" (environment), expected one of NORMAL, DEVEL, ERROR\n'],
])

describeUnless(reason, 'backup-list answers as the original did', () => {
  for (const set of sets) {
    let directory: TempDirectory
    let root: string
    beforeAll(() => {
      directory = tempDirectory('golden')
      root = directory.at(set.name)
      extract(set, root)
    })
    afterAll(() => directory.remove())

    for (const golden of set.cases) {
      test(`${set.name}: ${golden.case}`, async () => {
        const missing = path.join(directory.path, 'no-such-dir')
        const env = Object.fromEntries(
          Object.entries(golden.env).map(([name, value]) => [
            name,
            value.replace(set.root, root).replace('/srv/interop/no-such-dir', missing),
          ]),
        )
        const result = await runWalg(golden.argv, { env })
        expect(result.stdout).toBe(withBackupType(readGolden(set, golden.stdoutFile), golden.argv))
        const stderr = readGolden(set, golden.stderrFile).replaceAll('/srv/interop/no-such-dir', missing)
        expect(plainLog(result.stderr)).toBe(DIFFERENT_STDERR.get(golden.case) ?? plainLog(stderr))
        expect(result.exit).toBe(golden.exit)
        passed += 1
      })
    }
  }

  afterAll(() => console.log(`goldens of backup-list ${passed}/${total}`))
})
