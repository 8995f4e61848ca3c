import { hasCode, type WalgError } from '../../kit/errors.ts'
import type { Cluster, Row } from '../../postgres/cluster/cluster.ts'
import { textOf } from '../../postgres/cluster/cluster-facts.ts'

/** Something that is not as it should be. */
export interface Finding {
  readonly database: string
  /** A relation, or what else was looked at. */
  readonly object: string
  readonly message: string
}

export interface CheckedDatabase {
  readonly name: string
  readonly indexesCount: number
  readonly tablesCount: number
  readonly findings: readonly Finding[]
}

/** Of one table; a ruined one has thousands. */
const FINDINGS_OF_TABLE_MAX = 20
const SCHEMA = 'wal_g_drill'

const INDEXES_SQL = `
  select c.oid::text as oid, pg_catalog.format('%I.%I', n.nspname, c.relname) as name
  from pg_catalog.pg_index i
    join pg_catalog.pg_class c on c.oid = i.indexrelid
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    join pg_catalog.pg_am a on a.oid = c.relam
  where a.amname = 'btree' and c.relkind = 'i' and c.relpersistence <> 't' and i.indisready and i.indisvalid
  order by c.oid`

const TABLES_SQL = `
  select c.oid::text as oid, pg_catalog.format('%I.%I', n.nspname, c.relname) as name
  from pg_catalog.pg_class c
    join pg_catalog.pg_namespace n on n.oid = c.relnamespace
    join pg_catalog.pg_am a on a.oid = c.relam
  where a.amname = 'heap' and c.relkind in ('r', 't', 'm') and c.relpersistence <> 't'
  order by c.oid`

/**
 * Checks every B-tree and every table of a database with amcheck; PostgreSQL 13 has none for tables, their pages are
 * read there. What cannot be checked is a finding, too.
 */
export async function checkDatabase(
  cluster: Cluster,
  name: string,
  statementMsMax: number,
): Promise<CheckedDatabase> {
  const findings: Finding[] = []
  const note = (object: string, message: string): void =>
    void findings.push({ database: name, object, message })
  const run = async (object: string, sql: string, parameters: readonly string[] = []): Promise<Row[]> => {
    try {
      return await cluster.query(sql, parameters, { timeoutMs: statementMsMax })
    } catch (error) {
      if (!hasCode(error, 'CLUSTER_QUERY', 'TIMEOUT')) throw error
      note(object, reasonOf(error))
      return []
    }
  }
  const schema = await installAmcheck(run)
  if (schema === undefined) return { name, indexesCount: 0, tablesCount: 0, findings }
  const indexes = await run('the list of indexes', INDEXES_SQL)
  for (const row of indexes) {
    const sql = `select ${schema}.bt_index_check($1::oid::pg_catalog.regclass, false)`
    await run(textOf(row, 'name'), sql, [textOf(row, 'oid')])
  }
  const tables = await run('the list of tables', TABLES_SQL)
  for (const row of tables) {
    if (cluster.majorVersion < 14) {
      await run(textOf(row, 'name'), `select pg_catalog.count(*) from ${textOf(row, 'name')}`)
      continue
    }
    const sql = `select blkno::text as block, offnum::text as item, msg
      from ${schema}.verify_heapam($1::oid::pg_catalog.regclass, on_error_stop => false) limit ${FINDINGS_OF_TABLE_MAX}`
    const found = await run(textOf(row, 'name'), sql, [textOf(row, 'oid')])
    for (const { block, item, msg } of found) {
      note(textOf(row, 'name'), `block ${block}, item ${item ?? '-'}: ${msg}`)
    }
  }
  await checkChecksums(run, note)
  return { name, indexesCount: indexes.length, tablesCount: tables.length, findings }
}

type Run = (object: string, sql: string, parameters?: readonly string[]) => Promise<Row[]>

/** Where its functions are; undefined when it is not installed, which has been noted. */
async function installAmcheck(run: Run): Promise<string | undefined> {
  const placeSql = `select pg_catalog.quote_ident(n.nspname) as place from pg_catalog.pg_extension e
    join pg_catalog.pg_namespace n on n.oid = e.extnamespace where e.extname = 'amcheck'`
  const [found] = await run('amcheck', placeSql)
  if (found !== undefined) return textOf(found, 'place')
  const object = 'amcheck (PostgreSQL contrib)'
  await run(object, `create schema if not exists ${SCHEMA}`)
  await run(object, `create extension amcheck schema ${SCHEMA}`)
  const [made] = await run('amcheck', placeSql)
  return made === undefined ? undefined : textOf(made, 'place')
}

/** Failures that a statement may have met without failing itself. */
async function checkChecksums(run: Run, note: (object: string, message: string) => void): Promise<void> {
  const sql = `select checksum_failures::text as failures from pg_catalog.pg_stat_database
    where datname = pg_catalog.current_database()`
  const [row] = await run('page checksums', sql)
  const failures = Number(row?.['failures'] ?? 0)
  if (failures > 0) note('page checksums', `${failures} pages have a wrong checksum`)
}

function reasonOf(error: WalgError): string {
  return error.cause instanceof Error ? error.cause.message : error.message
}
