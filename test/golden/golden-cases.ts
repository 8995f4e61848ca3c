import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { interopDirectory } from '../support/skip.ts'

/** One run of the original that was recorded (README of the interop fixtures, "Golden outputs"). */
export interface GoldenCase {
  readonly case: string
  readonly argv: readonly string[]
  readonly env: Readonly<Record<string, string>>
  readonly exit: number
  readonly stdoutFile: string | null
  readonly stderrFile: string | null
}

export interface GoldenSet {
  readonly name: string
  /** The repository that was there, packed; null: an empty one. */
  readonly archive: string | null
  /** Where it lay. */
  readonly root: string
  readonly cases: readonly GoldenCase[]
}

/** Verbs of later pieces: exit 1 and one line, whatever the arguments. */
export const LATER_VERBS: readonly string[] = [
  'backup-mark',
  'catchup-list',
  'catchup-push',
  'copy',
  'delete',
  'st',
  'wal-show',
  'wal-verify',
]

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
  return LATER_VERBS.includes(argv[0] ?? '')
}

/** Recorded text of a case; nothing for null. */
export function readGolden(set: GoldenSet, file: string | null): string {
  return file === null ? '' : readFileSync(path.join(folder, set.name, file), 'utf8')
}

/** Makes the repository as the original left it, modification times included. */
export function extractRepository(set: GoldenSet, root: string): void {
  mkdirSync(root, { recursive: true })
  if (set.archive === null) return
  const archive = path.join(interopDirectory(), set.archive)
  const tar = spawnSync('tar', ['-xf', archive, '-C', root], { encoding: 'utf8' })
  if (tar.status !== 0) throw new Error(`unable to extract ${archive}: ${tar.stderr}`)
}

/** Log lines without their times. */
export function withoutTimes(text: string): string {
  return text.replace(/^(\w+: )\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d\.\d{6} /gm, '$1')
}
