import { expect } from 'bun:test'
import { readFileSync } from 'node:fs'
import path from 'node:path'
import { startRestored } from '../../support/cluster.ts'
import { type Major, missingPostgres } from '../../support/postgres-binaries.ts'
import { testUnless } from '../../support/skip.ts'
import { runWalg, walgCommand } from '../../support/walg.ts'
import { archiveEverything, digest, LEDGER_SQL, startArchivingCluster, walg } from '../archiving-cluster.ts'
import { listedBackups } from './backup-push-support.ts'

interface FilesMetadata {
  readonly Files: Readonly<Record<string, { readonly UpdatesCount: number; readonly IsIncremented: boolean }>>
  readonly TarFileSets: Readonly<Record<string, readonly string[]>>
}

for (const major of [15, 18] as const satisfies readonly Major[]) {
  testUnless(
    missingPostgres(major),
    `PostgreSQL ${major}: parts by directory and by update frequency, in a chain, are restored`,
    async () => {
      await using source = await startArchivingCluster({ major })
      const { cluster, settings, repository, place } = source
      await cluster.query(LEDGER_SQL)
      await cluster.query('create table cold as select g from generate_series(1, 5000) g')
      await cluster.query('create database other')
      const env = { ...source.connection(), WALG_DELTA_MAX_STEPS: '5' }
      await walg(['backup-push', cluster.dataDirectory, '--database-composer', '--rating-composer'], env)
      const [full] = listedBackups(repository)
      for (const members of partsOf(repository, full!)) {
        const folders = new Set(members.map(name => /^\/base\/\d+\/./.exec(name) && path.dirname(name)))
        expect([...folders].filter(folder => folder !== null).length).toBeLessThanOrEqual(1)
      }

      await cluster.query(`update ledger set changes = changes + 1`)
      await cluster.query('select pg_stat_force_next_flush()')
      await walg(['backup-push', cluster.dataDirectory], { ...env, WALG_USE_RATING_COMPOSER: 'true' })
      const delta = listedBackups(repository).find(name => name.includes('_D_'))!
      const [file] = await cluster.query<{ path: string }>(
        `select '/' || pg_relation_filepath('ledger') as path`,
      )
      const { Files } = metadataOf(repository, delta)
      expect(Files[file!.path]).toMatchObject({ IsIncremented: true })
      expect(Files[file!.path]!.UpdatesCount).toBeGreaterThanOrEqual(10_000)
      for (const members of partsOf(repository, delta)) {
        const kinds = members.map(name => (Files[name]?.UpdatesCount ?? 0) > 0)
        expect(
          new Set(kinds.filter((_, at) => /^\/base\/\d+\/./.test(members[at]!))).size,
        ).toBeLessThanOrEqual(1)
      }

      const noted = await digest(cluster, 'ledger')
      await archiveEverything(cluster)
      await cluster.kill()
      const data = place.at('restored')
      await walg(['backup-fetch', data, 'LATEST'], settings)
      await using restored = await startRestored(data, {
        major,
        settings: { restore_command: walgCommand(settings, 'wal-fetch %f %p') },
      })
      expect(await digest(restored, 'ledger')).toBe(noted)

      const refused = await runWalg(['backup-push', data, '--rating-composer', '--without-files-metadata'], {
        env: settings,
        asClusterUser: true,
      })
      expect(refused).toMatchObject({
        exit: 1,
        stderr: expect.stringContaining('only be made by the regular composer'),
      })
    },
    120_000,
  )
}

function metadataOf(repository: string, backup: string): FilesMetadata {
  const file = path.join(repository, 'basebackups_005', backup, 'files_metadata.json')
  return JSON.parse(readFileSync(file, 'utf8'))
}

function partsOf(repository: string, backup: string): (readonly string[])[] {
  return Object.entries(metadataOf(repository, backup).TarFileSets)
    .filter(([part]) => part.startsWith('part_'))
    .map(([, members]) => members)
}
