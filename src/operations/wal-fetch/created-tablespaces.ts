import { readdirSync, readlinkSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { errnoOf, fromSystemError, WalgError } from '../../kit/errors.ts'
import { formatLsn } from '../../postgres/lsn.ts'
import {
  readTablespaceCreations,
  relocateCreation,
  type TablespaceCreation,
} from '../../postgres/wal/tablespace-records.ts'

/**
 * What becomes of a CREATE TABLESPACE in fetched WAL. Recovery follows it to the recorded place, whatever lies there: beside a server
 * that is up, into that server's files.
 *
 * * `as-recorded`: nothing is looked at;
 * * `guarded`: a place that holds files of a server already is refused, unless this one has made them;
 * * `in-place`: the tablespace will lie within the data directory (for a copy that is thrown away).
 */
export type CreatedTablespaces = 'as-recorded' | 'guarded' | 'in-place'

const VERSION_DIRECTORY = /^PG_\d+_\d+$/

/** Treats the fetched segment in `path`, which the server finds as `destination`. Throws TARGET_NOT_EMPTY, WAL_INVALID, FILE_ACCESS. */
export function treatCreatedTablespaces(
  path: string,
  { name, destination, mode }: { name: string; destination: string; mode: CreatedTablespaces },
): void {
  if (mode === 'as-recorded') return
  const found = readTablespaceCreations(path, name)
  for (const creation of found?.creations ?? []) {
    if (creation.location === '') continue
    if (mode === 'in-place') relocateCreation(path, found!.header, creation)
    else refuseUsed(creation, dirname(dirname(destination)))
  }
}

function refuseUsed({ oid, location, startLsn }: TablespaceCreation, dataDirectory: string): void {
  if (linkOf(join(dataDirectory, 'pg_tblspc', String(oid))) === location) return
  const used = entriesOf(location).find(
    entry => VERSION_DIRECTORY.test(entry) && entriesOf(join(location, entry)).length > 0,
  )
  if (used === undefined) return
  throw new WalgError(
    'TARGET_NOT_EMPTY',
    `the WAL at ${formatLsn(startLsn)} creates tablespace ${oid} in "${location}", where files of a server are already ("${used}"): recovery would write into them`,
    {
      facts: { oid, location, lsn: formatLsn(startLsn) },
      hint: 'if they are of a server that is gone, move them away and start again; if it still runs, recover on another host, or to a target before the tablespace was created',
    },
  )
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path)
  } catch (error) {
    if (['ENOENT', 'EINVAL', 'ENOTDIR'].includes(errnoOf(error) ?? '')) return undefined
    throw fromSystemError(error, 'read', path)
  }
}

function entriesOf(directory: string): string[] {
  try {
    return readdirSync(directory)
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errnoOf(error) ?? '')) return []
    throw fromSystemError(error, 'read', directory)
  }
}
