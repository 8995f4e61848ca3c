import { WalgError } from '../../kit/errors.ts'
import type { Cluster } from './cluster.ts'

export interface RelationNode {
  readonly oid: number
  readonly relfilenode: number
}

/** A relation with the partitions below it, however deep, by `schema.name`. */
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

/** Asks every database that takes connections for its relations. */
export async function readDatabaseNames(cluster: Cluster): Promise<DatabasesByNames> {
  throw new WalgError('NOT_AVAILABLE', `the names of ${cluster.address} are not there yet`)
}
