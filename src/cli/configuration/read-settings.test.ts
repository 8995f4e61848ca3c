import { describe, expect, test } from 'bun:test'
import { evaluateSetting } from '../../kit/settings.ts'
import { readSettings, type SettingsReading } from './read-settings.ts'

interface Given {
  readonly flags?: Record<string, string>
  readonly environment?: Record<string, string>
  readonly file?: Record<string, string>
}

function read(given: Given): SettingsReading {
  return readSettings({
    flags: new Map(Object.entries(given.flags ?? {})),
    environment: given.environment ?? {},
    file:
      given.file === undefined
        ? undefined
        : { path: '/etc/wal-g.yaml', values: new Map(Object.entries(given.file)) },
  })
}

const messages = (given: Given): string[] => read(given).problems.map(problem => problem.message)

describe('settings', () => {
  test('have their defaults', () => {
    const { settings, problems } = read({})
    expect(problems).toEqual([])
    expect(settings.WALG_COMPRESSION_METHOD).toBe('lz4')
    expect(settings.WALG_PREVENT_WAL_OVERWRITE).toBe(true)
    expect(settings.WALG_TAR_SIZE_THRESHOLD).toBe(1_073_741_823)
    expect(settings.WALG_STALL_TIMEOUT).toBe(60_000)
  })

  test('come from the flag before the environment before the file', () => {
    const file = { PGUSER: 'file', PGHOST: 'file', PGDATABASE: 'file' }
    const environment = { PGUSER: 'env', PGHOST: 'env' }
    const { settings } = read({ file, environment, flags: { pguser: 'flag' } })
    expect([settings.PGUSER, settings.PGHOST, settings.PGDATABASE]).toEqual(['flag', 'env', 'file'])
  })

  test('count as absent when the variable is empty, but as given when the flag is', () => {
    expect(read({ environment: { PGHOST: '' }, file: { PGHOST: 'file' } }).settings.PGHOST).toBe('file')
    expect(read({ environment: { PGHOST: 'env' }, flags: { pghost: '' } }).settings.PGHOST).toBe('')
    expect(messages({ flags: { 'walg-compression-method': '' } })).toEqual([
      'WALG_COMPRESSION_METHOD is "" (flag --walg-compression-method), expected one of lz4, lzma, zstd, brotli, none',
    ])
  })

  test('of the connection are looked at like all others, as libpq would', () => {
    const wrong = { PGPORT: '5432,x', PGSSLMODE: 'on', PGCONNECT_TIMEOUT: '1s', PGTARGETSESSIONATTRS: 'any ' }
    const named = messages({ environment: wrong }).map(message => message.split(' ')[0])
    expect(named.sort()).toEqual(Object.keys(wrong).sort())
    expect(messages({ environment: { PGPORT: ' 5432,, 5433', PGCONNECT_TIMEOUT: '-1' } })).toEqual([])
  })

  test('lose line ends at their end', () => {
    const { settings } = read({ environment: { PGHOST: 'a\r\n' }, file: { PGUSER: 'b\n\n' } })
    expect([settings.PGHOST, settings.PGUSER]).toEqual(['a', 'b'])
  })

  test('have their other names, of which the canonical one wins', () => {
    const names = ['WALG_FILE_PREFIX', 'WALE_FILE_PREFIX']
    const alias = { name: 'WALE_FILE_PREFIX', text: '/a', source: 'environment' }
    expect(read({ environment: { WALE_FILE_PREFIX: '/a' } }).texts.find(names)).toEqual(alias)
    const both = { WALE_FILE_PREFIX: '/a', WALG_FILE_PREFIX: '/b' }
    expect(read({ environment: both }).texts.find(names)?.text).toBe('/b')
  })

  test('have all their problems reported at once, with name, value, source and what was expected', () => {
    const given = {
      environment: { WALG_UPLOAD_CONCURRENCY: '0', WALG_STALL_TIMEOUT: '60', PG_READY_RENAME: 'yes' },
      file: { WALG_TAR_SIZE_THRESHOLD: 'big' },
    }
    expect(messages(given).toSorted()).toEqual([
      'PG_READY_RENAME is "yes" (environment), expected true or false',
      'WALG_STALL_TIMEOUT is "60" (environment), expected a duration with its unit, e.g. 90s, 1m30s or 1h, or 0',
      'WALG_TAR_SIZE_THRESHOLD is "big" (/etc/wal-g.yaml), expected a number of bytes, with k, m or g if you like, e.g. 512m',
      'WALG_UPLOAD_CONCURRENCY is "0" (environment), expected a whole number of at least 1',
    ])
  })

  test('may contradict each other', () => {
    const [problem] = read({ environment: { WALG_ZSTD_LEVEL: 'best' } }).problems
    expect(problem).toMatchObject({
      code: 'SETTING_CONFLICT',
      message: "WALG_ZSTD_LEVEL is set but the compression method is 'lz4', not 'zstd'",
    })
    const both = { WALG_ZSTD_LEVEL: 'BEST', WALG_COMPRESSION_METHOD: 'zstd' }
    expect(read({ environment: both }).settings.WALG_ZSTD_LEVEL).toBe('best')
  })

  test('that no table knows are listed when they stand in the file, and only then', () => {
    const { unknownKeys, problems } = read({
      file: { WALG_FILE_PERFIX: '/a', PGHOST: 'h' },
      environment: { WALG_NO_SUCH_SETTING: '1' },
    })
    expect(unknownKeys).toEqual(['WALG_FILE_PERFIX'])
    expect(problems).toEqual([])
  })
})

describe('failover storages', () => {
  const nested = {
    WALG_FAILOVER_STORAGES: '{"b":{"aws_secret_access_key":"hunter2","walg_file_prefix":"/b"}}',
  }

  test('are a map of settings by name; secrets within it are known as such', () => {
    const { settings, problems, secrets } = read({ environment: nested })
    expect(problems).toEqual([])
    expect(settings.WALG_FAILOVER_STORAGES).toEqual({
      b: { AWS_SECRET_ACCESS_KEY: 'hunter2', WALG_FILE_PREFIX: '/b' },
    })
    expect(secrets).toContain('hunter2')
  })

  test('with a reserved name, no map, or mirrors that are none of them, are an error', () => {
    for (const text of ['{"default":{}}', '{"all":{}}', '[]', 'b', '{"b":1}', '{"a b":{}}']) {
      expect(read({ environment: { WALG_FAILOVER_STORAGES: text } }).problems).toHaveLength(1)
    }
    expect(messages({ environment: { ...nested, WALG_MIRROR_STORAGES: 'c' } })).toEqual([
      'WALG_MIRROR_STORAGES names "c", which is no failover storage: there are b',
    ])
    expect(messages({ environment: { ...nested, WALG_MIRROR_STORAGES: 'b' } })).toEqual([])
  })

  test('limits of aliveness that contradict each other are an error', () => {
    expect(messages({ environment: { WALG_FAILOVER_STORAGES_CACHE_EMA_DEAD_LIMIT: '0.995' } })).toHaveLength(
      1,
    )
    expect(messages({ environment: { WALG_FAILOVER_STORAGES_CACHE_EMA_ALPHA_DEAD_MIN: '1' } })).toHaveLength(
      1,
    )
  })
})

describe('settings of later pieces', () => {
  test('that would change how or where data is stored are errors', () => {
    const definition = {
      parse: (text: string) => text === 'true',
      doc: '',
      later: 'a later piece',
      isLater: (value: boolean) => value,
    }
    const evaluate = (text: string) =>
      evaluateSetting({ name: 'WALG_OF_LATER', text, source: 'environment' }, definition as never)
    expect(evaluate('true')).toMatchObject({ problem: { code: 'NOT_AVAILABLE', names: ['WALG_OF_LATER'] } })
    expect(evaluate('false')).toEqual({ value: false })
  })

  test('do not get through by a misspelling either', () => {
    for (const name of ['WALG_LIBSODIUM_KEYPATH', 'WALE_PGP_KEY', 'WALG_GPG_KEYID', 'WALG_ENCRYPTION']) {
      expect(read({ environment: { [name]: 'x' } }).problems).toMatchObject([{ code: 'SETTING_INVALID' }])
      expect(read({ file: { [name]: 'x' } }).problems).toMatchObject([{ code: 'SETTING_INVALID' }])
    }
  })

  test('nor by a value that got lost', () => {
    for (const name of ['WALG_LIBSODIUM_KEY', 'WALG_LIBSODIUM_KEY_PATH', 'WALG_REQUIRE_ENCRYPTION']) {
      expect(messages({ environment: { [name]: '' } })).toEqual([`${name} is set, but empty`])
      expect(messages({ file: { [name]: '' } })).toEqual([`${name} is set, but empty`])
    }
    const replaced = { environment: { WALG_LIBSODIUM_KEY: '' }, file: { WALG_LIBSODIUM_KEY: 'k' } }
    expect(messages(replaced)).toEqual([])
  })

  test('that say what holds anyway are accepted', () => {
    const harmless = { WALG_TAR_DISABLE_FSYNC: 'false', PGHOST: '' }
    expect(messages({ environment: harmless })).toEqual([])
  })

  test('that change nothing about stored data are accepted', () => {
    const accepted = {
      WALG_DELTA_MAX_STEPS: '6',
      AWS_REGION: 'eu',
      WALG_S3_MAX_PART_SIZE: 'nonsense without the prefix of its storage',
      WALG_STATSD_ADDRESS: 'h:1',
      WALG_FAILOVER_STORAGES_CHECK: 'true',
      WALG_USE_WAL_DELTA: 'true',
    }
    expect(messages({ environment: accepted })).toEqual([])
  })
})

describe('secrets', () => {
  test('are collected in all their spellings and sources, also where another one wins', () => {
    const { secrets } = read({
      environment: { PGPASSWORD: 'one', WALG_AWS_SECRET_ACCESS_KEY: 'two' },
      file: { PGPASSWORD: 'three', AWS_SECRET_KEY: 'four' },
      flags: { 'walg-pgp-key-passphrase': 'five' },
    })
    expect([...secrets].sort()).toEqual(['five', 'four', 'one', 'three', 'two'])
  })

  test('hidden in a URL count, too', () => {
    expect(read({ environment: { WALG_SSH_PREFIX: 'ssh://user:hunter2@host/p' } }).secrets).toEqual([
      'hunter2',
    ])
  })

  test('never stand in a problem', () => {
    const given = { environment: { WALG_FAILOVER_STORAGES: 'hunter2' } }
    expect(messages(given).join()).toContain('WALG_FAILOVER_STORAGES is set')
    expect(messages(given).join()).not.toContain('hunter2')
  })
})
