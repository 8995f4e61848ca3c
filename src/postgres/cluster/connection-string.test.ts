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

  test('that cannot be understood is an error that names the setting, never what it says', () => {
    for (const text of ['postgres://db1/x', 'host', 'host=a nosuch=1', `host='a`, `password=secret'x`]) {
      expect(() => parse(text)).toThrow('WALG_PRIMARY_CONNINFO')
      expect(() => parse(text)).not.toThrow('secret')
    }
  })
})
