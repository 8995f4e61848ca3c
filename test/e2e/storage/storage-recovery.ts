import { expect } from 'bun:test'
import { rmSync } from 'node:fs'
import { startRestored } from '../../support/cluster.ts'
import type { Major } from '../../support/postgres-binaries.ts'
import { walgCommand } from '../../support/walg.ts'
import {
  archiveEverything,
  complaints,
  digest,
  LEDGER_SQL,
  startArchivingCluster,
  startWriteLoad,
  walg,
} from '../archiving-cluster.ts'
import { checkIntegrity } from '../integrity.ts'

export interface StorageRecovery {
  readonly major: Major
  readonly compression: string
  /** Settings of an empty storage. */
  readonly storage: Readonly<Record<string, string>>
}

/**
 * The whole life of a repository in one storage: WAL archived by the server, two backups under load, a point in time
 * that comes back after a disaster, the tables of the repository, retention.
 */
export async function proveStorageRecovery({ major, compression, storage }: StorageRecovery): Promise<void> {
  await using source = await startArchivingCluster({ major, compression, storage })
  const { cluster, place, settings } = source
  await cluster.query(LEDGER_SQL)
  await cluster.query(
    'create table wide as select g as id, repeat(md5(g::text), 60) as text from generate_series(1, 6000) g',
  )
  await walg(['backup-push', cluster.dataDirectory], source.connection())
  const load = await startWriteLoad(cluster)
  const push = await walg(['backup-push', cluster.dataDirectory, '--verify'], source.connection())
  expect(complaints(push.stderr)).toEqual([])
  await load.stop()
  const noted = await digest(cluster, 'ledger')
  const [row] = await cluster.query<{ lsn: string }>('select pg_current_wal_insert_lsn()::text as lsn')
  await cluster.query('delete from ledger')
  await archiveEverything(cluster)
  await cluster.kill()

  const listed = JSON.parse((await walg(['backup-list', '--json'], settings)).stdout) as unknown[]
  expect(listed).toHaveLength(2)
  const verified = await walg(['wal-show'], settings)
  expect(verified.stdout).toContain('OK')
  await restoreTo(place.at('restored'), row!.lsn)

  await walg(['delete', 'retain', 'FULL', '1', '--confirm'], settings)
  const left = JSON.parse((await walg(['backup-list', '--json'], settings)).stdout) as unknown[]
  expect(left).toHaveLength(1)
  await restoreTo(place.at('restored-again'), row!.lsn)

  async function restoreTo(target: string, lsn: string): Promise<void> {
    const fetched = await walg(['backup-fetch', target, 'LATEST'], settings)
    expect(complaints(fetched.stderr)).toEqual([])
    {
      await using restored = await startRestored(target, {
        major,
        settings: {
          restore_command: walgCommand(settings, 'wal-fetch %f %p'),
          recovery_target_action: 'promote',
          recovery_target_lsn: lsn,
        },
      })
      expect(await digest(restored, 'ledger')).toBe(noted)
      expect((await checkIntegrity(restored)).databases).toBeGreaterThan(2)
    }
    rmSync(target, { recursive: true, force: true })
  }
}
