import type { Cluster } from '../support/cluster.ts'

/** One round of changes between two backups of a chain. */
export interface Round {
  readonly what: string
  run(cluster: Cluster): Promise<void>
}

const sql =
  (...statements: string[]) =>
  async (cluster: Cluster): Promise<void> => {
    for (const statement of statements) await cluster.query(statement)
  }

/** Tables that the rounds work on; `t_grow` ends in pages that nobody has used. */
export const SETUP: readonly string[] = [
  `create table t_update as select g as id, md5(g::text) as v, repeat('x', 300) as pad from generate_series(1, 20000) g`,
  'create index on t_update (id)',
  'create table t_truncate as select g as id, md5(g::text) as v from generate_series(1, 5000) g',
  'create table t_drop as select g as id from generate_series(1, 5000) g',
  'create table t_full as select g as id, md5(g::text) as v from generate_series(1, 20000) g',
  'create table t_shrink as select g as id, md5(g::text) as v from generate_series(1, 20000) g',
  'create table t_toast (id int primary key, big text)',
  'alter table t_toast alter big set storage external',
  `insert into t_toast select g, repeat(md5(g::text), 400) from generate_series(1, 200) g`,
  'create unlogged table t_unlogged as select g as id from generate_series(1, 5000) g',
  'create index on t_unlogged (id)',
  'create table t_hints as select g as id from generate_series(1, 5000) g',
  'create table t_same as select g as id, md5(g::text) as v from generate_series(1, 20000) g',
]

/** What PostgreSQL does to files, round by round; every one is a page of trouble with deltas somewhere. */
export function rounds(
  major: number,
  otherTablespace: string,
  options: { readonly hasNumberedDatabase: boolean },
): readonly Round[] {
  const isNumbered = options.hasNumberedDatabase && major >= 15
  const strategy = (name: string): string => (major >= 15 ? ` strategy ${name}` : '')
  // the same number twice: pages copied from the template are older than the parent, and others than it has
  const numbered = (): string => 'create database d_again oid = 77777 template template0 strategy file_copy'
  return [
    {
      what: 'updates, inserts, deletes, TOAST and hint bits',
      run: sql(
        `update t_update set v = 'changed' where id % 500 = 0`,
        'delete from t_update where id between 100 and 120',
        `update t_toast set big = repeat(md5(id::text || 'x'), 500) where id % 20 = 0`,
        'select count(*) from t_hints',
        'update t_unlogged set id = id + 1 where id % 100 = 0',
      ),
    },
    {
      what: 'TRUNCATE, DROP, CREATE, VACUUM FULL, a shrunken and a new relation',
      run: sql(
        'truncate t_truncate',
        'insert into t_truncate select g, 2::text from generate_series(1, 100) g',
        'drop table t_drop',
        'create table t_new as select g as id from generate_series(1, 3000) g',
        'vacuum full t_full',
        'delete from t_shrink where id > 6000',
        'vacuum t_shrink',
        'reindex table t_update',
      ),
    },
    {
      what: 'new databases, a moved table, regrown after shrinking',
      run: sql(
        `create database d_log${strategy('wal_log')}`,
        `create database d_copy template template0${strategy('file_copy')}`,
        ...(isNumbered ? [numbered()] : []),
        `alter table t_same set tablespace ${otherTablespace}`,
        `insert into t_shrink select g, 'again' from generate_series(1, 9000) g`,
        `create table t_ts tablespace ${otherTablespace} as select g as id from generate_series(1, 5000) g`,
        `select lo_from_bytea(0, decode(repeat('ab', 30000), 'hex'))`,
      ),
    },
    {
      what: 'changes of a catalog in a database that is made anew later',
      async run(cluster: Cluster): Promise<void> {
        if (!isNumbered) return
        const client = await cluster.client({ database: 'd_again' })
        await client.query('create table only_here as select g as id from generate_series(1, 1000) g')
        await client.end()
      },
    },
    { what: 'nothing', run: sql() },
    {
      what: 'a dropped database, shrunk to nothing, vacuum freeze',
      run: sql(
        'drop database d_copy',
        ...(isNumbered ? ['drop database d_again', numbered()] : []),
        'delete from t_shrink',
        'vacuum t_shrink',
        'vacuum freeze t_update',
        'alter table t_same set tablespace pg_default',
        `update t_toast set big = 'short' where id % 10 = 0`,
        'vacuum t_toast',
      ),
    },
  ]
}
