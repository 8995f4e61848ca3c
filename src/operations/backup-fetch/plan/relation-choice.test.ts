import { describe, expect, test } from 'bun:test'
import { chooseRelations } from './relation-choice.ts'
import { parseDatabaseNames, type StoredDatabase } from './relation-names.ts'

const NAMES = {
  postgres: { oid: 5, tables_new: { 'public.x': { oid: 20_000, relfilenode: 20_000 } } },
  app: {
    oid: 16_500,
    tables_new: {
      'pg_catalog.pg_class': { oid: 1259, relfilenode: 1300 },
      'public.orders': { oid: 16_600, relfilenode: 17_600 },
      'pg_toast.pg_toast_16600': { oid: 16_603, relfilenode: 17_603, of: 16_600 },
      'pg_toast.pg_toast_16600_index': { oid: 16_604, relfilenode: 17_604, of: 16_600 },
      'public.orders_pkey': { oid: 16_605, relfilenode: 17_605, of: 16_600 },
      'sales.orders': { oid: 16_700, relfilenode: 16_700 },
      'public.part': {
        oid: 16_800,
        relfilenode: 0,
        subtables: {
          'public.part_1': { oid: 16_801, relfilenode: 16_801 },
          'other.part_2': { oid: 16_802, relfilenode: 16_802 },
        },
      },
      'pg_toast.pg_toast_16801': { oid: 16_810, relfilenode: 16_810, of: 16_801 },
      'public.a.b/c': { oid: 16_900, relfilenode: 16_900 },
    },
  },
  app2: { oid: 16_501, tables_new: { 'public.orders': { oid: 16_600, relfilenode: 16_600 } } },
}

const databases = (names: unknown = NAMES): ReadonlyMap<string, StoredDatabase> =>
  parseDatabaseNames(JSON.stringify(names), 'base_x')

function keptFiles(...items: string[]): (database: number, relfilenode: number) => boolean {
  const choice = chooseRelations(databases(), items)
  return (database, relfilenode) => choice.isWanted(`/base/${database}/${relfilenode}`)
}

describe('--restore-only', () => {
  test('of a table keeps its TOAST and its indexes, the catalogues, and nothing else of its database', () => {
    const isKept = keptFiles('app/orders')
    const all = [1300, 17_600, 17_603, 17_604, 17_605, 16_700, 16_801, 16_900]
    expect(all.filter(file => isKept(16_500, file))).toEqual([1300, 17_600, 17_603, 17_604, 17_605])
    expect(isKept(16_501, 16_600)).toBe(false)
    expect(isKept(5, 20_000)).toBe(true)
  })

  test('keeps every fork, every piece, and tablespaces in the same way', () => {
    const { isWanted } = chooseRelations(databases(), ['app/orders'])
    const names = ['17600.1', '17600_fsm', '17600_vm', '17600_init', 'PG_VERSION', 'pg_filenode.map']
    expect(names.filter(name => !isWanted(`/base/16500/${name}`))).toEqual([])
    expect(isWanted('/pg_tblspc/16400/PG_17_202406281/16500/17600')).toBe(true)
    expect(isWanted('/pg_tblspc/16400/PG_17_202406281/16500/16700_fsm.2')).toBe(false)
    expect(['/global/1262', '/pg_xact/0000', '/PG_VERSION', 'backup_label'].every(isWanted)).toBe(true)
  })

  test('knows a table by schema.name and schema/name, and takes names with dots and slashes as they are', () => {
    for (const item of ['app/sales.orders', 'app/sales/orders']) {
      const isKept = keptFiles(item)
      expect([isKept(16_500, 16_700), isKept(16_500, 17_600)]).toEqual([true, false])
    }
    expect(keptFiles('app/public/a.b/c')(16_500, 16_900)).toBe(true)
  })

  test('of a partitioned table keeps its partitions wherever they are, with their TOAST', () => {
    const isKept = keptFiles('app/part')
    expect([16_801, 16_802, 16_810].every(file => isKept(16_500, file))).toBe(true)
    expect(isKept(16_500, 17_600)).toBe(false)
  })

  test('of a table somewhere in a tree keeps what is below it, of each tree it is in', () => {
    const leaf = { oid: 16_904, relfilenode: 16_904, below: [16_902, 16_903] }
    const tree = {
      oid: 16_500,
      tables_new: {
        'public.top': {
          oid: 16_901,
          relfilenode: 0,
          subtables: {
            'public.middle': { oid: 16_902, relfilenode: 0 },
            'public.leaf': leaf,
            'public.other': { oid: 16_905, relfilenode: 16_905 },
          },
        },
        'public.second_pkey': { oid: 16_906, relfilenode: 16_906, of: 16_903 },
        'public.second': { oid: 16_903, relfilenode: 16_903, subtables: { 'public.leaf': leaf } },
      },
    }
    const kept = (item: string): number[] => {
      const { isWanted } = chooseRelations(databases({ app: tree }), [item])
      return [16_903, 16_904, 16_905].filter(file => isWanted(`/base/16500/${file}`))
    }
    expect(kept('app/top')).toEqual([16_904, 16_905])
    expect(kept('app/middle')).toEqual([16_904])
    expect(kept('app/second')).toEqual([16_903, 16_904])
    expect(kept('app/leaf')).toEqual([16_904])
    expect(chooseRelations(databases({ app: tree }), ['app/other']).leftOut).toEqual(
      ['leaf', 'middle', 'second', 'top'].map(name => `app/public.${name}`),
    )
  })

  test('of a partitioned table keeps what a backup of the original does not name, and says so', () => {
    const names = structuredClone(NAMES) as unknown as Record<string, { tables_new: Record<string, object> }>
    const tables = names['app']!.tables_new
    for (const [name, relation] of Object.entries(tables)) {
      if ('of' in relation) delete tables[name]
    }
    tables['pg_toast.pg_toast_16803'] = { oid: 16_811, relfilenode: 16_811 }
    tables['pg_toast.pg_toast_16600'] = { oid: 16_603, relfilenode: 17_603 }
    const part = chooseRelations(databases(names), ['app/part'])
    expect(part.isWanted('/base/16500/16803')).toBe(true)
    expect(part.isWanted('/base/16500/16811')).toBe(true)
    expect([17_600, 17_603].filter(file => part.isWanted(`/base/16500/${file}`))).toEqual([])
    expect(part.isWanted('/base/16501/16803')).toBe(false)
    expect(part.withUnnamed).toEqual(['app'])
    const table = chooseRelations(databases(names), ['app/orders'])
    expect(table.isWanted('/base/16500/16803')).toBe(false)
    expect(table.withUnnamed).toEqual([])
    expect(chooseRelations(databases(), ['app/part']).withUnnamed).toEqual([])
  })

  test('takes wildcards for databases and tables, and nothing but the whole name', () => {
    const isKept = keptFiles('ap*/*orders')
    expect([isKept(16_500, 17_600), isKept(16_501, 16_600), isKept(16_500, 16_700)]).toEqual([
      true,
      true,
      false,
    ])
    expect(() => chooseRelations(databases(), ['app/order'])).toThrow('"app/order"')
    expect(keptFiles('app')(16_501, 16_600)).toBe(false)
  })

  test('of a database keeps all of it', () => {
    const isKept = keptFiles('app')
    expect(isKept(16_500, 99_999)).toBe(true)
  })

  test('says what is left out, and nothing of what comes along', () => {
    expect(chooseRelations(databases(), ['app/orders']).leftOut).toEqual(
      [
        'app/public.a.b/c',
        'app/public.part',
        'app/sales.orders',
        'app/other.part_2',
        'app/public.part_1',
        'app2/public.orders',
      ].sort(),
    )
  })

  test('that matches nothing says so, with the names there are', () => {
    expect(() => chooseRelations(databases(), ['app/orders', 'nosuch'])).toThrow('"nosuch"')
    try {
      chooseRelations(databases(), ['app/nosuch'])
    } catch (error) {
      expect(error).toMatchObject({
        code: 'BACKUP_NOT_FOUND',
        hint: expect.stringContaining('public.orders'),
      })
    }
    for (const item of ['', '/x', 'app/'])
      expect(() => chooseRelations(databases(), [item])).toThrow('names no')
  })

  test('finds TOAST by its name where the backup does not say whose it is, and says that indexes are not known', () => {
    const names = structuredClone(NAMES) as typeof NAMES &
      Record<string, { tables_new: Record<string, { of?: number }> }>
    for (const { tables_new } of Object.values(names)) {
      for (const relation of Object.values(tables_new) as { of?: number }[]) delete relation.of
    }
    const choice = chooseRelations(databases(names), ['app/orders'])
    expect([17_603, 17_604].every(file => choice.isWanted(`/base/16500/${file}`))).toBe(true)
    expect(choice.isWanted('/base/16500/17605')).toBe(false)
    expect(choice.hasUnknownIndexes).toBe(true)
  })

  test('keeps a database that the backup does not know, and says so', () => {
    const choice = chooseRelations(databases(), ['app/orders'])
    expect(choice.isWanted('/base/17777/1')).toBe(true)
    expect([...choice.unknownDatabases]).toEqual([17_777])
  })

  test('reads the names that 3.0.0 to 3.0.4 wrote', () => {
    const old = { app: { oid: 16_500, tables: NAMES.app.tables_new } }
    expect(chooseRelations(databases(old), ['app/orders']).isWanted('/base/16500/16700')).toBe(false)
  })
  describe('with names of any letters', () => {
    const odd = {
      a: { oid: 16_500, tables_new: { 'public.b': { oid: 16_601, relfilenode: 16_601 } } },
      'a/b': {
        oid: 16_501,
        tables_new: {
          'public.t': { oid: 16_602, relfilenode: 16_602 },
          'S.x.T/a b': { oid: 16_603, relfilenode: 16_603 },
          'public.T/c': { oid: 16_604, relfilenode: 16_604 },
          'public.x*': { oid: 16_605, relfilenode: 16_605 },
          'public.xy': { oid: 16_606, relfilenode: 16_606 },
          'public.p, "q"': { oid: 16_607, relfilenode: 16_607 },
          'public.end ': { oid: 16_608, relfilenode: 16_608 },
        },
      },
    }
    const kept = (...items: string[]): number[] => {
      const { isWanted } = chooseRelations(databases(odd), items)
      const isKept = (file: number): boolean => isWanted(`/base/${file === 16_601 ? 16_500 : 16_501}/${file}`)
      return [16_601, 16_602, 16_603, 16_604, 16_605, 16_606, 16_607, 16_608].filter(isKept)
    }

    test('takes each name that it lists', () => {
      const { leftOut } = chooseRelations(databases(odd), ['a'])
      const plain = (name: string): string =>
        name.startsWith('"') ? name.slice(1, -1).replaceAll('""', '"') : name
      expect(leftOut).toContain('"a/b/public.p, ""q"""')
      expect(leftOut.flatMap(name => kept(plain(name))).sort()).toEqual([
        16_602, 16_603, 16_604, 16_605, 16_606, 16_607, 16_608,
      ])
      expect(() => kept('a/b/nosuch')).toThrow(
        expect.objectContaining({ hint: expect.stringContaining('a/b/S.x.T/a b') }),
      )
    })

    test('takes a database with a slash, whole and in front of a short name', () => {
      expect(kept('a/b')).toEqual([16_602, 16_603, 16_604, 16_605, 16_606, 16_607, 16_608])
      expect(kept('a/b/t')).toEqual([16_602])
      expect(kept('a/b/T/c')).toEqual([16_604])
      expect(kept('a/public.b')).toEqual([16_601])
    })

    test('takes a star for any letters only where no name has it', () => {
      expect(kept('a/b/x*')).toEqual([16_605])
      expect(kept('a/b/*x*')).toEqual([16_605, 16_606])
    })

    test('leaves blanks around an item away, unless a name has them', () => {
      expect(kept(' a/public.b', ' a/b/t ')).toEqual([16_601, 16_602])
      expect(kept('a/b/end ')).toEqual([16_608])
      expect(() => kept('a/b/end')).toThrow('"a/b/end"')
    })
  })
})
