import { expect } from 'bun:test'
import { existsSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { missingPostgres } from '../../support/postgres-binaries.ts'
import type { Finished } from '../../support/process.ts'
import { testUnless } from '../../support/skip.ts'
import { runWalg } from '../../support/walg.ts'
import { complaints, startArchivingCluster } from '../archiving-cluster.ts'

const FUNCTIONS = {
  14: ['pg_start_backup(text, boolean, boolean)', 'pg_stop_backup(boolean, boolean)'],
  18: ['pg_backup_start(text, boolean)', 'pg_backup_stop(boolean)'],
} as const

for (const major of [14, 18] as const) {
  testUnless(
    missingPostgres(major),
    `PostgreSQL ${major}: a role without one of the grants learns which, before anything is stored`,
    async () => {
      await using source = await startArchivingCluster({ major })
      const { cluster, repository } = source
      const push = (): Promise<Finished> =>
        runWalg(['backup-push', cluster.dataDirectory], { env: source.connection(), asClusterUser: true })
      const [start, stop] = FUNCTIONS[major]
      for (const [grant, said] of [
        [`execute on function ${start}`, `permission denied for function ${start.replace(/\(.*/, '')}`],
        [`execute on function ${stop}`, `permission denied for function ${stop}`],
        ['pg_read_all_settings', 'permission denied to examine|must be superuser|pg_read_all_settings'],
      ] as const) {
        await cluster.query(`revoke ${grant} from wal_g`)
        const { exit, stderr } = await push()
        expect([grant, exit]).toEqual([grant, 1])
        expect(said.includes('|') ? RegExp(said).test(stderr) : stderr.includes(said)).toBe(true)
        expect(stderr).toContain('hint: ')
        await cluster.query(`grant ${grant} to wal_g`)
      }
      const backups = path.join(repository, 'basebackups_005')
      expect(existsSync(backups) ? readdirSync(backups) : []).toEqual([])

      await cluster.query('create database closed')
      await cluster.query('revoke connect on database closed from public')
      const { exit, stderr } = await push()
      expect(exit).toBe(0)
      expect(complaints(stderr)).toEqual([expect.stringContaining('names of database "closed"')])
    },
    60_000,
  )
}
