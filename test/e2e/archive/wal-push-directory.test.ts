import { expect, test } from 'bun:test'
import { spawnSync } from 'node:child_process'
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { collect } from '../../../src/kit/bytes.ts'
import { pushDirectory } from '../../../src/operations/wal-push/directory-push.ts'
import { openPayload } from '../../../src/repository/sealed.ts'
import { startCluster } from '../../support/cluster.ts'
import { operationContext, type TestContext } from '../../support/operation-context.ts'
import { missingPostgres } from '../../support/postgres-binaries.ts'
import { testUnless } from '../../support/skip.ts'
import { tempDirectory } from '../../support/temp-directory.ts'
import { runWalg } from '../../support/walg.ts'

const options = {
  preventOverwrite: true,
  requireSystemIdentifier: false,
  metadata: 'NOMETADATA',
  threadsMax: 2,
} as const

async function archived(context: TestContext, name: string): Promise<Uint8Array> {
  return collect(await openPayload(context.storage, context.codec, `wal_005/${name}`), 64 << 20)
}

function withSuffix(directory: string, suffix: string): string[] {
  return readdirSync(path.join(directory, 'archive_status')).filter(name => name.endsWith(suffix))
}

for (const major of [13, 18] as const) {
  testUnless(
    missingPostgres(major),
    `wal-push DIRECTORY rescues the WAL of a server whose archiver failed (PostgreSQL ${major})`,
    async () => {
      using place = tempDirectory('directory')
      await using cluster = await startCluster({ major, segmentSizeMiB: 1, archiveCommand: 'false' })
      await cluster.query(`create table t as select g, md5(g::text) from generate_series(1, 40000) g`)
      await cluster.query(`select pg_switch_wal()`)
      await cluster.stop('fast')
      const wal = path.join(cluster.dataDirectory, 'pg_wal')
      const ready = withSuffix(wal, '.ready').map(name => name.slice(0, -'.ready'.length))
      expect(ready.length).toBeGreaterThan(3)
      const root = place.at('archive')
      mkdirSync(root)
      const context = await operationContext(root)

      const result = await pushDirectory(context, { ...options, directory: cluster.dataDirectory })
      expect(result).toMatchObject({ stored: ready.length, alreadyArchived: 0, failed: [], leftOut: [] })
      for (const name of ready) {
        expect(Buffer.compare(await archived(context, name), readFileSync(path.join(wal, name)))).toBe(0)
      }
      expect(withSuffix(wal, '.ready')).toEqual([])
      expect(withSuffix(wal, '.done').length).toBeGreaterThanOrEqual(ready.length)

      writeFileSync(path.join(wal, 'archive_status', `${ready[0]}.ready`), '')
      expect(await pushDirectory(context, { ...options, directory: wal })).toMatchObject({
        stored: 0,
        alreadyArchived: 1,
      })
    },
  )
}

testUnless(
  missingPostgres(17),
  'without an archive status only segments that prove complete are pushed, the others are listed',
  async () => {
    using place = tempDirectory('directory')
    await using cluster = await startCluster({
      major: 17,
      segmentSizeMiB: 1,
      settings: { wal_keep_size: '64MB', min_wal_size: '32MB' },
    })
    await cluster.query(`create table t as select g, md5(g::text) from generate_series(1, 60000) g`)
    await cluster.query(`checkpoint`)
    await cluster.query(`insert into t select g, md5(g::text) from generate_series(1, 20000) g`)
    const [row] = await cluster.query<{ name: string }>(
      `select pg_walfile_name(pg_current_wal_insert_lsn()) as name`,
    )
    const current = row?.name ?? ''
    await cluster.kill()
    const copy = place.at('pg_wal')
    cpSync(path.join(cluster.dataDirectory, 'pg_wal'), copy, { recursive: true })
    rmSync(path.join(copy, 'archive_status'), { recursive: true })
    const root = place.at('archive')
    mkdirSync(root)
    const context = await operationContext(root)

    const result = await pushDirectory(context, { ...options, directory: copy })
    expect(result.failed).toEqual([])
    expect(result.stored).toBeGreaterThan(3)
    expect(result.leftOut.map(entry => entry.name)).toContain(current)
    for (const entry of result.leftOut) {
      expect(existsSync(path.join(root, 'wal_005', `${entry.name}.lz4`))).toBe(false)
      expect(
        context.messages.some(message => message.startsWith('WARNING') && message.includes(entry.name)),
      ).toBe(true)
    }
    for (const object of readdirSync(path.join(root, 'wal_005'))) {
      const name = object.slice(0, 24)
      expect(name < current).toBe(true)
      expect(Buffer.compare(await archived(context, name), readFileSync(path.join(copy, name)))).toBe(0)
    }
  },
)

test('a directory without any WAL is doubted', async () => {
  using place = tempDirectory('no-wal')
  for (const name of ['repository', 'empty']) mkdirSync(place.at(name))
  const env = { WALG_FILE_PREFIX: place.at('repository') }
  const { exit, stderr } = await runWalg(['wal-push', place.at('empty')], { env })
  expect([exit, stderr]).toEqual([0, expect.stringContaining(`there is no WAL in "${place.at('empty')}"`)])
  mkdirSync(place.at('empty', 'archive_status'))
  expect((await runWalg(['wal-push', place.at('empty')], { env })).stderr).not.toContain('there is no WAL')
})

test('without an archive_status what has the name of a segment and is no file is left out', async () => {
  using place = tempDirectory('directory')
  const wal = place.at('wal')
  mkdirSync(path.join(wal, '000000010000000000000001'), { recursive: true })
  expect(spawnSync('mkfifo', [path.join(wal, '000000010000000000000002')]).status).toBe(0)
  mkdirSync(place.at('archive'))
  const result = await pushDirectory(await operationContext(place.at('archive')), {
    ...options,
    directory: wal,
  })
  expect(result).toMatchObject({ stored: 0, failed: [] })
  expect(result.leftOut.map(entry => entry.reason)).toEqual(['not a regular file', 'not a regular file'])
})
