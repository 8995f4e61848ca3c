import { hasCode } from '../../kit/errors.ts'
import type { Cluster } from './cluster.ts'
import { textOf } from './cluster-facts.ts'

/** Rows inserted, updated and deleted, by `tablespace/database/relfilenode`. */
export type RelationUpdates = ReadonlyMap<string, bigint>

const DATABASES_SQL = `
  select datname, oid::text from pg_catalog.pg_database where datallowconn order by datname`

/** Numbers of tablespaces as file names have them; 0 in the catalogue stands for that of the database. */
const UPDATES_SQL = `
  select coalesce(nullif(c.reltablespace, 0), d.dattablespace)::text as tablespace,
    case when c.relisshared then '0' else d.oid::text end as database,
    pg_catalog.pg_relation_filenode(c.oid)::text as relfilenode,
    (s.n_tup_ins + s.n_tup_upd + s.n_tup_del)::text as updates
  from pg_catalog.pg_stat_all_tables s
  join pg_catalog.pg_class c on c.oid = s.relid
  join pg_catalog.pg_database d on d.datname = pg_catalog.current_database()
  where pg_catalog.pg_relation_filenode(c.oid) is not null`

/** Asks every database that takes connections; one that cannot be asked is left out with a WARNING. */
export async function readRelationUpdates(cluster: Cluster): Promise<RelationUpdates> {
  const updates = new Map<string, bigint>()
  for (const row of await cluster.query(DATABASES_SQL)) {
    const database = textOf(row, 'datname')
    try {
      await using session = await cluster.openSession({ database })
      for (const found of await session.query(UPDATES_SQL)) {
        const key = ['tablespace', 'database', 'relfilenode'].map(name => textOf(found, name)).join('/')
        updates.set(key, BigInt(textOf(found, 'updates')))
      }
    } catch (error) {
      if (!hasCode(error, 'CLUSTER_QUERY', 'CLUSTER_UNREACHABLE') || cluster.lost.aborted) throw error
      cluster.log.warning(`updates in database "${database}" are not counted: ${error.message}`)
    }
  }
  return updates
}
