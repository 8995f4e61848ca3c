import type { Cluster } from '../support/cluster.ts'

export interface TableState {
  readonly count: number
  readonly sumHashtext: string
  readonly md5: string
}

/** Everything that the descriptions of the fixtures say about a recovered cluster. */
export interface ClusterState {
  /** By quoted name; partitions, but not what they are partitions of. */
  readonly tables: Readonly<Record<string, TableState>>
  readonly largeObjects: { readonly count: number; readonly md5: string }
  readonly databases: readonly string[]
  readonly tablespaces: readonly string[]
  readonly timelineAfterPromotion: number
}

const TABLES = `
  select format('%I.%I', n.nspname, c.relname) as name
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind = 'r' and n.nspname !~ '^pg_' and n.nspname <> 'information_schema'
  order by 1`

const LARGE_OBJECTS = `
  select count(*)::int as count,
    coalesce(md5(string_agg(oid || ':' || md5(lo_get(oid)), ',' order by oid)), '') as md5
  from pg_largeobject_metadata`

function tableStateQuery(table: string): string {
  return `
    select (select count(*)::int from ${table}) as count,
      (select coalesce(sum(hashtext(t::text)::bigint), 0)::text from ${table} t) as "sumHashtext",
      (select coalesce(md5(string_agg(t::text, E'\\n' order by t::text collate "C")), '') from ${table} t) as md5`
}

async function readNames(cluster: Cluster, sql: string): Promise<string[]> {
  return (await cluster.query<{ name: string }>(sql)).map(({ name }) => name)
}

/** Reads all of it; a table that is not listed in an expectation therefore shows up as a difference. */
export async function readClusterState(cluster: Cluster): Promise<ClusterState> {
  const tables: Record<string, TableState> = {}
  for (const name of await readNames(cluster, TABLES)) {
    const [state] = await cluster.query<TableState & object>(tableStateQuery(name))
    tables[name] = state!
  }
  const [largeObjects] = await cluster.query<{ count: number; md5: string }>(LARGE_OBJECTS)
  const [wal] = await cluster.query<{ name: string }>('select pg_walfile_name(pg_current_wal_lsn()) as name')
  return {
    tables,
    largeObjects: largeObjects!,
    databases: await readNames(cluster, 'select datname as name from pg_database order by 1'),
    tablespaces: await readNames(cluster, 'select spcname as name from pg_tablespace order by 1'),
    timelineAfterPromotion: Number.parseInt(wal!.name.slice(0, 8), 16),
  }
}
