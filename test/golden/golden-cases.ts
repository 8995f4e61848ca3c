import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { LATER_COMMANDS } from '../../src/cli/command-list.ts'
import { interopDirectory } from '../support/skip.ts'

/** One run of the original that was recorded (README of the interop fixtures, "Golden outputs"). */
export interface GoldenCase {
  readonly case: string
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly exit: number
  readonly stdoutFile: string | null
  readonly stderrFile: string | null
  /** Two runs did not give the same, and how. */
  readonly stdoutVaries?: unknown
  readonly stderrVaries?: unknown
  /** Of a command that changed something: all objects that remained. */
  readonly objectsAfterFile?: string
}

export interface GoldenSet {
  readonly name: string
  /** The repository that was there, packed; null: an empty one. */
  readonly archive: string | null
  /** Of a set without an archive of its own: which one, and what is taken away from it. */
  readonly derivedFrom?: string
  /** Where it lay. */
  readonly root: string
  readonly cases: readonly GoldenCase[]
}

/** The set that was recorded in an empty repository; it has usage errors of every verb. */
export const EMPTY_SET = 'empty'

const folder = path.join(interopDirectory(), 'golden')

/** Every set, sorted by name. */
export function readGoldenSets(): GoldenSet[] {
  return readdirSync(folder)
    .sort()
    .map(name => ({
      ...(JSON.parse(readFileSync(path.join(folder, name, 'cases.json'), 'utf8')) as GoldenSet),
      name,
    }))
}

export function isLater({ argv }: GoldenCase): boolean {
  return LATER_COMMANDS.includes(argv[0] ?? '')
}

/** Recorded text of a case; nothing for null. */
export function readGolden(set: GoldenSet, file: string | null): string {
  return file === null ? '' : readFileSync(path.join(folder, set.name, file), 'utf8')
}

/** Makes the repository as the original left it, modification times included. */
export function extractRepository(set: GoldenSet, root: string): void {
  mkdirSync(root, { recursive: true })
  if (set.archive === null) return
  let archive = path.join(interopDirectory(), set.archive)
  const words = existsSync(archive) ? [] : (set.derivedFrom ?? '').split(/ without | and /)
  const [base, ...absent] = words
  if (base !== undefined) archive = path.join(interopDirectory(), base)
  const excluded = absent.map(key => `--exclude=${key}`)
  const tar = spawnSync('tar', [...excluded, '-xf', archive, '-C', root], { encoding: 'utf8' })
  if (tar.status !== 0) throw new Error(`unable to extract ${archive}: ${tar.stderr}`)
}

/** Every object of a repository, one per line, as the lists of the original have them. */
export function listObjects(root: string): string {
  const files = readdirSync(root, { recursive: true, withFileTypes: true }).filter(
    entry => !entry.isDirectory(),
  )
  const keys = files.map(file => path.relative(root, path.join(file.parentPath, file.name)))
  return keys
    .sort()
    .map(key => `${key}\n`)
    .join('')
}

/** Log lines without their times. */
export function withoutTimes(text: string): string {
  return text.replace(/^(\w+: )\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d\.\d{6} /gm, '$1')
}
