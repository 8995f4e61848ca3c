import { spawnSync } from 'node:child_process'
import path from 'node:path'
import type pg from 'pg'
import type { Cluster } from '../support/cluster.ts'
import { asClusterUser } from '../support/cluster-user.ts'
import { findDebianPostgresTool } from '../support/skip.ts'

const INDEXES = `
  select count(*)::int as n, count(bt_index_parent_check(c.oid, true, true))::int
  from pg_index i join pg_class c on c.oid = i.indexrelid join pg_am a on a.oid = c.relam
  where a.amname = 'btree' and c.relpersistence <> 't' and i.indisvalid and c.relkind = 'i'`

const HEAPS = `
  select c.oid::regclass::text as relation, v.msg
  from pg_class c cross join lateral verify_heapam(c.oid::regclass) v
  where c.relkind in ('r', 't', 'm') and c.relpersistence <> 't'`

/** Through shared buffers: the server checks the checksum of every page that it reads from disk. */
const PAGES = `
  select count(get_raw_page(c.oid::regclass::text, fork, block::int))::int as n
  from pg_class c cross join unnest(array['main', 'fsm', 'vm', 'init']) fork
  cross join lateral generate_series(0, pg_relation_size(c.oid, fork) / current_setting('block_size')::int - 1) block
  where c.relkind in ('r', 't', 'm', 'i', 'S') and c.relpersistence <> 't'`

/** Blocks of table `t` that the visibility map calls all-visible, and those among them whose page does not say so. */
export const VISIBILITY_OF_T = `
  select count(*) filter (where all_visible)::int as visible,
    count(*) filter (where all_visible and not pd_all_visible)::int as unmarked
  from pg_visibility('t')`

export interface Integrity {
  readonly databases: number
  readonly indexes: number
  readonly pages: number
}

/**
 * amcheck (B-trees against their heaps, and heaps from 14 on) and every page of every fork, in every database,
 * `template0` too. Throws at the first trouble.
 */
export async function checkIntegrity(cluster: Cluster): Promise<Integrity> {
  await cluster.query('alter database template0 allow_connections true')
  const names = await cluster.query<{ datname: string }>('select datname from pg_database where datallowconn')
  const found = { databases: 0, indexes: 0, pages: 0 }
  for (const { datname } of names) {
    const client = await cluster.client({ database: datname })
    await client.query('create extension if not exists amcheck; create extension if not exists pageinspect')
    found.indexes += await numberOf(client, INDEXES)
    found.pages += await numberOf(client, PAGES)
    if (cluster.major >= 14) {
      const { rows } = await client.query(HEAPS)
      if (rows.length > 0) throw new Error(`verify_heapam in ${datname}: ${JSON.stringify(rows.slice(0, 5))}`)
    }
    found.databases++
    await client.end()
  }
  return found
}

async function numberOf(client: pg.Client, sql: string): Promise<number> {
  const { rows } = await client.query<{ n: number }>(sql)
  return rows[0]!.n
}

/** Runs one of Debian's own tools on a data directory; returns what it said when it failed. */
export function debianToolTrouble(name: string, args: readonly string[], dataDirectory: string): string {
  const tool = findDebianPostgresTool(name)
  if (tool === undefined) throw new Error(`${name} is not installed`)
  const { status, stdout, stderr } = spawnSync(tool, [...args, path.resolve(dataDirectory)], {
    ...asClusterUser,
    encoding: 'utf8',
    cwd: '/',
    env: { PATH: process.env['PATH'], LC_ALL: 'C' },
  })
  return status === 0 ? '' : `${name}: status ${status}\n${stdout}${stderr}`
}
