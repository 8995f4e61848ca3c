import { readdirSync, readFileSync, statSync } from 'node:fs'
import path from 'node:path'
import { openPageVerifier } from '../../src/postgres/page.ts'
import { RELATION_FILE_BYTES } from '../../src/postgres/page-header.ts'
import { firstBlockOf, parseRelationFile } from '../../src/postgres/relation-file.ts'
import type { Cluster } from '../support/cluster.ts'
import { runTool } from '../support/process.ts'
import { findDebianPostgresTool } from '../support/skip.ts'

/** How much was looked at: a check that found nothing because it looked at nothing would be no check. */
export interface Health {
  readonly indexes: number
  readonly tables: number
  readonly pages: number
}

const INDEXES = `
  select c.oid::int from pg_index i join pg_class c on c.oid = i.indexrelid join pg_am a on a.oid = c.relam
  where a.amname = 'btree' and i.indisvalid and c.relkind = 'i' and c.relpersistence = 'p'`

const HEAPS = `
  select c.oid::int from pg_class c join pg_am a on a.oid = c.relam
  where a.amname = 'heap' and c.relkind in ('r', 't', 'm') and c.relpersistence = 'p'`

/** amcheck in one database: every B-tree against its table, and from 14 on every table. */
async function checkDatabase(
  cluster: Cluster,
  database: string,
): Promise<{ indexes: number; tables: number }> {
  const client = await cluster.client({ database })
  await client.query('create extension if not exists amcheck')
  const indexes = (await client.query<{ oid: number }>(INDEXES)).rows
  for (const { oid } of indexes) await client.query('select bt_index_check($1::oid, true)', [oid])
  if (cluster.major < 14) return { indexes: indexes.length, tables: 0 }
  const heaps = (await client.query<{ oid: number }>(HEAPS)).rows
  for (const { oid } of heaps) {
    const { rows } = await client.query('select * from verify_heapam($1::oid)', [oid])
    if (rows.length > 0) throw new Error(`${database}, table ${oid}: ${JSON.stringify(rows.slice(0, 3))}`)
  }
  return { indexes: indexes.length, tables: heaps.length }
}

/** Pages of all relation files whose checksum is wrong, as `file: block`; counts into `pages`. */
function findDamagedPages(dataDirectory: string): { damaged: string[]; pages: number } {
  const verifier = openPageVerifier()
  const damaged: string[] = []
  let pages = 0
  const walk = (folder: string, prefix: string): void => {
    for (const name of readdirSync(folder)) {
      const file = path.join(folder, name)
      const member = `${prefix}/${name}`
      const relation = parseRelationFile(member)
      if (relation === undefined) {
        if (statSync(file).isDirectory()) walk(file, member)
        continue
      }
      const bytes = readFileSync(file)
      if (bytes.length % verifier.pageBytes !== 0) damaged.push(`${member}: ${bytes.length} bytes`)
      pages += bytes.length / verifier.pageBytes
      const firstBlock = firstBlockOf(relation, RELATION_FILE_BYTES / verifier.pageBytes)
      damaged.push(...verifier.verify(bytes, firstBlock).map(block => `${member}: block ${block}`))
    }
  }
  for (const top of ['base', 'global', 'pg_tblspc']) walk(path.join(dataDirectory, top), `/${top}`)
  return { damaged, pages }
}

/** amcheck in every database, then a clean stop and every page's checksum. Throws what is wrong. */
export async function checkHealth(cluster: Cluster): Promise<Health> {
  const databases = await cluster.query<{ datname: string }>(
    'select datname from pg_database where datallowconn order by 1',
  )
  let indexes = 0
  let tables = 0
  for (const { datname } of databases) {
    const checked = await checkDatabase(cluster, datname)
    indexes += checked.indexes
    tables += checked.tables
  }
  const [checksums] = await cluster.query<{ setting: string }>(
    "select setting from pg_settings where name = 'data_checksums'",
  )
  if (checksums?.setting !== 'on') throw new Error('the cluster has no page checksums')
  await cluster.stop('fast')
  const { damaged, pages } = findDamagedPages(cluster.dataDirectory)
  if (damaged.length > 0) throw new Error(`wrong pages: ${damaged.slice(0, 5).join(', ')}`)
  const tool = findDebianPostgresTool('pg_checksums', cluster.major)
  if (tool !== undefined) await runTool(tool, ['--check', '-D', cluster.dataDirectory])
  return { indexes, tables, pages }
}
