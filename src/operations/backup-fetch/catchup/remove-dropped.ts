import fs from 'node:fs'
import path from 'node:path'
import { errnoOf, fromSystemError } from '../../../kit/errors.ts'
import { parseRelationFile } from '../../../postgres/relation-file.ts'
import type { MemberTable } from '../plan/member-table.ts'

/** Of a database, beside its relations. */
const DATABASE_FILES: readonly string[] = ['PG_VERSION', 'pg_filenode.map', 'pg_internal.init']

/**
 * Removes from a standby what the primary has dropped since: files of relations below `base/` and in tablespaces that the
 * backup's list does not have, and directories of databases when nothing is left in them. A piece of a table that was cut
 * meanwhile would otherwise come back when the table grows again. Nothing else is touched. Returns how many files went.
 */
export function removeDropped(root: string, table: MemberTable): number {
  let count = 0
  for (const directory of databaseDirectories(root)) count += sweep(root, directory, table)
  return count
}

/** Names relative to the root: `base/5`, `pg_tblspc/16400/PG_15_202209061/5`. */
function databaseDirectories(root: string): string[] {
  const versions = names(root, 'pg_tblspc').flatMap(oid =>
    names(root, `pg_tblspc/${oid}`)
      .filter(name => name.startsWith('PG_'))
      .map(name => `pg_tblspc/${oid}/${name}`),
  )
  return ['base', ...versions].flatMap(parent =>
    names(root, parent)
      .filter(name => /^\d+$/.test(name))
      .map(name => `${parent}/${name}`),
  )
}

function sweep(root: string, directory: string, table: MemberTable): number {
  const all = names(root, directory)
  const isForeign = (name: string): boolean => {
    const member = `${directory}/${name}`
    if (table.find(member) >= 0) return false
    return DATABASE_FILES.includes(name) || parseRelationFile(member) !== undefined
  }
  const foreign = all.filter(isForeign)
  for (const name of foreign) attempt('remove', path.join(root, directory, name), fs.unlinkSync)
  const isGone = foreign.length === all.length && table.find(directory) < 0
  if (isGone) attempt('remove', path.join(root, directory), fs.rmdirSync)
  return foreign.length
}

function names(root: string, directory: string): string[] {
  const place = path.join(root, directory)
  try {
    return fs.readdirSync(place)
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || errnoOf(error) === 'ENOTDIR') return []
    throw fromSystemError(error, 'read', place)
  }
}

function attempt(doing: string, place: string, act: (place: string) => void): void {
  try {
    act(place)
  } catch (error) {
    throw fromSystemError(error, doing, place)
  }
}
