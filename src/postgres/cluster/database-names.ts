import { hasCode } from '../../kit/errors.ts'
import type { Cluster } from './cluster.ts'
import { textOf } from './cluster-facts.ts'

export interface RelationNode {
  readonly oid: number
  readonly relfilenode: number
  /** The table that an index, a TOAST table or a sequence of its own belongs to. */
  readonly tableOid?: number
  /** What it is a partition of, or inherits from, where that is not the top of the tree. */
  readonly parentOids?: readonly number[]
}

/** A relation with what is below it, partitions and tables that inherit from it, however deep, by `schema.name`. */
export interface NamedRelation extends RelationNode {
  readonly subtables: ReadonlyMap<string, RelationNode>
}

export interface NamedDatabase {
  readonly oid: number
  /** By `schema.name`. */
  readonly tables: ReadonlyMap<string, NamedRelation>
}

/** `DatabasesByNames` of files_metadata.json (storage-format 2.4). */
export type DatabasesByNames = ReadonlyMap<string, NamedDatabase>

const DATABASES_SQL = `
  select datname, oid::text from pg_catalog.pg_database where datallowconn and not datistemplate order by datname`

/**
 * Everything with a file, and partitioned parents, which have none. `roots` are the tops of the trees that it is in (a table may
 * inherit from several), `parents` what is directly above it. Foreign tables have no files and are not there.
 */
const RELATIONS_SQL = `
  with recursive edges as (
    select h.inhrelid as child, h.inhparent as parent from pg_catalog.pg_inherits h
    join pg_catalog.pg_class p on p.oid = h.inhparent where p.relkind in ('r', 'p', 'I')
  ), above as (
    select child, parent from edges
    union
    select a.child, e.parent from above a join edges e on e.child = a.parent
  ), roots as (
    select child, string_agg(parent::text, ',' order by parent) as oids from above a
    where not exists (select from edges e where e.child = a.parent) group by child
  ), parents as (
    select child, string_agg(parent::text, ',' order by parent) as oids from edges group by child
  )
  select c.oid::text, n.nspname || '.' || c.relname as name,
    coalesce(pg_catalog.pg_relation_filenode(c.oid), 0)::text as relfilenode,
    roots.oids as roots, parents.oids as parents,
    coalesce(toasted.oid, i.indrelid, t.oid, s.refobjid)::text as of
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  left join roots on roots.child = c.oid
  left join parents on parents.child = c.oid
  left join pg_catalog.pg_index i on i.indexrelid = c.oid
  left join pg_catalog.pg_class t on t.reltoastrelid = c.oid and c.relkind = 't'
  left join pg_catalog.pg_class toasted on toasted.reltoastrelid = i.indrelid and toasted.reltoastrelid <> 0
  left join lateral (
    select d.refobjid from pg_catalog.pg_depend d
    where c.relkind = 'S' and d.classid = 'pg_catalog.pg_class'::regclass and d.objid = c.oid
      and d.refclassid = 'pg_catalog.pg_class'::regclass and d.deptype in ('a', 'i')
    limit 1) s on true
  where c.relkind in ('p', 'I') or pg_catalog.pg_relation_filenode(c.oid) is not null
  order by c.oid`

/**
 * Asks every database that takes connections for its relations. A database that cannot be asked is left out with a
 * WARNING: it can be restored, but not picked by name.
 */
export async function readDatabaseNames(cluster: Cluster): Promise<DatabasesByNames> {
  const names = new Map<string, NamedDatabase>()
  for (const row of await cluster.query(DATABASES_SQL)) {
    const database = textOf(row, 'datname')
    try {
      const tables = await readRelations(cluster, database)
      names.set(database, { oid: Number(textOf(row, 'oid')), tables })
    } catch (error) {
      if (!hasCode(error, 'CLUSTER_QUERY', 'CLUSTER_UNREACHABLE') || cluster.lost.aborted) throw error
      cluster.log.warning(`names of database "${database}" are not recorded: ${error.message}`)
    }
  }
  return names
}

async function readRelations(cluster: Cluster, database: string): Promise<Map<string, NamedRelation>> {
  await using session = await cluster.openSession({ database })
  const rows = await session.query(RELATIONS_SQL)
  const byOid = new Map<string, Map<string, RelationNode>>()
  const tables = new Map<string, NamedRelation>()
  for (const row of rows) {
    if (row['roots'] !== null) continue
    const subtables = new Map<string, RelationNode>()
    byOid.set(textOf(row, 'oid'), subtables)
    tables.set(textOf(row, 'name'), { ...nodeOf(row), subtables })
  }
  for (const row of rows) {
    for (const root of row['roots']?.split(',') ?? []) byOid.get(root)?.set(textOf(row, 'name'), nodeOf(row))
  }
  return tables
}

function nodeOf(row: Readonly<Record<string, string | null>>): RelationNode {
  const tableOid = row['of'] ?? undefined
  const parents = row['parents'] === row['roots'] ? [] : (row['parents']?.split(',') ?? [])
  return {
    oid: Number(textOf(row, 'oid')),
    relfilenode: Number(textOf(row, 'relfilenode')),
    ...(tableOid === undefined ? {} : { tableOid: Number(tableOid) }),
    ...(parents.length === 0 ? {} : { parentOids: parents.map(Number) }),
  }
}
