import type { Cluster } from '../cluster.ts'

/** What a cluster says of its contents, database by database: equal when every row and large object is. */
export type Contents = readonly string[]

const TABLES = `
  select c.oid::regclass::text as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
  where c.relkind in ('r', 'm') and c.relpersistence = 'p' and n.nspname = 'public' order by 1`

const LARGE_OBJECTS = `
  select count(*) || ' large objects, ' || coalesce(sum(hashtextextended(encode(lo_get(oid), 'hex'), 0)), 0) as text
  from pg_largeobject_metadata`

/** Reads everything that a logical dump would hold, and hashes it. Unlogged tables are empty after a recovery: they are left out. */
export async function readContents(cluster: Cluster): Promise<Contents> {
  const databases = await cluster.query<{ datname: string }>(
    'select datname from pg_database where datallowconn order by 1',
  )
  const contents: string[] = []
  for (const { datname } of databases) {
    const client = await cluster.client({ database: datname })
    const tables = await client.query<{ name: string }>(TABLES)
    for (const { name } of tables.rows) {
      // through the heap, whatever an index says
      const { rows } = await client.query<{ text: string }>(
        `select count(*) || ' rows, ' || coalesce(sum(hashtextextended(t::text, 0)), 0) as text from ${name} t`,
      )
      contents.push(`${datname}.${name}: ${rows[0]!.text}`)
    }
    const { rows } = await client.query<{ text: string }>(LARGE_OBJECTS)
    contents.push(`${datname}: ${rows[0]!.text}`)
    await client.end()
  }
  const prepared = await cluster.query<{ gid: string }>('select gid from pg_prepared_xacts order by 1')
  return [...contents, `prepared: ${prepared.map(({ gid }) => gid).join()}`]
}
