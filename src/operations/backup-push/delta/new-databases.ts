import type { DatabaseRows } from '../../../postgres/cluster/cluster-facts.ts'
import type { RelationFile } from '../../../postgres/relation-file.ts'
import type { DataEntries } from '../../../postgres/walk/data-entries.ts'
import type { ParentFiles } from './parent/parent-files.ts'

export interface NewDatabasesInput {
  readonly entries: DataEntries
  /** Which entries are files of the backup. */
  readonly isFile: (index: number) => boolean
  readonly parent: Pick<ParentFiles, 'files' | 'settledNs'>
  /** See `movedDatabases`; absent: times have to tell. */
  readonly movedIn?: ReadonlySet<string> | undefined
  /** See `sameDatabases`; absent: nobody tells. */
  readonly same?: ReadonlySet<number> | undefined
}

/** What is known of the databases that the files of a delta belong to. Their pages may be older than the parent, and still others. */
export interface NewDatabases {
  /** The parent may have other files of the relation's database at that place. */
  isNew(relation: RelationFile): boolean
  /**
   * Nothing tells that the parent has the same database: the data directory was restored or copied since, so that times tell
   * nothing, and its row in `pg_database` is another one or is not known. A map of changed blocks may know better.
   */
  isDoubtful(relation: RelationFile): boolean
}

/**
 * Below it lie the oids that initdb gives: databases and relations of the first hour. No counter comes upon them, and CREATE DATABASE
 * takes none of them.
 */
export const FIRST_NORMAL_OID = 16_384

const VERSION_NAME = new TextEncoder().encode('PG_VERSION')
const DATABASE_VERSION = /^\/(?:base\/(\d+)|pg_tblspc\/\d+\/PG_[^/]+\/(\d+))\/PG_VERSION$/

/**
 * Databases that lie in another tablespace than before the parent began, or were made since, as `tablespace/database`: CREATE DATABASE and
 * ALTER DATABASE copy files under their old LSNs, and the parent may have seen half of that.
 */
export function movedDatabases(before: DatabaseRows, now: DatabaseRows): ReadonlySet<string> {
  const moved = [...now].filter(([oid, { tablespace }]) => before.get(oid)?.tablespace !== tablespace)
  return new Set(moved.map(([oid, { tablespace }]) => `${tablespace}/${oid}`))
}

/**
 * Oids of databases whose row in `pg_database` is the one that the parent saw: the same database at the same place. Undefined when
 * the parent does not tell, or no server.
 */
export function sameDatabases(
  before: DatabaseRows | undefined,
  now: DatabaseRows | undefined,
): ReadonlySet<number> | undefined {
  if (now === undefined || before === undefined) return undefined
  if ([...before.values()].every(({ xmin }) => xmin === undefined)) return undefined
  const isSame = (oid: number, xmin: number | undefined): boolean =>
    xmin !== undefined && before.get(oid)?.xmin === xmin
  return new Set([...now].filter(([oid, { xmin }]) => isSame(oid, xmin)).map(([oid]) => oid))
}

/** Goes by the times of version files as long as that of the cluster is as in the parent, then by what the server says. */
export function findNewDatabases({
  entries,
  isFile,
  parent,
  movedIn,
  same,
}: NewDatabasesInput): NewDatabases {
  const madeAnew = new Set<string>()
  const young = new Set<string>()
  const root = { isSame: false, isOld: false }
  for (let index = 0; index < entries.count; index++) {
    if (!isFile(index) || !entries.endsIn(index, VERSION_NAME)) continue
    const name = entries.memberName(index)
    const row = parent.files.find(name)
    const isSame = row >= 0 && parent.files.mtimeNs(row) === entries.mtimeNs(index)
    const isOld = parent.settledNs !== undefined && entries.ctimeNs(index) < parent.settledNs
    if (name === '/PG_VERSION') Object.assign(root, { isSame, isOld })
    const database = databaseOf(name)
    if (database === undefined) continue
    // a folder that the parent does not have tells nothing more when the server was asked
    if (!isSame && (row >= 0 || movedIn === undefined)) madeAnew.add(database)
    if (!isOld) young.add(database)
  }
  // a copy of the whole cluster has new times everywhere, and the old pages
  if (!root.isSame) madeAnew.clear()
  const suspected = movedIn === undefined && root.isOld ? madeAnew.union(young) : madeAnew
  return {
    isNew: relation =>
      suspected.has(String(relation.databaseOid)) || movedIn?.has(placeOf(relation)) === true,
    isDoubtful: ({ databaseOid }) => !root.isSame && !isKnown(databaseOid, same),
  }
}

function isKnown(databaseOid: number, same: ReadonlySet<number> | undefined): boolean {
  return same === undefined ? databaseOid < FIRST_NORMAL_OID : same.has(databaseOid)
}

/** Oid of the database whose folder a version file lies in. */
function databaseOf(versionFile: string): string | undefined {
  const parts = DATABASE_VERSION.exec(versionFile)
  return parts?.[1] ?? parts?.[2]
}

function placeOf({ tablespaceOid, databaseOid }: RelationFile): string {
  return `${tablespaceOid}/${databaseOid}`
}
