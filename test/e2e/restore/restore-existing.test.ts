import { expect } from 'bun:test'
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { freePort } from '../../support/cluster.ts'
import { asClusterUser, giveToClusterUser } from '../../support/cluster-user.ts'
import { type Major, missingPostgres, postgresDirectory } from '../../support/postgres-binaries.ts'
import { seed, seededRandom } from '../../support/seeded-random.ts'
import { testUnless } from '../../support/skip.ts'
import { untilTrue } from '../../support/until-true.ts'
import { runWalg } from '../../support/walg.ts'
import {
  type ArchivingCluster,
  archiveEverything,
  digest,
  LEDGER_SQL,
  startArchivingCluster,
  startWalgAsCluster,
  walg,
} from '../archiving-cluster.ts'
import { RestoredServer } from './restored-server.ts'

const LEDGER_DIGEST = `select count(*) || ' rows, ' || coalesce(sum(hashtext(t::text)::bigint), 0) as digest from ledger t`

function settingsOf(source: ArchivingCluster, major: Major): Record<string, string> {
  return { ...source.settings, WALG_PG_BIN_DIR: path.join(postgresDirectory(major), 'bin') }
}

async function startServer(data: string, settings: Record<string, string>): Promise<RestoredServer> {
  const port = await freePort()
  const server = spawn(
    path.join(settings['WALG_PG_BIN_DIR']!, 'postgres'),
    ['-D', data, '-p', String(port), '-c', 'archive_mode=off'],
    { ...asClusterUser, cwd: '/', stdio: 'ignore', env: { LC_ALL: 'C' }, detached: true },
  )
  server.unref()
  const restored = new RestoredServer(data, port)
  await untilTrue(
    async () => (await restored.query('select pg_is_in_recovery() as r'))[0]?.['r'] === false,
    60_000,
    'the promotion',
  )
  return restored
}

testUnless(
  missingPostgres(16),
  'restore --into-existing keeps what is right, repairs what is not, removes what is foreign, and loses no WAL that was never archived',
  async () => {
    await using source = await startArchivingCluster({ major: 16, segmentSizeMiB: 1 })
    const { cluster, place } = source
    const data = cluster.dataDirectory
    const tablespace = place.at('tablespace')
    mkdirSync(tablespace)
    giveToClusterUser(tablespace, 0o700)
    await cluster.query(LEDGER_SQL)
    await cluster.query(`create tablespace other location '${tablespace}'`)
    await cluster.query('create table quiet tablespace other as select generate_series(1, 5000) as id')
    await cluster.query('create table loud as select generate_series(1, 5000) as id')
    const fileOf = async (table: string): Promise<string> =>
      path.join(
        data,
        (await cluster.query<{ f: string }>(`select pg_relation_filepath('${table}') as f`))[0]!.f,
      )
    const [quiet, loud] = [await fileOf('quiet'), await fileOf('loud')]
    await cluster.query('checkpoint')
    await walg(['backup-push', data], source.connection())
    await archiveEverything(cluster)
    await cluster.query(`alter system set archive_command = 'false'`)
    await cluster.reload()
    await cluster.query(`insert into ledger (note) values ('never archived')`)
    await cluster.query('create table younger as select generate_series(1, 5000) as id')
    const expected = await digest(cluster, 'ledger')
    await cluster.kill()
    const before = statSync(quiet)
    rmSync(loud)
    writeFileSync(path.join(data, 'base/foreign'), 'x')
    mkdirSync(path.join(data, 'base/99999'))
    giveToClusterUser(path.join(data, 'base/99999'), 0o700)
    writeFileSync(path.join(data, 'base/99999/1'), 'x')

    const settings = settingsOf(source, 16)
    await walg(['restore', data, '--into-existing', '--latest', '--no-archive'], settings)
    const after = statSync(quiet)
    expect([after.ino, after.mtimeMs]).toEqual([before.ino, before.mtimeMs])
    expect(existsSync(path.join(data, 'base/foreign'))).toBe(false)
    expect(existsSync(path.join(data, 'base/99999'))).toBe(false)
    expect(statSync(loud).size).toBeGreaterThan(8192)
    await using server = await startServer(data, settings)
    expect((await server.query(LEDGER_DIGEST))[0]?.['digest']).toBe(expected)
    expect(await server.query('select count(*)::int as n from younger')).toEqual([{ n: 5000 }])
    expect(await server.query('select count(*)::int as n from quiet')).toEqual([{ n: 5000 }])
  },
  90_000,
)

testUnless(
  missingPostgres(16),
  'restore --into-existing refuses the directory of another cluster and what is no data directory',
  async () => {
    await using source = await startArchivingCluster({ major: 16, segmentSizeMiB: 1 })
    await walg(['backup-push', source.cluster.dataDirectory], source.connection())
    await archiveEverything(source.cluster)
    await using other = await startArchivingCluster({ major: 16, segmentSizeMiB: 1 })
    await other.cluster.stop()
    const files = source.place.at('files')
    mkdirSync(files)
    writeFileSync(path.join(files, 'precious'), 'x')
    giveToClusterUser(files, 0o700)
    for (const [directory, why] of [
      [other.cluster.dataDirectory, 'is the data directory of another cluster'],
      [files, 'it is not a data directory'],
    ] as const) {
      const names = readdirSync(directory).sort()
      const refused = await runWalg(['restore', directory, '--into-existing'], {
        env: source.settings,
        asClusterUser: true,
      })
      expect([refused.exit, refused.stderr]).toEqual([1, expect.stringContaining(why)])
      expect(readdirSync(directory).sort()).toEqual(names)
    }
  },
  60_000,
)

testUnless(
  missingPostgres(15),
  `a restore that is killed at any moment leaves a directory that does not start, and goes on when it is called again (SEED=${seed})`,
  async () => {
    await using source = await startArchivingCluster({ major: 15, segmentSizeMiB: 1, compression: 'none' })
    const { cluster, place } = source
    await cluster.query(LEDGER_SQL)
    await cluster.query(
      `create table big as select g, repeat(md5(g::text), 20) from generate_series(1, 30000) g`,
    )
    await walg(['backup-push', cluster.dataDirectory], {
      ...source.connection(),
      WALG_TAR_SIZE_THRESHOLD: '4194304',
    })
    await archiveEverything(cluster)
    const expected = await digest(cluster, 'ledger')
    await cluster.stop()
    const settings = settingsOf(source, 15)
    const random = seededRandom('killed restores')
    const begunMs = performance.now()
    await walg(['restore', place.at('timed'), '--latest', '--no-archive'], settings)
    const wholeMs = Math.ceil(performance.now() - begunMs)
    for (const isOver of [false, true]) {
      const data = place.at(isOver ? 'over' : 'fresh')
      if (isOver) {
        await walg(['restore', data, '--latest', '--no-archive'], settings)
        rmSync(path.join(data, 'PG_VERSION'))
        writeFileSync(path.join(data, 'PG_VERSION'), '15\n')
        giveToClusterUser(path.join(data, 'PG_VERSION'), 0o600)
      }
      const args = ['restore', data, '--latest', '--no-archive', ...(isOver ? ['--into-existing'] : [])]
      let kills = 0
      for (let round = 0; kills < 4; round++) {
        // one that was done before it could be killed would be refused the next time
        expect(round).toBeLessThan(40)
        const started = startWalgAsCluster(args, settings)
        await Bun.sleep(random.int(wholeMs))
        started.kill()
        const finished = await started.finished
        const hasControl = existsSync(path.join(data, 'global/pg_control'))
        const isRecorded = existsSync(path.join(data, 'wal-g_fetch_state'))
        // a directory that could start knows how far to recover
        if (hasControl && existsSync(path.join(data, 'backup_label')) && (isRecorded || !isOver)) {
          expect(existsSync(path.join(data, 'recovery.signal'))).toBe(true)
        }
        // over, or killed when nothing was left to do but to end
        const isComplete = finished.signal === null || (!isOver && hasControl && !isRecorded)
        if (!isComplete) kills++
        else if (!isOver) rmSync(data, { recursive: true, force: true })
      }
      await walg(args, settings)
      expect(readFileSync(path.join(data, 'postgresql.auto.conf'), 'utf8')).toContain('restore_command')
      await using server = await startServer(data, settings)
      expect((await server.query(LEDGER_DIGEST))[0]?.['digest']).toBe(expected)
    }
  },
  180_000,
)
