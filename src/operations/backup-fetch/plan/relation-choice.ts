import { WalgError } from '../../../kit/errors.ts'
import { parseRelationFile } from '../../../postgres/relation-file.ts'
import { type ItemPattern, listedName, parseItem } from './relation-items.ts'
import { allRelations, type StoredDatabase } from './relation-names.ts'

/** Databases and relations below are of the system: they are always restored. */
const FIRST_NORMAL_OID = 16_384

/** Which relation files are restored when only some tables are wanted. */
export interface RelationChoice {
  /** False for the file of a relation that was not chosen; true for everything that is no relation's file. */
  isWanted(memberName: string): boolean
  /** `database/schema.name` of the tables that are left out, sorted; each can be given as an item. */
  readonly leftOut: readonly string[]
  /** Databases that are restored whole although nobody named them: the backup does not know their tables. */
  readonly unknownDatabases: ReadonlySet<number>
  /** Tables whose indexes cannot be told: the backup does not say which index belongs to which table. */
  readonly hasUnknownIndexes: boolean
  /** Databases of which all files are restored that belong to no relation the backup names, sorted. */
  readonly withUnnamed: readonly string[]
}

interface DatabaseChoice {
  /** Null: every file. */
  readonly relfilenodes: ReadonlySet<number> | null
  /** Of all relations that the backup names, when files of others are wanted, too. */
  readonly named: ReadonlySet<number> | null
}

/**
 * Resolves `--restore-only` items: `db`, `db/table` (schema public), `db/schema.table`, `db/schema/table`; `*` stands for
 * any characters; a name that the backup lists is taken as it is. A table brings its partitions, the tables that inherit from it, its TOAST tables and, where the backup says
 * which they are, its indexes and sequences. The original does not name partitions of partitions: they are among the files of no
 * named relation, which come along with a partitioned table. Throws BACKUP_NOT_FOUND for an item that matches nothing.
 */
export function chooseRelations(
  databases: ReadonlyMap<string, StoredDatabase>,
  items: readonly string[],
): RelationChoice {
  const patterns = items.map(item => parseItem(item, databases))
  const choices = new Map<number, DatabaseChoice>()
  const leftOut = new Set<string>()
  const withUnnamed: string[] = []
  let hasUnknownIndexes = false
  for (const [name, database] of databases) {
    const matching = patterns.filter(pattern => pattern.database.test(name))
    for (const pattern of matching) pattern.hasDatabase = true
    const whole = matching.filter(pattern => pattern.relation === null)
    for (const pattern of whole) pattern.hasMatch = true
    const chosen = matchRelations(database, matching)
    if (whole.length > 0 || database.oid < FIRST_NORMAL_OID) {
      choices.set(database.oid, { relfilenodes: null, named: null })
      continue
    }
    const isOfOriginal = chosen.size > 0 && !hasOwners(database)
    hasUnknownIndexes ||= isOfOriginal
    const takesUnnamed = isOfOriginal && hasPartitioned(database, chosen)
    const wanted = withBelongings(database, chosen, takesUnnamed)
    if (takesUnnamed) withUnnamed.push(name)
    const named = takesUnnamed ? filesOf(database, () => true) : null
    choices.set(database.oid, { relfilenodes: filesOf(database, oid => wanted.has(oid)), named })
    for (const [relation, { oid, ownerOid }] of allRelations(database)) {
      const isOwnTable = oid >= FIRST_NORMAL_OID && ownerOid === null && !relation.startsWith('pg_toast.')
      if (isOwnTable && !wanted.has(oid)) leftOut.add(listedName(`${name}/${relation}`))
    }
  }
  checkMatches(patterns, databases)
  const unknownDatabases = new Set<number>()
  return {
    leftOut: [...leftOut].sort(),
    unknownDatabases,
    hasUnknownIndexes,
    withUnnamed: withUnnamed.sort(),
    isWanted(memberName) {
      const file = parseRelationFile(memberName)
      if (file === undefined || file.databaseOid < FIRST_NORMAL_OID) return true
      const choice = choices.get(file.databaseOid)
      if (choice === undefined) unknownDatabases.add(file.databaseOid)
      if (choice?.named?.has(file.relfilenode) === false) return true
      return choice?.relfilenodes?.has(file.relfilenode) ?? true
    },
  }
}

/** Oids of what the patterns name, with all that is below it. */
function matchRelations(database: StoredDatabase, patterns: readonly ItemPattern[]): Set<number> {
  const chosen = new Set<number>()
  const below = childrenOf(database)
  const choose = (oid: number): void => {
    if (chosen.has(oid)) return
    chosen.add(oid)
    below.get(oid)?.forEach(choose)
  }
  for (const pattern of patterns) {
    if (pattern.relation === null) continue
    for (const [name, relation] of allRelations(database)) {
      if (!pattern.relation.test(name)) continue
      pattern.hasMatch = true
      choose(relation.oid)
    }
  }
  return chosen
}

/** Partitions and heirs by the oid of what they are listed below, and of what is between. */
function childrenOf({ relations }: StoredDatabase): ReadonlyMap<number, readonly number[]> {
  const children = new Map<number, number[]>()
  for (const root of relations.values()) {
    for (const { oid, parentOids } of root.partitions.values()) {
      for (const parent of [root.oid, ...parentOids]) {
        const known = children.get(parent)
        if (known === undefined) children.set(parent, [oid])
        else known.push(oid)
      }
    }
  }
  return children
}

/** Whether one of them has no file of its own. */
function hasPartitioned(database: StoredDatabase, chosen: ReadonlySet<number>): boolean {
  for (const [, { oid, relfilenode }] of allRelations(database)) {
    if (relfilenode === 0 && chosen.has(oid)) return true
  }
  return false
}

function hasOwners(database: StoredDatabase): boolean {
  for (const [, { ownerOid }] of allRelations(database)) if (ownerOid !== null) return true
  return false
}

/**
 * The chosen with what belongs to them, and with `takesUnnamed` to tables that have no name here; a TOAST table also says in its
 * name whose it is.
 */
function withBelongings(
  database: StoredDatabase,
  chosen: ReadonlySet<number>,
  takesUnnamed: boolean,
): Set<number> {
  const wanted = new Set(chosen)
  const named = new Set<number>()
  for (const [, { oid }] of allRelations(database)) named.add(oid)
  for (const [name, { oid, ownerOid }] of allRelations(database)) {
    const toastOf = /^pg_toast\.pg_toast_(\d+)(?:_index)?$/.exec(name)?.[1]
    const owner = ownerOid ?? (toastOf === undefined ? null : Number(toastOf))
    if (owner === null) continue
    if (chosen.has(owner) || (takesUnnamed && !named.has(owner))) wanted.add(oid)
  }
  return wanted
}

function filesOf(database: StoredDatabase, isWanted: (oid: number) => boolean): Set<number> {
  const relfilenodes = new Set<number>()
  for (const [, { oid, relfilenode }] of allRelations(database)) {
    if (oid < FIRST_NORMAL_OID || isWanted(oid)) relfilenodes.add(relfilenode)
  }
  return relfilenodes
}

const NAMES_SHOWN_MAX = 10

function checkMatches(
  patterns: readonly ItemPattern[],
  databases: ReadonlyMap<string, StoredDatabase>,
): void {
  const unmatched = patterns.filter(({ hasMatch }) => !hasMatch)
  const [first] = unmatched
  if (first === undefined) return
  const names = unmatched.map(({ item }) => `"${item}"`).join(', ')
  const known = first.hasDatabase
    ? tableNames(first, databases)
    : [...databases.keys()].map(listedName).sort()
  const more = known.length > NAMES_SHOWN_MAX ? `, ${known.length} in all` : ''
  const what = first.hasDatabase ? 'tables there' : 'databases in the backup'
  throw new WalgError('BACKUP_NOT_FOUND', `nothing in the backup is named ${names}`, {
    facts: { item: first.item },
    hint: `${what}: ${known.slice(0, NAMES_SHOWN_MAX).join(', ')}${more}`,
  })
}

function tableNames({ database }: ItemPattern, databases: ReadonlyMap<string, StoredDatabase>): string[] {
  return [...databases]
    .filter(([name]) => database.test(name))
    .flatMap(([name, stored]) =>
      [...allRelations(stored)]
        .filter(([relation, { oid }]) => oid >= FIRST_NORMAL_OID && !relation.startsWith('pg_toast.'))
        .map(([relation]) => listedName(`${name}/${relation}`)),
    )
    .sort()
}
