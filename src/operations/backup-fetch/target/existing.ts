import fs from 'node:fs'
import path from 'node:path'
import { fromSystemError, hasCode, WalgError } from '../../../kit/errors.ts'
import { readControlFile } from '../../../postgres/control-file.ts'
import type { Sentinel } from '../../../repository/sentinel.ts'
import type { MemberTable } from '../plan/member-table.ts'
import { STATE_FOLDER } from '../resume/fetch-state.ts'
import type { Destination } from './destination.ts'
import type { TablespacePlan } from './tablespaces.ts'

const WAL = 'pg_wal'

/**
 * Makes sure that what lies there may be restored over: a data directory of the very cluster that was backed up, or what
 * an interrupted restore left of it. (That no server runs there is asked by the verb.) Throws TARGET_MISMATCH.
 */
export async function checkExisting(destination: Destination, sentinel: Sentinel): Promise<void> {
  const { root, isInterrupted } = destination
  if (isInterrupted) return
  if (!fs.existsSync(path.join(root, 'PG_VERSION'))) {
    throw new WalgError('TARGET_MISMATCH', `"${root}" is not empty, and it is not a data directory`, {
      facts: { path: root },
      hint: 'name an empty or missing directory',
    })
  }
  const found = await identifierOf(root)
  if (found === sentinel.systemIdentifier) return
  throw new WalgError(
    'TARGET_MISMATCH',
    `"${root}" is the data directory of another cluster (${found ?? 'its pg_control is missing'}) than the backup (${sentinel.systemIdentifier})`,
    { facts: { path: root }, hint: 'restore into an empty directory, or move this one away' },
  )
}

async function identifierOf(root: string): Promise<bigint | undefined> {
  try {
    return (await readControlFile(root)).systemIdentifier
  } catch (error) {
    if (!hasCode(error, 'FILE_NOT_FOUND')) throw error
    return undefined
  }
}

/** Links that are there, by canonical name: those of tablespaces that the plan has at the same place, and that of pg_wal. */
export function existingLinks(root: string, plan: TablespacePlan): ReadonlyMap<string, string> {
  const links = new Map<string, string>()
  for (const { link, location } of plan.tablespaces) {
    if (linkAt(path.join(root, link)) === location) links.set(link, location)
  }
  const wal = linkAt(path.join(root, WAL))
  if (wal !== undefined) links.set(WAL, wal)
  return links
}

function linkAt(place: string): string | undefined {
  try {
    return fs.readlinkSync(place)
  } catch {
    return undefined // no link, or nothing at all
  }
}

/**
 * Removes what the backup does not have, also what is of another kind there. pg_wal stays as it is: it may hold WAL that
 * was never archived, which recovery then uses. Without a list of files everything else goes.
 */
export function removeForeign(
  root: string,
  table: MemberTable | null,
  kept: ReadonlyMap<string, string>,
): void {
  sweep(root, '', table, kept)
}

/** Returns true when nothing is left in the directory. */
function sweep(
  directory: string,
  name: string,
  table: MemberTable | null,
  kept: ReadonlyMap<string, string>,
): boolean {
  let isEmpty = true
  for (const entry of fs.readdirSync(directory, { withFileTypes: true })) {
    const inner = name === '' ? entry.name : `${name}/${entry.name}`
    const place = path.join(directory, entry.name)
    if (inner === WAL || inner === STATE_FOLDER) {
      isEmpty = false
    } else if (kept.has(inner)) {
      sweep(place, inner, table, kept)
      isEmpty = false
    } else if (entry.isDirectory() && sweep(place, inner, table, kept)) {
      attempt('remove', place, () => fs.rmdirSync(place))
    } else if (entry.isDirectory() || (entry.isFile() && table !== null && table.find(inner) >= 0)) {
      isEmpty = false
    } else {
      attempt('remove', place, () => fs.unlinkSync(place))
    }
  }
  return isEmpty
}

function attempt(doing: string, place: string, act: () => void): void {
  try {
    act()
  } catch (error) {
    throw fromSystemError(error, doing, place)
  }
}
