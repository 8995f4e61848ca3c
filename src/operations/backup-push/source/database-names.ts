import type {
  DatabasesByNames,
  NamedRelation,
  RelationNode,
} from '../../../postgres/cluster/database-names.ts'

const FIRST_NORMAL_OID = 16_384

/** `DatabasesByNames` of files_metadata.json as JSON text (storage-format 2.4); empty tables are omitted. */
export function formatDatabases(databases: DatabasesByNames): string {
  const members = [...databases].map(([name, database]) => {
    const tables = [...database.tables].map(
      ([table, relation]) => `${JSON.stringify(table)}:${formatRelation(relation)}`,
    )
    const tablesNew = tables.length === 0 ? '' : `,"tables_new":{${tables.join(',')}}`
    return `${JSON.stringify(name)}:{"oid":${database.oid}${tablesNew}}`
  })
  return `{${members.join(',')}}`
}

function formatRelation(relation: NamedRelation): string {
  const subtables = [...relation.subtables].map(
    ([name, node]) => `${JSON.stringify(name)}:{${formatNode(node)}}`,
  )
  return `{${formatNode(relation)}${subtables.length === 0 ? '' : `,"subtables":{${subtables.join(',')}}`}}`
}

function formatNode(node: RelationNode): string {
  // ours; the original ignores it. Of catalogues it would only cost room: they are always restored.
  const of = node.tableOid === undefined || node.tableOid < FIRST_NORMAL_OID ? '' : `,"of":${node.tableOid}`
  const below = node.parentOids === undefined ? '' : `,"below":[${node.parentOids.join()}]`
  return `"oid":${node.oid},"relfilenode":${node.relfilenode}${of}${below}`
}
