import { afterAll, describe, expect, test } from 'bun:test'
import { spawnSync } from 'node:child_process'
import { readdirSync, readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { backupFetch } from '../../src/operations/backup-fetch/backup-fetch.ts'
import type { BackupFetchOptions } from '../../src/operations/backup-fetch/options.ts'
import { selectionOf } from '../../src/repository/selector.ts'
import type { TablespaceSpec } from '../../src/repository/tablespace-spec.ts'
import { operationContext } from '../support/operation-context.ts'
import {
  findDebianPostgresTool,
  interopFixtures,
  missingDebianPostgres,
  missingInterop,
  testUnless,
} from '../support/skip.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import {
  backupFixtures,
  extractFixture,
  type Fixture,
  fixtureManifests,
  needsKey,
  readFixture,
} from './fixture.ts'
import { compareTrees, readTree, withoutServerManifest } from './restored-tree.ts'

/** Fixtures with backups, and those among them that need a key (a later piece). */
const FIXTURES_COUNT = 30
const ENCRYPTED_COUNT = 5

const reason = missingInterop()
const fixtures = reason === undefined ? backupFixtures() : []
const readable = fixtures.filter(fixture => !needsKey(fixture))
const folder = tempDirectory('interop-fetch')
let restored = 0

afterAll(() => {
  folder.remove()
  if (reason === undefined) console.log(`fixtures ${restored}/${readable.length}`)
})

function options(
  destination: string,
  backup: string,
  more: Partial<BackupFetchOptions> = {},
): BackupFetchOptions {
  return {
    destination,
    selection: selectionOf(backup),
    mask: '',
    restoreOnly: [],
    restoreSpec: null,
    isResume: false,
    concurrencyMax: 10,
    retriesMax: 0,
    isDurable: false,
    checksums: 'crc32c',
    pageBytes: 8192,
    ignoresContentManifest: false,
    ...more,
  }
}

/** Tablespaces of a backup into directories beside the restored one. */
function specFor(fixture: Fixture, backup: string, destination: string): TablespaceSpec | null {
  const name = backup === 'LATEST' ? fixture.latest : backup
  const oids = fixture.backups!.find(one => one.name === name)?.tablespaces ?? []
  if (!fixture.manifestMadeWithRestoreSpec) return null
  return {
    basePrefix: destination,
    tablespaces: oids.map(oid => ({ oid, location: `${destination}.${oid}`, link: `pg_tblspc/${oid}` })),
  }
}

describe.skipIf(reason !== undefined)('backups of the original', () => {
  test('all fixtures are here', () => {
    expect(interopFixtures().filter(name => readFixture(name).backups !== undefined)).toHaveLength(
      FIXTURES_COUNT,
    )
    expect(readable).toHaveLength(FIXTURES_COUNT - ENCRYPTED_COUNT)
  })

  for (const fixture of readable) {
    test(`${fixture.fixture}: every backup and LATEST restore to the same files`, async () => {
      const root = extractFixture(fixture.fixture, folder.path)
      const manifests = fixtureManifests(fixture.fixture)
      const context = await operationContext(root)
      for (const backup of [...fixture.backups!.map(({ name }) => name), 'LATEST']) {
        const expected = manifests[backup === 'LATEST' ? fixture.latest! : backup]!
        const destination = path.join(folder.path, `${fixture.fixture}.${backup}`)
        const restoreSpec = specFor(fixture, backup, destination)
        await backupFetch(context, options(destination, backup, { restoreSpec }))
        const found = readTree(destination)
        expect(found).toHaveProperty('backup_manifest')
        expect(compareTrees(withoutServerManifest(expected), withoutServerManifest(found))).toEqual([])
        expect(statSync(destination).mode & 0o7777).toBe(0o700)
      }
      await context.storage.close()
      restored++
      rmSync(folder.at(fixture.fixture), { recursive: true })
      for (const name of readdirSync(folder.path)) {
        if (name.startsWith(`${fixture.fixture}.`)) rmSync(folder.at(name), { recursive: true })
      }
    }, 120_000)
  }

  /** Debian's tool is of 15: it reads manifests of 13 to 16 (17 put the system identifier into them). */
  const verified = [
    ['pg13-lz4', 'sha256'],
    ['pg14-waldelta', 'crc32c'],
    ['pg15-lz4-deltas', 'sha256'],
    ['pg15-remote', 'crc32c'],
    ['pg16-zstd', 'none'],
  ] as const
  testUnless(
    missingDebianPostgres(15),
    'pg_verifybackup accepts what is restored, deltas and tablespaces too',
    async () => {
      const tool = findDebianPostgresTool('pg_verifybackup')!
      for (const [name, checksums] of verified) {
        const fixture = readFixture(name)
        const context = await operationContext(extractFixture(name, folder.at('verified')))
        for (const { name: backup } of fixture.backups!) {
          const destination = folder.at('verified', `${name}.${backup}`)
          const restoreSpec = specFor(fixture, backup, destination)
          await backupFetch(context, options(destination, backup, { restoreSpec, checksums }))
          const run = spawnSync(tool, ['-n', destination], { encoding: 'utf8' })
          expect([backup, run.stdout + run.stderr]).toEqual([backup, 'backup successfully verified\n'])
        }
        await context.storage.close()
        rmSync(folder.at('verified'), { recursive: true })
      }
    },
    120_000,
  )

  test('without a restore spec tablespaces go back to their places, and tablespace_map comes too', async () => {
    const name = 'pg15-lz4-deltas'
    const fixture = readFixture(name)
    const root = extractFixture(name, folder.at('places'))
    // another place than /srv/tblspc, where a test must not write
    const place = folder.at('places', 'tablespace')
    for (const { name: backup } of fixture.backups!) {
      const sentinel = path.join(root, 'basebackups_005', `${backup}_backup_stop_sentinel.json`)
      writeFileSync(sentinel, readFileSync(sentinel, 'utf8').replace('/srv/tblspc/pg15-lz4-deltas', place))
    }
    const context = await operationContext(root)
    for (const { backup, extraFilesComparedWithRestoreSpec: extra } of fixture.fetchInPlace!.results) {
      const destination = folder.at('places', backup)
      await backupFetch(context, options(destination, backup))
      const expected = { ...fixtureManifests(name)[backup]!, ...extra }
      expect(compareTrees(expected, withoutServerManifest(readTree(destination)))).toEqual([])
      expect(readlinkSync(path.join(destination, 'pg_tblspc/16476'))).toBe(place)
      rmSync(place, { recursive: true })
    }
    await context.storage.close()
    rmSync(folder.at('places'), { recursive: true })
  }, 60_000)

  test('masks give the same files', async () => {
    const fixture = readFixture('pg15-lz4-deltas')
    const root = extractFixture('pg15-lz4-deltas', folder.at('masks'))
    const context = await operationContext(root)
    let masks = 0
    for (const [key, expected] of Object.entries(fixtureManifests('pg15-lz4-deltas'))) {
      const match = /^--mask (.*) \| (.*)$/.exec(key)
      if (match === null) continue
      const destination = folder.at('masks', `out${masks++}`)
      const restoreSpec = specFor(fixture, match[2]!, destination)
      await backupFetch(context, options(destination, match[2]!, { restoreSpec, mask: match[1]! }))
      expect(compareTrees(expected, readTree(destination))).toEqual([])
    }
    expect(masks).toBe(3)
  }, 60_000)
})
