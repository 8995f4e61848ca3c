import { describe, test } from 'bun:test'
import { existsSync, readdirSync } from 'node:fs'
import path from 'node:path'

/** Why a test cannot run here, in words for the summary of the run; undefined when it can. */
export type SkipReason = string | undefined

type TestBody = Parameters<typeof test>[1]

/** `test`, or a skipped test whose title says why: the run names it at the end. */
export function testUnless(reason: SkipReason, title: string, body: TestBody, timeoutMs?: number): void {
  if (reason === undefined) test(title, body, timeoutMs)
  else test.skip(`${title} [skipped: ${reason}]`, body)
}

/** `describe`, or a skipped group whose title says why. */
export function describeUnless(reason: SkipReason, title: string, body: () => void): void {
  if (reason === undefined) describe(title, body)
  else describe.skip(`${title} [skipped: ${reason}]`, body)
}

/** The absolute path of a program in PATH, or undefined. */
export function findTool(name: string): string | undefined {
  const folders = (process.env['PATH'] ?? '/usr/bin:/bin').split(':')
  return folders.map(folder => path.join(folder, name)).find(file => existsSync(file))
}

/** The path of one of Debian's own PostgreSQL tools (`pg_verifybackup`, …) of `major`, or undefined. */
export function findDebianPostgresTool(name: string, major = 15): string | undefined {
  const file = `/usr/lib/postgresql/${major}/bin/${name}`
  return existsSync(file) ? file : undefined
}

/** The reason to skip when any of these programs is not installed. */
export function missingTool(...names: string[]): SkipReason {
  const missing = names.filter(name => findTool(name) === undefined)
  return missing.length === 0 ? undefined : `not installed: ${missing.join(', ')}`
}

/** The reason to skip when Debian's PostgreSQL tools are not installed. */
export function missingDebianPostgres(major = 15): SkipReason {
  return findDebianPostgresTool('pg_verifybackup', major) === undefined
    ? `not installed: postgresql-${major} (Debian)`
    : undefined
}

/** The folder with the repositories of the original: WALG_INTEROP_DIR, default ../shared/interop. */
export function interopDirectory(): string {
  const root = path.resolve(import.meta.dir, '../..')
  return path.resolve(root, process.env['WALG_INTEROP_DIR'] ?? '../shared/interop')
}

/** The reason to skip without the fixtures of the original. With WALG_INTEROP_REQUIRED=1 that is an error. */
export function missingInterop(): SkipReason {
  const directory = interopDirectory()
  if (existsSync(path.join(directory, 'README.md'))) return undefined
  const reason = 'the interop fixtures are absent, set WALG_INTEROP_DIR'
  if (process.env['WALG_INTEROP_REQUIRED'] === '1') throw new Error(`${reason} (looked in ${directory})`)
  return reason
}

/** Names of all fixtures, sorted; as many as the folder has `<name>.json`. */
export function interopFixtures(): string[] {
  const files = readdirSync(interopDirectory())
  return files
    .filter(file => file.endsWith('.json'))
    .map(file => file.slice(0, -'.json'.length))
    .sort()
}

/** An original `wal-g` binary to compare with: WALG_REFERENCE, or undefined. */
export function reference(): string | undefined {
  const file = process.env['WALG_REFERENCE']
  return file !== undefined && existsSync(file) ? file : undefined
}

/** The reason to skip without an original binary. */
export function missingReference(): SkipReason {
  return reference() === undefined ? 'no original wal-g, set WALG_REFERENCE' : undefined
}
