import { expect } from 'bun:test'
import { spawn } from 'node:child_process'
import { mkdirSync, readdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { freePort } from '../../support/cluster.ts'
import { asClusterUser, giveToClusterUser } from '../../support/cluster-user.ts'
import { missingPostgres, postgresDirectory } from '../../support/postgres-binaries.ts'
import { testUnless } from '../../support/skip.ts'
import { untilTrue } from '../../support/until-true.ts'
import { runWalg } from '../../support/walg.ts'
import { archiveEverything, startArchivingCluster, walg } from '../archiving-cluster.ts'
import { RestoredServer } from './restored-server.ts'

testUnless(
  missingPostgres(16),
  'a copy beside the original does not follow CREATE TABLESPACE into the files of the original; once they are gone it does, and again after a crash',
  async () => {
    await using source = await startArchivingCluster({ major: 16, segmentSizeMiB: 1 })
    const { cluster, place } = source
    await walg(['backup-push', cluster.dataDirectory], source.connection())
    const young = place.at('young')
    mkdirSync(young)
    giveToClusterUser(young, 0o700)
    await cluster.query(`create tablespace young location '${young}'`)
    await cluster.query('create table youngest tablespace young as select generate_series(1, 1000) as id')
    await cluster.query('create unlogged table lost tablespace young as select 1 as id')
    await cluster.query(`select pg_create_restore_point('enough')`)
    await archiveEverything(cluster)
    const files = readdirSync(young, { recursive: true }).sort()
    const settings = { ...source.settings, WALG_PG_BIN_DIR: path.join(postgresDirectory(16), 'bin') }
    const restore = async (name: string, port: number): Promise<{ exit: number | null; stderr: string }> =>
      await runWalg(
        [
          'restore',
          place.at(name),
          '--to-name',
          'enough',
          '--no-archive',
          '--start',
          '--port',
          String(port),
          '--wait',
          '60s',
        ],
        { env: settings, asClusterUser: true },
      )

    const refused = await restore('beside', await freePort())
    expect([refused.exit, refused.stderr]).toEqual([
      1,
      expect.stringContaining(`in "${young}", where files of a server are already`),
    ])
    expect(readdirSync(young, { recursive: true }).sort()).toEqual(files)
    expect(await cluster.query('select count(*)::int as n from youngest')).toEqual([{ n: 1000 }])
    expect(await cluster.query('select count(*)::int as n from lost')).toEqual([{ n: 1 }])

    await cluster.stop()
    for (const entry of readdirSync(young)) rmSync(path.join(young, entry), { recursive: true })
    const port = await freePort()
    const done = await restore('instead', port)
    expect([done.exit, done.stderr]).toEqual([0, expect.any(String)])
    await using server = new RestoredServer(place.at('instead'), port)
    expect(await server.query('select count(*)::int as n from youngest')).toEqual([{ n: 1000 }])
    process.kill(server.pid!, 'SIGQUIT')
    await untilTrue(() => server.pid === undefined, 30_000, 'the end of the server')
    // recovery begins anew, before the tablespace, which this server itself has made by now
    const started = spawn(
      path.join(settings.WALG_PG_BIN_DIR, 'postgres'),
      ['-D', server.data, '-p', String(port)],
      { ...asClusterUser, cwd: '/', stdio: 'ignore', env: { LC_ALL: 'C' }, detached: true },
    )
    started.unref()
    const isPaused = async (): Promise<boolean> => {
      const rows = await server.query('select pg_is_wal_replay_paused() as p').catch(() => [])
      return rows[0]?.['p'] === true
    }
    await untilTrue(isPaused, 60_000, 'recovery to its target')
    expect(await server.query('select count(*)::int as n from youngest')).toEqual([{ n: 1000 }])
  },
  120_000,
)
