import type pg from 'pg'
import { DEFINITIONS } from './definitions.ts'
import type { WorkloadDatabase, WorkloadState, WorkloadTable } from './workload.ts'

export interface Turn {
  readonly state: WorkloadState
  readonly database: WorkloadDatabase
  /** Runs statements in a database and notes them. */
  say(database: WorkloadDatabase, sql: string): Promise<pg.QueryResult>
  addDatabase(name: string): Promise<void>
}

export interface Action {
  readonly name: string
  /** How often it is picked, against the others. */
  readonly weight: number
  /** false: there was nothing to do it with. */
  run(turn: Turn): Promise<boolean>
}

const TABLES_MAX = 12
const ROW = `md5(random()::text) || g, (random() * 50)::int, array[g % 7, g % 11], point(g % 100, g % 37), int4range(g, g + 5)`

function action(name: string, weight: number, run: Action['run']): Action {
  return { name, weight, run }
}

/** An action on one table; without a table there is nothing to do. */
function onTable(
  name: string,
  weight: number,
  sql: (table: WorkloadTable, turn: Turn) => string,
  isFit: (table: WorkloadTable) => boolean = () => true,
): Action {
  return action(name, weight, async turn => {
    const tables = turn.database.tables.filter(isFit)
    if (tables.length === 0) return false
    await turn.say(turn.database, sql(turn.state.random.pick(tables), turn))
    return true
  })
}

function insert(table: string, count: number): string {
  return `insert into ${table} (body, grp, tags, place, span) select ${ROW} from generate_series(1, ${count}) g`
}

/** Statements that a table lives through. */
const ROWS: readonly Action[] = [
  onTable('insert', 30, ({ name }, { state }) => insert(name, 1 + state.random.int(1500))),
  onTable(
    'insert toasted values',
    8,
    ({ name }, { state }) =>
      `insert into ${name} (body, grp) select (select string_agg(md5(random()::text || i), '') from generate_series(1, ${50 + state.random.int(300)}) i), g from generate_series(1, ${1 + state.random.int(20)}) g`,
  ),
  onTable('update some', 20, ({ name }, { state }) => {
    const modulus = 2 + state.random.int(40)
    return `update ${name} set grp = grp + 1, body = case when id % 3 = 0 then md5(body) else body end where id % ${modulus} = 0`
  }),
  onTable('delete some', 10, ({ name }, { state }) => {
    return `delete from ${name} where id % ${2 + state.random.int(9)} = 0`
  }),
  onTable('delete the end and cut it off', 10, ({ name }, { state }) => {
    return `delete from ${name} where id > (select coalesce(max(id), 0) * 0.${state.random.int(10)} from ${name})`
  }),
  onTable('vacuum', 15, ({ name }, { state }) => {
    return `vacuum (${state.random.pick(['truncate', 'freeze', 'analyze', 'index_cleanup'])}) ${name}`
  }),
  onTable('vacuum full', 4, ({ name }) => `vacuum full ${name}`),
  onTable('truncate', 3, ({ name }) => `truncate ${name}`),
  onTable('read', 6, ({ name }) => `select count(*) from ${name}`),
  onTable('subtransactions', 6, ({ name }, { state }) => {
    const extra = state.fresh('gone')
    return `begin; ${insert(name, 20)}; savepoint a; create table ${extra} as select g from generate_series(1, 3000) g; ${insert(name, 30)}; rollback to a; savepoint b; delete from ${name} where grp = ${state.random.int(50)}; release b; ${state.random.pick(['commit', 'commit', 'rollback'])}`
  }),
  onTable('rows locked and updated by one transaction and its part', 4, ({ name }, { state }) => {
    // two members: a multixact
    const rows = `id % ${2 + state.random.int(30)} = 0`
    return `begin; select count(*) from (select 1 from ${name} where ${rows} for key share) s; savepoint a; update ${name} set grp = grp where ${rows}; release a; commit`
  }),
  onTable('roll back many rows', 4, ({ name }, { state }) => {
    return `begin; ${insert(name, 1 + state.random.int(3000))}; rollback`
  }),
  onTable('roll back a truncation', 3, ({ name }, { state }) => {
    return `begin; truncate ${name}; ${insert(name, 1 + state.random.int(500))}; rollback`
  }),
  onTable('truncate and fill again', 2, ({ name }, { state }) => {
    return `begin; savepoint a; truncate ${name}; rollback to a; truncate ${name}; ${insert(name, 1 + state.random.int(800))}; commit`
  }),
  onTable('many small transactions', 4, ({ name }) => {
    return `do $$ begin for i in 1..60 loop update ${name} set grp = grp where id = i; commit; end loop; end $$`
  }),
]

const TRANSACTIONS: readonly Action[] = [
  action('prepare a transaction', 4, async ({ state, database, say }) => {
    if (database.prepared.length > 2) return false
    const id = state.fresh('gid')
    const table = { name: state.fresh('prepared'), isUnlogged: false, indexes: [] }
    await say(database, `begin; ${DEFINITIONS.table(table.name, '')}; ${insert(table.name, 200)}`)
    await say(database, `prepare transaction '${id}'`)
    database.prepared.push({ id, table })
    return true
  }),
  action('end a prepared transaction', 4, async ({ state, database, say }) => {
    const first = database.prepared.shift()
    if (first === undefined) return false
    const isCommit = state.random.int(2) === 0
    await say(database, `${isCommit ? 'commit' : 'rollback'} prepared '${first.id}'`)
    if (isCommit) database.tables.push(first.table)
    return true
  }),
  action('message over pages', 3, async ({ state, database, say }) => {
    await say(
      database,
      `select pg_logical_emit_message(${state.random.pick(['true', 'false'])}, 'noise', repeat('x', ${state.random.int(200_000)}))`,
    )
    return true
  }),
  action('roll back a new table', 3, async ({ state, database, say }) => {
    await say(
      database,
      `begin; create table ${state.fresh('never')} as select md5(g::text) from generate_series(1, 2000) g; rollback`,
    )
    return true
  }),
]

const OBJECTS: readonly Action[] = [
  action('large objects', 5, async ({ state, database, say }) => {
    const { largeObjects } = database
    const kind = state.random.int(3)
    if (kind === 0 || largeObjects.length === 0) {
      const size = 1 + state.random.int(100)
      const result = await say(
        database,
        `select lo_from_bytea(0, decode(repeat(md5(random()::text), ${size * 30}), 'hex')) as id`,
      )
      largeObjects.push(Number(result.rows[0].id))
    } else if (kind === 1) {
      await say(database, `select lo_put(${state.random.pick(largeObjects)}, 5000, 'changed')`)
    } else await say(database, `select lo_unlink(${largeObjects.pop()})`)
    return true
  }),
  action('sequence', 4, async ({ state, database, say }) => {
    if (database.sequences.length === 0 || state.random.int(4) === 0) {
      const name = state.fresh('seq')
      await say(database, `create sequence ${name}`)
      database.sequences.push(name)
    }
    const name = state.random.pick(database.sequences)
    await say(database, `select count(nextval('${name}')) from generate_series(1, ${state.random.int(100)})`)
    return true
  }),
  action('switch segments', 2, async ({ database, say }) => {
    await say(database, 'select pg_switch_wal()')
    return true
  }),
  action('checkpoint', 3, async ({ database, say }) => {
    await say(database, 'checkpoint')
    return true
  }),
]

const TABLES: readonly Action[] = [
  action('create table', 14, async ({ state, database, say }) => {
    if (database.tables.length >= TABLES_MAX) return false
    const isUnlogged = state.random.int(6) === 0
    const table = { name: state.fresh('t'), isUnlogged, indexes: [] }
    const tablespace = state.random.pick(['', '', ...state.tablespaces.map(name => `tablespace ${name}`)])
    await say(database, DEFINITIONS.table(table.name, tablespace, isUnlogged))
    await say(database, insert(table.name, 1 + state.random.int(3000)))
    database.tables.push(table)
    return true
  }),
  action('drop table', 5, async ({ state, database, say }) => {
    if (database.tables.length < 3) return false
    const [table] = database.tables.splice(state.random.int(database.tables.length), 1)
    await say(database, `drop table ${table!.name}`)
    return true
  }),
  onTable('create index', 8, (table, { state }) => {
    const name = state.fresh('i')
    table.indexes.push(name)
    return `create index ${name} on ${table.name} ${state.random.pick(DEFINITIONS.indexes)}`
  }),
  onTable(
    'drop index',
    2,
    table => `drop index ${table.indexes.pop()}`,
    table => table.indexes.length > 2,
  ),
  onTable('reindex', 3, table => `reindex table ${table.name}`),
  action('index without blocking', 3, async ({ state, database, say }) => {
    // it waits for every transaction that is open, and a prepared one stays open
    const isBlocked = [...state.databases.values()].some(({ prepared }) => prepared.length > 0)
    if (isBlocked || database.tables.length === 0) return false
    const table = state.random.pick(database.tables)
    if (state.random.int(2) === 0) await say(database, `reindex table concurrently ${table.name}`)
    else {
      const name = state.fresh('i')
      table.indexes.push(name)
      const shape = state.random.pick(DEFINITIONS.indexes)
      await say(database, `create index concurrently ${name} on ${table.name} ${shape}`)
    }
    return true
  }),
  action('temporary table', 3, async ({ state, database, say }) => {
    await say(
      database,
      `create temp table ${state.fresh('temp')} as select g, md5(g::text) from generate_series(1, ${state.random.int(2000)}) g`,
    )
    return true
  }),
  onTable('cluster', 2, table => `cluster ${table.name} using ${table.name}_pkey`),
  onTable('logged and unlogged', 2, table => {
    table.isUnlogged = !table.isUnlogged
    return `alter table ${table.name} set ${table.isUnlogged ? 'unlogged' : 'logged'}`
  }),
  onTable('move', 3, (table, { state }) => {
    const tablespace = state.random.pick(['pg_default', ...state.tablespaces])
    return `alter table ${table.name} set tablespace ${tablespace}`
  }),
  onTable(
    'rewrite',
    2,
    table => `alter table ${table.name} alter grp type bigint; alter table ${table.name} alter grp type int`,
  ),
]

const DATABASES: readonly Action[] = [
  action('create tablespace', 3, async ({ state, database, say }) => {
    if (state.tablespaces.length > 2) return false
    const name = state.fresh('ts')
    await say(database, `create tablespace ${name} location '${state.tablespaceDirectory(name)}'`)
    state.tablespaces.push(name)
    return true
  }),
  action('drop tablespace', 2, async ({ state, database, say }) => {
    if (state.tablespaces.length === 0) return false
    const name = state.random.pick(state.tablespaces)
    try {
      await say(database, `drop tablespace ${name}`)
    } catch (error) {
      if (/is not empty|cannot be dropped/.test((error as Error).message)) return false
      throw error
    }
    state.tablespaces.splice(state.tablespaces.indexOf(name), 1)
    return true
  }),
  action('create database', 4, async ({ state, say, addDatabase }) => {
    if (state.databases.size > 3) return false
    const main = state.databases.get('postgres')!
    const name = state.fresh('db')
    const strategy =
      state.cluster.major < 15 ? '' : ` strategy ${state.random.pick(['file_copy', 'wal_log'])}`
    const tablespace = state.random.pick(['', ...state.tablespaces.map(one => ` tablespace ${one}`)])
    await say(main, `create database ${name} template template0${strategy}${tablespace}`)
    await addDatabase(name)
    return true
  }),
  action('drop database', 2, async ({ state, database, say }) => {
    if (database.name === 'postgres' || database.prepared.length > 0) return false
    await database.client.end()
    state.databases.delete(database.name)
    await say(state.databases.get('postgres')!, `drop database ${database.name}`)
    return true
  }),
  action('move database', 1, async ({ state, database, say, addDatabase }) => {
    const isMovable = database.name !== 'postgres' && database.tables.length + database.prepared.length === 0
    if (!isMovable || state.tablespaces.length === 0) return false
    await database.client.end()
    const target = state.random.pick(['pg_default', ...state.tablespaces])
    await say(state.databases.get('postgres')!, `alter database ${database.name} set tablespace ${target}`)
    await addDatabase(database.name)
    return true
  }),
]

export const ACTIONS: readonly Action[] = [...ROWS, ...TRANSACTIONS, ...OBJECTS, ...TABLES, ...DATABASES]
