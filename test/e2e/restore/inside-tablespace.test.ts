import { expect } from 'bun:test'
import { mkdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { giveTreeToClusterUser } from '../../support/cluster-template.ts'
import { giveToClusterUser } from '../../support/cluster-user.ts'
import { missingPostgres } from '../../support/postgres-binaries.ts'
import { missingDebianPostgres, testUnless } from '../../support/skip.ts'
import { runWalg } from '../../support/walg.ts'
import { archiveEverything, startArchivingCluster } from '../archiving-cluster.ts'
import { debianToolTrouble } from '../integrity.ts'

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
    const pushed = await runWalg(['backup-push', dataDirectory], { env: source.connection() })
    expect(pushed.exit).toBe(0)
    await archiveEverything(cluster)
    await cluster.stop()
    rmSync(outside, { recursive: true })
    for (const checksums of ['none', 'sha256']) {
      const target = place.at(`restored-${checksums}`)
      const env = { ...source.settings, WALG_BACKUP_MANIFEST_CHECKSUMS: checksums }
      const fetched = await runWalg(['backup-fetch', target, 'LATEST'], { env })
      expect([fetched.exit, fetched.exit === 0 ? '' : fetched.stderr]).toEqual([0, ''])
      giveTreeToClusterUser(target)
      giveTreeToClusterUser(outside)
      expect(debianToolTrouble('pg_verifybackup', ['-n', '-q'], target)).toBe('')
      rmSync(outside, { recursive: true })
    }
  },
  120_000,
)
