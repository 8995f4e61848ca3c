import { lstatSync, readdirSync, readlinkSync, realpathSync, statSync } from 'node:fs'
import { join, resolve, sep } from 'node:path'
import { errnoOf, fromSystemError } from '../../kit/errors.ts'
import type { Logger } from '../../kit/log.ts'
import { leftOutFor } from './left-out.ts'

/** A tablespace found in `pg_tblspc` as a symbolic link; in-place tablespaces are ordinary directories. */
export interface Tablespace {
  /** Name of the link: the tablespace's oid. */
  readonly oid: string
  /** The link's target, as it reads: `loc` in the sentinel's `Spec`. */
  readonly location: string
  /** True when the files lie inside the data directory: they are members under their physical path, once. */
  readonly isInsideDataDirectory: boolean
}

/** A tablespace as the walk sees it. */
export interface TablespaceTree {
  /** Where to walk; undefined when there is nothing to walk (inside the data directory, or gone). */
  readonly directory: string | undefined
  /** Size of the directory itself, which counts in the catalogue size. */
  readonly rootBytes: number
}

export interface TablespaceMap {
  readonly list: readonly Tablespace[]
  /** By member name, `/pg_tblspc/<oid>`. */
  readonly byMember: ReadonlyMap<string, TablespaceTree>
  /** `dev:ino` of the data directory and of every tablespace. */
  readonly roots: ReadonlySet<string>
}

const OID = /^[1-9]\d{0,9}$/

/** Finds the tablespaces of a data directory. One whose target is gone is recorded, with a WARNING. */
export function findTablespaces(root: string, log: Logger): TablespaceMap {
  const list: Tablespace[] = []
  const byMember = new Map<string, TablespaceTree>()
  const roots = new Set<string>([identityOf(root)])
  const directory = join(root, 'pg_tblspc')
  for (const oid of listOids(directory)) {
    const location = readLinkOrUndefined(join(directory, oid))
    if (location === undefined) continue
    const real = realOrUndefined(resolve(directory, location))
    if (real === undefined) {
      log.warning(
        `tablespace ${oid} leads to "${location}", which is not there: it is recorded without files`,
      )
    }
    const isInside = real !== undefined && isWalkedBelow(root, real)
    if (real !== undefined) roots.add(identityOf(real))
    list.push({ oid, location, isInsideDataDirectory: isInside })
    const tree =
      real === undefined || isInside
        ? { directory: undefined, rootBytes: 0 }
        : { directory: real, rootBytes: statSync(real).size }
    byMember.set(`/pg_tblspc/${oid}`, tree)
  }
  return { list, byMember, roots }
}

/** True when the walk of `root` comes to `real` anyway. */
function isWalkedBelow(root: string, real: string): boolean {
  if (!real.startsWith(root + sep)) return false
  return !real
    .slice(root.length + 1)
    .split(sep)
    .some(name => leftOutFor(name) !== undefined)
}

/** Undefined for an in-place tablespace, which is a directory, and for one that was just dropped. */
function readLinkOrUndefined(path: string): string | undefined {
  try {
    return lstatSync(path).isSymbolicLink() ? readlinkSync(path) : undefined
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw fromSystemError(error, 'read the link', path)
  }
}

function listOids(directory: string): string[] {
  try {
    return readdirSync(directory)
      .filter(name => OID.test(name))
      .sort()
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return []
    throw fromSystemError(error, 'list', directory)
  }
}

function realOrUndefined(path: string): string | undefined {
  try {
    const real = realpathSync(path)
    return statSync(real).isDirectory() ? real : undefined
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw fromSystemError(error, 'resolve the tablespace', path)
  }
}

function identityOf(path: string): string {
  const stats = statSync(path, { bigint: true })
  return `${stats.dev}:${stats.ino}`
}
