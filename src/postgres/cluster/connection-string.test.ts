import { describe, expect, test } from 'bun:test'
import { parseConnectionString } from './connection-string.ts'

const parse = (text: string): unknown => parseConnectionString(text, 'WALG_PRIMARY_CONNINFO')

describe('a connection string', () => {
  test('is keywords and values, quoted where they have blanks', () => {
    expect(parse(`host=db1 port = 5433 user='wal g' password='it\\'s \\\\ me' dbname=postgres`)).toEqual({
      PGHOST: 'db1',
      PGPORT: '5433',
      PGUSER: 'wal g',
      PGPASSWORD: "it's \\ me",
      PGDATABASE: 'postgres',
    })
    expect(parse('service=primary')).toEqual({ PGSERVICE: 'primary' })
    expect(parse(`host=''`)).toEqual({ PGHOST: '' })
    expect(parse('')).toEqual({})
  })

  test('is a URI, with hosts, ports, parameters and everything encoded', () => {
    expect(
      parse(
        'postgresql://wal%20g:p%40ss:word@db1:5433,[fe80::1],%2Frun%2Fpg/post%2Fgres?sslmode=verify-full&target_session_attrs=primary',
      ),
    ).toEqual({
      PGUSER: 'wal g',
      PGPASSWORD: 'p@ss:word',
      PGHOST: 'db1,fe80::1,/run/pg',
      PGPORT: '5433,,',
      PGDATABASE: 'post/gres',
      PGSSLMODE: 'verify-full',
      PGTARGETSESSIONATTRS: 'primary',
    })
    expect(parse('postgres://db1')).toEqual({ PGHOST: 'db1' })
    expect(parse('postgres:///?host=/run/pg&port=6')).toEqual({ PGHOST: '/run/pg', PGPORT: '6' })
    expect(parse('postgresql://')).toEqual({})
    expect(parse('postgresql://?service=primary')).toEqual({ PGSERVICE: 'primary' })
  })

  test('that cannot be understood is an error that names the setting, never what it says', () => {
    for (const text of [
      'postgres:/db1/x',
      'postgres://u:secret@db1/x?nosuch=1',
      'postgres://u:secret%zz@db1',
      'postgres://u:secret@db1:port',
      'postgres://u:secret@db1/x?sslmode',
      'host',
      'host=a nosuch=1',
      `host='a`,
      `password=secret'x`,
    ]) {
      expect(() => parse(text)).toThrow('WALG_PRIMARY_CONNINFO')
      expect(() => parse(text)).not.toThrow('secret')
    }
  })
})
