import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { isReachableByClusterUser } from './cluster-user.ts'
import type { SkipReason } from './skip.ts'

export type Major = 13 | 14 | 15 | 16 | 17 | 18
export const MAJORS: readonly Major[] = [13, 14, 15, 16, 17, 18]

export const projectRoot: string = path.resolve(import.meta.dir, '../..')

/** A folder of our own for things worth keeping between runs; readable by everybody when `isPublic`. */
export function cacheDirectory(isPublic = false): string {
  const uid = process.getuid?.() ?? 0
  const modules = path.join(projectRoot, 'node_modules')
  const isOurs = existsSync(modules) && statSync(modules).uid === uid
  const useModules = isOurs && (!isPublic || isReachableByClusterUser(path.join(modules, 'x')))
  const directory = useModules
    ? path.join(modules, '.cache/wal-g')
    : path.join(tmpdir(), `wal-g-cache-${uid}`)
  mkdirSync(directory, { recursive: true, mode: 0o755 })
  if (statSync(directory).uid !== uid) throw new Error(`"${directory}" belongs to somebody else, remove it`)
  return directory
}

/** Puts `source` where the cluster's user can reach it, copying it when a closed folder is above it. */
export function reachable(source: string, name: string): string {
  if (isReachableByClusterUser(source)) return source
  const copy = path.join(cacheDirectory(true), name)
  if (!existsSync(copy) || statSync(copy).mtimeMs < statSync(source).mtimeMs) {
    const draft = `${copy}.${process.pid}`
    cpSync(source, draft, { recursive: true, verbatimSymlinks: true, preserveTimestamps: true })
    chmodSync(draft, 0o755)
    rmSync(copy, { recursive: true, force: true })
    renameSync(draft, copy)
  }
  return copy
}

/** What the package's install script would do; npm may have been told not to run it. */
function hydrateSymlinks(native: string): void {
  const links = JSON.parse(readFileSync(path.join(native, 'pg-symlinks.json'), 'utf8')) as {
    source: string
    target: string
  }[]
  for (const { source, target } of links) {
    const link = path.join(native, '..', target)
    if (existsSync(link)) continue
    try {
      symlinkSync(path.relative(path.dirname(link), path.join(native, '..', source)), link)
    } catch (error) {
      if (!existsSync(link)) throw error // another test process was quicker
    }
  }
}

/** The version of the npm package `pg<major>`. */
export function postgresVersion(major: Major): string {
  const file = path.join(projectRoot, 'node_modules', `pg${major}`, 'package.json')
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version
}

const known = new Map<Major, string>()

/** The folder with `bin/initdb`, `bin/postgres` and `bin/pg_ctl` of `major`, from the npm package `pg<major>`. */
export function postgresDirectory(major: Major): string {
  const found = known.get(major)
  if (found !== undefined) return found
  const native = realpathSync(path.join(projectRoot, 'node_modules', `pg${major}`, 'native'))
  hydrateSymlinks(native)
  const directory = reachable(native, `pg-${postgresVersion(major)}`)
  known.set(major, directory)
  return directory
}

/** The reason to skip where npm has no PostgreSQL of this major (another platform than linux-x64). */
export function missingPostgres(...majors: Major[]): SkipReason {
  const missing = majors.filter(
    major => !existsSync(path.join(projectRoot, 'node_modules', `pg${major}`, 'native/bin/postgres')),
  )
  return missing.length === 0 ? undefined : `not installed: PostgreSQL ${missing.join(', ')} (npm, optional)`
}
