import { expect } from 'bun:test'
import { mkdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { giveTreeToClusterUser } from '../../support/cluster-template.ts'
import { giveToClusterUser } from '../../support/cluster-user.ts'
import { missingPostgres } from '../../support/postgres-binaries.ts'
import { missingDebianPostgres, testUnless } from '../../support/skip.ts'
import { runWalg } from '../../support/walg.ts'
import { admitReplication, archiveEverything, startArchivingCluster } from '../archiving-cluster.ts'
import { debianToolTrouble } from '../integrity.ts'
import { listedBackups } from '../push/backup-push-support.ts'

testUnless(
  missingPostgres(15) ?? missingDebianPostgres(15),
  'pg_verifybackup accepts tablespaces inside the data directory and within each other',
  async () => {
    await using source = await startArchivingCluster({ major: 15 })
    const { cluster, place } = source
    const { dataDirectory } = cluster
    const outside = place.at('outside')
    const places = {
      tsin: path.join(dataDirectory, 'tsin/deep'),
      tsdeeper: path.join(dataDirectory, 'tsin/deep/deeper'),
      tsout: outside,
      tsnested: path.join(outside, 'nested'),
    }
    for (const directory of [path.join(dataDirectory, 'tsin'), ...Object.values(places)]) {
      mkdirSync(directory)
      giveToClusterUser(directory, 0o700)
    }
    for (const [name, location] of Object.entries(places)) {
      await cluster.query(`create tablespace ${name} location '${location}'`)
      await cluster.query(
        `create table in_${name} tablespace ${name} as select g from generate_series(1, 500) g`,
      )
    }
    await admitReplication(cluster)
    const names: string[] = []
    for (const args of [[dataDirectory], []]) {
      const pushed = await runWalg(['backup-push', ...args], { env: source.connection() })
      expect(pushed.exit).toBe(0)
      names.push(listedBackups(source.repository).find(name => !names.includes(name))!)
    }
    await archiveEverything(cluster)
    await cluster.stop()
    rmSync(outside, { recursive: true })
    const [local, remote] = names as [string, string]
    for (const [name, checksums] of [
      [local, 'none'],
      [local, 'sha256'],
      [remote, 'none'],
    ] as const) {
      const target = place.at(`restored-${name}-${checksums}`)
      const env = { ...source.settings, WALG_BACKUP_MANIFEST_CHECKSUMS: checksums }
      const fetched = await runWalg(['backup-fetch', target, name], { env })
      expect([fetched.exit, fetched.exit === 0 ? '' : fetched.stderr]).toEqual([0, ''])
      giveTreeToClusterUser(target)
      giveTreeToClusterUser(outside)
      expect(debianToolTrouble('pg_verifybackup', ['-n', '-q'], target)).toBe('')
      rmSync(outside, { recursive: true })
    }
  },
  120_000,
)
