import type { WalChanges } from '../../postgres/wal/record-content.ts'
import { BlockSet } from './block-set.ts'

/** Beyond every block number. */
export const NO_LIMIT: number = 2 ** 32

/** What happened to the main fork of one relation. */
export interface RelationChanges {
  readonly tablespace: number
  readonly database: number
  readonly relation: number
  /** From this block on everything counts as changed: the relation was cut there, or created or dropped (0). */
  limitBlock: number
  readonly blocks: BlockSet
}

/** Files that a database has in one tablespace. */
export interface DatabasePlace {
  readonly tablespace: number
  readonly database: number
}

const MAIN_FORK = 0

/**
 * The changes of a range of WAL. Nothing is ever taken back, so that the order in which ranges are read and merged does not
 * matter: a block that was written before a truncation stays in, which costs a page at worst.
 */
export class ChangeMap implements WalChanges {
  readonly #places = new Map<number, Map<number, Map<number, RelationChanges>>>()
  readonly #databases = new Map<number, Set<number>>()
  #last: RelationChanges | undefined
  #doubt: string | undefined

  /** Why the map cannot be trusted; undefined when it can. */
  get doubtReason(): string | undefined {
    return this.#doubt
  }

  block(tablespace: number, database: number, relation: number, fork: number, block: number): void {
    if (fork === MAIN_FORK) this.#of(tablespace, database, relation).blocks.add(block)
  }

  limit(tablespace: number, database: number, relation: number, fork: number, block: number): void {
    if (fork !== MAIN_FORK) return
    const changes = this.#of(tablespace, database, relation)
    changes.limitBlock = Math.min(changes.limitBlock, block)
  }

  database(tablespace: number, database: number): void {
    const databases = this.#databases.get(tablespace)
    if (databases === undefined) this.#databases.set(tablespace, new Set([database]))
    else databases.add(database)
  }

  doubt(reason: string): void {
    this.#doubt ??= reason
  }

  /** undefined: no change is known of it. */
  find(tablespace: number, database: number, relation: number): RelationChanges | undefined {
    return this.#places.get(tablespace)?.get(database)?.get(relation)
  }

  isReplaced(tablespace: number, database: number): boolean {
    return this.#databases.get(tablespace)?.has(database) === true
  }

  /** Every relation with changes, by tablespace, database and number. */
  relations(): RelationChanges[] {
    const all = [...this.#places.values()].flatMap(databases =>
      [...databases.values()].flatMap(relations => [...relations.values()]),
    )
    return all.sort(
      (one, other) =>
        one.tablespace - other.tablespace || one.database - other.database || one.relation - other.relation,
    )
  }

  /** Databases that were copied or removed as a whole. */
  databases(): DatabasePlace[] {
    const all = [...this.#databases].flatMap(([tablespace, databases]) =>
      [...databases].map(database => ({ tablespace, database })),
    )
    return all.sort((one, other) => one.tablespace - other.tablespace || one.database - other.database)
  }

  merge(other: ChangeMap): void {
    for (const { tablespace, database, relation, limitBlock, blocks } of other.relations()) {
      const changes = this.#of(tablespace, database, relation)
      changes.limitBlock = Math.min(changes.limitBlock, limitBlock)
      changes.blocks.addAll(blocks)
    }
    for (const { tablespace, database } of other.databases()) this.database(tablespace, database)
    if (other.doubtReason !== undefined) this.doubt(other.doubtReason)
  }

  #of(tablespace: number, database: number, relation: number): RelationChanges {
    const last = this.#last
    // one record after the other is about the same relation
    if (last?.relation === relation && last.database === database && last.tablespace === tablespace)
      return last
    const databases = insertAbsent(
      this.#places,
      tablespace,
      () => new Map<number, Map<number, RelationChanges>>(),
    )
    const relations = insertAbsent(databases, database, () => new Map<number, RelationChanges>())
    this.#last = insertAbsent(relations, relation, () => ({
      tablespace,
      database,
      relation,
      limitBlock: NO_LIMIT,
      blocks: new BlockSet(),
    }))
    return this.#last
  }
}

function insertAbsent<Value>(map: Map<number, Value>, key: number, make: () => Value): Value {
  const found = map.get(key)
  if (found !== undefined) return found
  const made = make()
  map.set(key, made)
  return made
}
