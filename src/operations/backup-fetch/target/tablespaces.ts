import fs from 'node:fs'
import path from 'node:path'
import { errnoOf, fromSystemError, WalgError } from '../../../kit/errors.ts'
import type { Logger } from '../../../kit/log.ts'
import type { Tablespace, TablespaceSpec } from '../../../repository/tablespace-spec.ts'
import type { MemberTable } from '../plan/member-table.ts'
import { resolveDestination } from './destination.ts'

/** A tablespace as it will be restored. */
export interface PlannedTablespace {
  /** Canonical member name of the link: `pg_tblspc/16400`. */
  readonly link: string
  /** Absolute path that the link points to and the data goes into. */
  readonly location: string
  /** The data lie inside the restored directory, at their own path. */
  readonly isInside: boolean
  /** Canonical name of the directory inside PGDATA that it had, when it shall be elsewhere now. */
  readonly leaves: string | undefined
}

export interface TablespacePlan {
  readonly tablespaces: readonly PlannedTablespace[]
  /** PostgreSQL would make the links of `tablespace_map` anew: false when these are not the ones planned here. */
  readonly keepsTablespaceMap: boolean
}

/**
 * Where the tablespaces of a backup go. With `--restore-spec` to the places it names, with `--tablespace-mapping`
 * (`moved`: new places by OID) to those; otherwise to where they were. `isCatchup`: `moved` is where a standby has them.
 * The links are always made in the restored directory, whose path `destination` is, without symbolic links; places are compared
 * as those lead. Throws USAGE for a spec that cannot be followed.
 */
export function planTablespaces(
  destination: string,
  ofBackup: TablespaceSpec | null,
  ofUser: TablespaceSpec | null,
  moved: ReadonlyMap<string, string> = new Map(),
  isCatchup = false,
): TablespacePlan {
  const spec = ofUser ?? ofBackup
  if (spec === null) return { tablespaces: [], keepsTablespaceMap: ofUser === null }
  const innerNames = namesInside(ofBackup)
  const plan = ({ oid, location, link }: Tablespace, place: string | undefined): PlannedTablespace => {
    const inner = innerNames.get(oid)
    const own = inner === undefined ? undefined : path.join(destination, inner)
    const target = path.normalize(place ?? own ?? location)
    checkForm(oid, link, place ?? target)
    const isInside = own !== undefined && [path.resolve(target), resolveDestination(target)].includes(own)
    if (!isInside) checkOutside(oid, place ?? target, destination)
    return { link: `pg_tblspc/${oid}`, location: target, isInside, leaves: isInside ? undefined : inner }
  }
  const tablespaces = spec.tablespaces.map(one =>
    plan(one, moved.get(one.oid) ?? (ofUser === null ? undefined : one.location)),
  )
  for (const one of ofUser === null ? [] : (ofBackup?.tablespaces ?? [])) {
    if (ofUser?.tablespaces.some(({ oid }) => oid === one.oid) === true) continue
    if (!innerNames.has(one.oid)) throw unnamed(one)
    tablespaces.push(plan(one, undefined))
  }
  checkApart(tablespaces, ofBackup, isCatchup)
  const isMoved = tablespaces.some(({ isInside }) => isInside) && destination !== spec.basePrefix
  return { tablespaces, keepsTablespaceMap: ofUser === null && !isMoved && moved.size === 0 }
}

/** Throws USAGE for two that would share a place, or lie within each other where those of the backup did not. */
function checkApart(
  tablespaces: readonly PlannedTablespace[],
  ofBackup: TablespaceSpec | null,
  isCatchup: boolean,
): void {
  const before = new Map(ofBackup?.tablespaces.map(({ oid, location }) => [`pg_tblspc/${oid}`, location]))
  const wasWithin = (inner: PlannedTablespace, outer: PlannedTablespace): boolean => {
    const [innerBefore, outerBefore] = [before.get(inner.link), before.get(outer.link)]
    // a standby has its tablespaces where somebody has put them, and there they stay
    if (isCatchup) return true
    return innerBefore !== undefined && outerBefore !== undefined && isWithin(innerBefore, outerBefore)
  }
  const hint = 'give each tablespace a directory of its own with --tablespace-mapping or in --restore-spec'
  const real = new Map(tablespaces.map(({ link, location }) => [link, resolveDestination(location)]))
  const isReallyWithin = (inner: PlannedTablespace, outer: PlannedTablespace): boolean =>
    isWithin(real.get(inner.link)!, real.get(outer.link)!)
  for (const [index, one] of tablespaces.entries()) {
    for (const other of tablespaces.slice(0, index)) {
      if (isReallyWithin(one, other) && isReallyWithin(other, one)) {
        const [place, otherPlace] = [shown(one.location), shown(other.location)]
        const places = place === otherPlace ? place : `${place} and ${otherPlace}, the same directory`
        throw new WalgError('USAGE', `"${one.link}" and "${other.link}" would share ${places}`, { hint })
      }
      const [inner, outer] = isReallyWithin(one, other) ? [one, other] : [other, one]
      // PostgreSQL allows it, and what was so before can be so again
      if (!isReallyWithin(inner, outer) || wasWithin(inner, outer)) continue
      throw new WalgError(
        'USAGE',
        `"${inner.link}" would lie in ${shown(inner.location)}, within ${shown(outer.location)} of "${outer.link}"`,
        { hint },
      )
    }
  }
}

/** A place as it was given, and where it is, if a symbolic link leads there. */
function shown(location: string): string {
  const real = resolveDestination(location)
  return real === path.resolve(location) ? `"${location}"` : `"${location}" (it is "${real}")`
}

/** A tablespace that only the restore spec has may be a slip of the pen: a WARNING. */
export function warnOfStrangers(
  log: Logger,
  ofBackup: TablespaceSpec | null,
  ofUser: TablespaceSpec | null,
): void {
  const known = ofBackup?.tablespaces ?? []
  const strangers = ofUser?.tablespaces.filter(({ oid }) => !known.some(each => each.oid === oid)) ?? []
  if (strangers.length === 0) return
  const names = strangers.map(({ oid }) => oid).join(', ')
  log.warning(`the restore spec names tablespaces that the backup does not have: ${names}`)
}

/** Where inside the data directory tablespaces were, by oid. */
function namesInside(spec: TablespaceSpec | null): ReadonlyMap<string, string> {
  const inside = spec?.tablespaces.filter(({ location }) => isWithin(location, spec.basePrefix)) ?? []
  return new Map(inside.map(({ oid, location }) => [oid, path.relative(spec!.basePrefix, location)]))
}

/** Its files would come to lie in pg_tblspc itself, where PostgreSQL does not start with them. */
function unnamed({ oid, location }: Tablespace): WalgError {
  return new WalgError('USAGE', `the restore spec does not say where tablespace ${oid} goes`, {
    facts: { tablespace: oid, location },
    hint: `it was at "${location}": name every tablespace of the backup`,
  })
}

/**
 * Throws USAGE for a tablespace that lay inside the data directory and shall go elsewhere, when the backup has its files only
 * where they lay. (The original packs them once more as those of the tablespace.)
 */
export function checkMovable({ tablespaces }: TablespacePlan, table: MemberTable): void {
  for (const { link, location, leaves } of tablespaces) {
    if (leaves === undefined || hasMembersBelow(table, link)) continue
    throw new WalgError('USAGE', `${link} cannot be restored to "${location}": it lies inside the backup`, {
      facts: { link, location },
      hint: `its files come with the data directory, in "${leaves}": leave it out of --tablespace-mapping or --restore-spec`,
    })
  }
}

function hasMembersBelow(table: MemberTable, directory: string): boolean {
  for (let row = 0; row < table.count; row++) if (table.name(row).startsWith(`${directory}/`)) return true
  return false
}

function checkForm(oid: string, link: string, location: string): void {
  const isOid = /^\d{1,10}$/.test(oid)
  if (!isOid || (link !== `pg_tblspc/${oid}` && link !== `/pg_tblspc/${oid}`)) {
    throw new WalgError('USAGE', `tablespace "${oid}" with the link "${link}" cannot be restored`, {
      hint: 'a link is "pg_tblspc/<oid>"',
    })
  }
  if (!path.isAbsolute(location) || location.includes('\0') || location.split('/').includes('..')) {
    throw new WalgError('USAGE', `the location "${location}" of tablespace ${oid} is not an absolute path`, {
      hint: 'it begins with a slash, and has no ".." in it',
    })
  }
}

function checkOutside(oid: string, location: string, destination: string): void {
  const real = resolveDestination(location)
  if (isWithin(real, destination) || isWithin(destination, real)) {
    throw new WalgError(
      'USAGE',
      `the location ${shown(location)} of tablespace ${oid} overlaps with "${destination}"`,
      {
        hint: 'give the tablespace a directory of its own with --tablespace-mapping or in --restore-spec',
      },
    )
  }
}

/** True when `inner` is `outer` or lies below it. */
function isWithin(inner: string, outer: string): boolean {
  const relative = path.relative(outer, inner)
  return relative === '' || (!relative.startsWith('../') && relative !== '..' && !path.isAbsolute(relative))
}

/**
 * Throws TARGET_NOT_EMPTY unless every location outside is absent or an empty directory, or belongs to the very directory
 * that is restored over (`existing`: its links); `isCatchup` is for the advice.
 */
export function checkTablespaceLocations(
  plan: TablespacePlan,
  existing: ReadonlyMap<string, string> = new Map(),
  isCatchup = false,
): void {
  for (const { location, isInside, link } of plan.tablespaces) {
    if (isInside || existing.has(link)) continue
    let names: string[]
    try {
      names = fs.readdirSync(location)
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') continue
      if (errnoOf(error) !== 'ENOTDIR') throw fromSystemError(error, 'read', location)
      throw new WalgError('TARGET_MISMATCH', `the place "${location}" of ${link} is not a directory`, {
        facts: { path: location },
        hint: 'name an empty or missing directory with --tablespace-mapping or in --restore-spec',
      })
    }
    if (names.length > 0) {
      throw new WalgError(
        'TARGET_NOT_EMPTY',
        `the tablespace directory "${location}" (${link}) is not empty`,
        {
          facts: { path: location },
          hint: `another server may be using it. ${isCatchup ? linkAdvice(link) : mappingAdvice(location)}, or empty the directory`,
        },
      )
    }
  }
}

function mappingAdvice(location: string): string {
  const old = location.replace(/[=,]/g, '\\$&')
  return `Restore the tablespace elsewhere with --tablespace-mapping "${old}=/new/place" or --restore-spec`
}

function linkAdvice(link: string): string {
  return `Make an empty directory for the standby and in its data directory the link "${link}" to it: tablespaces go where it has them`
}

/** Makes the locations (0700) and the links to them; a link that is there and right is left. */
export function makeTablespaces(destination: string, plan: TablespacePlan): void {
  if (plan.tablespaces.length === 0) return
  make(path.join(destination, 'pg_tblspc'))
  for (const { link, location } of plan.tablespaces) {
    make(location)
    const linkPath = path.join(destination, link)
    try {
      fs.symlinkSync(location, linkPath)
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw fromSystemError(error, 'create', linkPath)
      if (readLink(linkPath) !== location) {
        throw new WalgError('TARGET_MISMATCH', `"${linkPath}" exists and does not point to "${location}"`, {
          facts: { path: linkPath },
          hint: 'restore into an empty directory',
        })
      }
    }
  }
}

function make(directory: string): void {
  try {
    fs.mkdirSync(directory, { recursive: true, mode: 0o700 })
    fs.chmodSync(directory, 0o700)
  } catch (error) {
    throw fromSystemError(error, 'create', directory)
  }
}

function readLink(linkPath: string): string | undefined {
  try {
    return fs.readlinkSync(linkPath)
  } catch {
    return undefined
  }
}
