import { afterAll, beforeAll, describe, expect, test } from 'bun:test'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { startProcess } from '../support/process.ts'
import { type TempDirectory, tempDirectory } from '../support/temp-directory.ts'
import { segmentName, walBytes } from '../support/wal-bytes.ts'
import { walgBinary } from '../support/walg.ts'
import { type Repository, repositoryAt } from './sample.ts'

let place: TempDirectory
let repository: Repository
let segment: string

beforeAll(() => {
  place = tempDirectory('settings')
  repository = repositoryAt(place.at('repository'))
  mkdirSync(place.at('pg_wal/archive_status'), { recursive: true })
  segment = path.join(place.at('pg_wal'), segmentName(1))
  writeFileSync(segment, walBytes(segmentName(1)))
})
afterAll(() => place.remove())

/** Everything that would encrypt, in all the names it goes by. */
const KEYS: Readonly<Record<string, string>> = {
  WALG_GPG_KEY_ID: 'ABCDEF',
  WALE_GPG_KEY_ID: 'ABCDEF',
  GPG_KEY_ID: 'ABCDEF',
  WALG_PGP_KEY: 'key',
  WALG_PGP_KEY_PATH: '/key',
  WALG_LIBSODIUM_KEY: '01234567890123456789012345678901',
  WALG_LIBSODIUM_KEY_PATH: '/key',
  WALG_CSE_KMS_ID: 'id',
  YC_CSE_KMS_KEY_ID: 'id',
  WALG_ENVELOPE_PGP_KEY: 'key',
  WALG_ENVELOPE_PGP_KEY_PATH: '/key',
}

/** No KMS is there, and none is looked for: the credentials for it cannot be read. */
const OFFLINE: Readonly<Record<string, string>> = {
  YC_SERVICE_ACCOUNT_KEY_FILE: '/YC_CSE_KMS_KEY_ID/no-such-file',
  WALG_ENVELOPE_PGP_YC_SERVICE_ACCOUNT_KEY_FILE: '/ENVELOPE_PGP_KEY/no-such-file',
  AWS_EC2_METADATA_DISABLED: 'true',
}

/** Everything that would store elsewhere. */
const STORAGES: Readonly<Record<string, string>> = {
  WALG_OSS_PREFIX: 'oss://bucket',
  WALG_FAILOVER_STORAGES: '{"b":{"WALG_FILE_PREFIX":',
  WALG_MIRROR_STORAGES: 'nowhere',
}

describe('a setting that would change how or where data is stored is never ignored', () => {
  for (const [name, value] of Object.entries(KEYS)) {
    test(`${name} never leads to plain data`, async () => {
      const own = repositoryAt(place.at(name))
      const run = await own.run(['wal-push', segment], { env: { ...OFFLINE, [name]: value } })
      if (run.exit !== 0) {
        expect(run.stderr).toContain(name.replace(/^WAL[GE]_/, ''))
        expect(readdirSync(own.root)).toEqual([])
      } else {
        // encrypted, then: without the key there is nothing to be had
        const read = await own.run(['wal-fetch', segmentName(1), place.at(`${name}-read`)])
        expect(read.exit).toBe(1)
      }
    })
  }

  for (const [name, value] of Object.entries(STORAGES)) {
    test(`${name} is not answered by storing in a directory`, async () => {
      const run = await repository.run(['wal-push', segment], { env: { [name]: value } })
      expect(run.exit).toBe(1)
      expect(run.stderr).toContain(name)
      expect(readdirSync(repository.root)).toEqual([])
    })
  }

  test('every verb that touches the repository says so, and all of them at once', async () => {
    const env = { WALG_FAILOVER_STORAGES: '{', WALG_OSS_PREFIX: 'oss://bucket' }
    for (const args of [
      ['backup-push', place.at('pg_wal')],
      ['backup-fetch', place.at('target'), 'LATEST'],
      ['backup-list'],
      ['wal-fetch', segmentName(1), place.at('destination')],
    ]) {
      const run = await repository.run(args, { env })
      expect([args[0], run.exit]).toEqual([args[0], 1])
      expect(run.stderr).toContain('WALG_FAILOVER_STORAGES')
      expect(run.stderr).toContain('WALG_OSS_PREFIX')
    }
  })

  test('a key in a configuration file counts as well', async () => {
    writeFileSync(
      place.at('config.yaml'),
      `WALG_FILE_PREFIX: ${repository.root}\nWALG_LIBSODIUM_KEY_PATH: /no-such-key\n`,
    )
    const run = await repository.run(['wal-push', segment, '--config', place.at('config.yaml')])
    expect(run.exit).toBe(1)
    expect(run.stderr).toContain('WALG_LIBSODIUM_KEY_PATH')
    expect(readdirSync(repository.root)).toEqual([])
  })

  test('without any storage nothing is done', async () => {
    const run = await repository.run(['wal-push', segment], { env: { WALG_FILE_PREFIX: '' } })
    expect(run.exit).toBe(1)
    expect(run.stderr).toContain('WALG_FILE_PREFIX')
  })
})

test('a configuration file of unknown kind is told which kinds there are', async () => {
  const file = place.at('walg.conf')
  writeFileSync(file, `WALG_FILE_PREFIX=${repository.root}`)
  const run = await repository.run(['backup-list', '--config', file])
  expect([run.exit, run.stderr]).toEqual([1, expect.stringMatching(/hint: .*\.json, .*\.yaml/)])
})

test('a file in the place of the repository is not said to be missing', async () => {
  const file = place.at('file')
  writeFileSync(file, '')
  const run = await repository.run(['backup-list'], { env: { WALG_FILE_PREFIX: file } })
  expect([run.exit, run.stderr]).toEqual([1, expect.stringContaining(': not a directory\n')])
})

test('backup-push with an empty directory is the one without a directory', async () => {
  const env = { PGHOST: place.path, PGUSER: 'nobody' }
  const run = await repository.run(['backup-push', ''], { env })
  expect([run.exit, run.stderr]).toEqual([1, expect.stringContaining('failed to connect')])
})

test('an alive check of 0 is none, of nonsense an error before any work', async () => {
  for (const [value, expected] of [
    ['0', 'data directory'],
    ['0s', 'data directory'],
    ['abc', 'WALG_ALIVE_CHECK_INTERVAL'],
  ] as const) {
    const run = await repository.run(['backup-push', place.at('missing')], {
      env: { WALG_ALIVE_CHECK_INTERVAL: value },
    })
    expect(run.exit).toBe(1)
    expect(run.stderr).toContain(expected)
  }
})

describe('user data that are not UTF-8', () => {
  const NOT_UTF8 = `bad=$(printf '"\\377a"')`
  for (const [title, script] of [
    ['backup-push --add-user-data', `${NOT_UTF8}; exec "$0" backup-push /nowhere --add-user-data "$bad"`],
    ['WALG_SENTINEL_USER_DATA', `${NOT_UTF8}; WALG_SENTINEL_USER_DATA="$bad" exec "$0" backup-push /nowhere`],
    ['backup-mark --user-data', `${NOT_UTF8}; exec "$0" backup-mark base_1 --user-data "$bad"`],
  ] as const) {
    test(`${title}: refused before any work, not stored as something else`, async () => {
      const env = { ...repository.env, PATH: process.env['PATH'] }
      const run = await startProcess('sh', ['-c', script, walgBinary()], { env }).finished
      expect([run.exit, run.stderr]).toEqual([1, expect.stringContaining('cannot be kept as given')])
      expect(run.stderr).toContain('not UTF-8')
    })
  }

  test('a text that has the replacement character itself is taken', async () => {
    const run = await repository.run(['backup-push', '/nowhere', '--add-user-data', '"\uFFFD"'])
    expect(run.stderr).not.toContain('UTF-8')
    expect(run.stderr).toContain('/nowhere')
  })
})
