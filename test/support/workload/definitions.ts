/** Shapes of tables and indexes: every access method of the server. */
export const DEFINITIONS = {
  table(name: string, tablespace: string, isUnlogged = false): string {
    return `create ${isUnlogged ? 'unlogged ' : ''}table ${name} (id bigserial primary key, body text, grp int, tags int[], place point, span int4range) ${tablespace}`
  },
  indexes: [
    '(left(body, 60))',
    '(grp, id)',
    'using hash (grp)',
    'using gin (tags)',
    'using gist (place)',
    'using gist (span)',
    'using spgist (place)',
    'using brin (id)',
    '(md5(body)) where grp % 2 = 0',
  ],
} as const
