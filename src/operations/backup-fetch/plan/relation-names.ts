import { WalgError } from '../../../kit/errors.ts'
import { type JsonMembers, JsonMembers as Members } from '../../../kit/json.ts'

/** A relation as the backup remembers it. */
export interface StoredRelation {
  readonly oid: number
  /** 0: it has no file of its own (a partitioned table). */
  readonly relfilenode: number
  /** Partitions and tables that inherit from it, however deep, by `schema.name`. */
  readonly partitions: ReadonlyMap<string, StoredRelation>
  /** Ours: the table that it is an index, TOAST table or sequence of. */
  readonly ownerOid: number | null
  /** Ours: what it is a partition of, or inherits from, where that is another than the one it is listed below. */
  readonly parentOids: readonly number[]
}

export interface StoredDatabase {
  readonly oid: number
  /** By `schema.name`. */
  readonly relations: ReadonlyMap<string, StoredRelation>
}

/** Decodes `DatabasesByNames` (storage-format 2.4; `tables` is the key of 3.0.0 to 3.0.4). Throws BACKUP_BROKEN. */
export function parseDatabaseNames(text: string, backup: string): ReadonlyMap<string, StoredDatabase> {
  try {
    const databases = new Map<string, StoredDatabase>()
    for (const [name, raw] of Members.entries(text)) {
      const members = Members.parse(raw)
      const tables = members.raw('tables_new') ?? members.raw('tables') ?? '{}'
      databases.set(name, { oid: oidOf(members, 'oid'), relations: parseRelations(tables) })
    }
    return databases
  } catch (error) {
    if (!(error instanceof WalgError)) throw error
    throw new WalgError(
      'BACKUP_BROKEN',
      `the names of databases in backup "${backup}" cannot be read: ${error.message}`,
      {
        facts: { backup },
        cause: error,
        hint: 'restore the whole backup instead',
      },
    )
  }
}

/** Relations and partitions, by `schema.name`. */
export function* allRelations({ relations }: StoredDatabase): Generator<readonly [string, StoredRelation]> {
  for (const [name, relation] of relations) {
    yield [name, relation]
    yield* relation.partitions
  }
}

function parseRelations(text: string): Map<string, StoredRelation> {
  const relations = new Map<string, StoredRelation>()
  for (const [name, raw] of Members.entries(text)) {
    const members = Members.parse(raw)
    relations.set(name, {
      oid: oidOf(members, 'oid'),
      relfilenode: oidOf(members, 'relfilenode'),
      partitions: parseRelations(members.raw('subtables') ?? '{}'),
      ownerOid: members.integer('of') ?? null,
      parentOids: members.integers('below') ?? [],
    })
  }
  return relations
}

function oidOf(members: JsonMembers, key: string): number {
  return members.integer(key) ?? 0
}
