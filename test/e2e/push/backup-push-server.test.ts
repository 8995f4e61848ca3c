import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from 'bun:test'
import {
  chmodSync,
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import path from 'node:path'
import { hasCode } from '../../../src/kit/errors.ts'
import { backupPush } from '../../../src/operations/backup-push/backup-push.ts'
import { type Cluster, startCluster } from '../../support/cluster.ts'
import { giveToClusterUser } from '../../support/cluster-user.ts'
import { operationContext, type TestContext } from '../../support/operation-context.ts'
import { type TempDirectory, tempDirectory } from '../../support/temp-directory.ts'
import { untilTrue } from '../../support/until-true.ts'
import { runWalg, startWalg, walgCommand } from '../../support/walg.ts'
import { listedBackups, pushOptions, readJson, storedObjects } from './backup-push-support.ts'

setDefaultTimeout(60_000)

const MIB = 1024 * 1024

let place: TempDirectory
let repository: string
let cluster: Cluster

beforeAll(async () => {
  place = tempDirectory('server')
  repository = place.at('repository')
  mkdirSync(repository)
  giveToClusterUser(repository, 0o777)
  await archiveWith(ourArchiveCommand())
  cluster = await startCluster({
    major: 16,
    archiveCommand: `sh ${scriptPath()} %p %f`,
    settings: { max_prepared_transactions: '2' },
  })
  await cluster.query('create table t as select g, md5(g::text) from generate_series(1, 1000) g')
}, 60_000)

afterAll(async () => {
  await cluster.remove()
  place.remove()
})

beforeEach(async () => {
  rmSync(path.join(repository, 'basebackups_005'), { recursive: true, force: true })
  await archiveWith(ourArchiveCommand())
})

function ourArchiveCommand(): string {
  return walgCommand({ WALG_FILE_PREFIX: repository }, 'wal-push %p')
}

/** The server's command stays the same file: a reload reaches the archiver at a time of its own. */
async function archiveWith(command: string): Promise<void> {
  writeFileSync(
    `${scriptPath()}.next`,
    `#!/bin/sh\n${command.replaceAll('%p', '"$1"').replaceAll('%f', '"$2"')}\n`,
  )
  chmodSync(`${scriptPath()}.next`, 0o755)
  renameSync(`${scriptPath()}.next`, scriptPath())
}

function scriptPath(): string {
  return place.at('archive.sh')
}

async function failure(work: Promise<unknown>): Promise<Error> {
  return work.then(
    () => new Error('it succeeded'),
    error => error as Error,
  )
}

function env(): Record<string, string> {
  return { ...cluster.environment, WALG_FILE_PREFIX: repository }
}

/** The sessions of backups that run on the server: each holds an advisory lock. */
async function backupSessions(): Promise<number> {
  const [row] = await cluster.query<{ n: number }>(
    "select count(*)::int as n from pg_locks where locktype = 'advisory'",
  )
  return row?.n ?? 0
}

/** The messages of a push that is held back to a few seconds, and what it comes to. */
async function slowPush(
  meanwhile: (context: TestContext) => Promise<void>,
  changes: Parameters<typeof pushOptions>[1] = {},
): Promise<{ readonly error: Error; readonly context: TestContext }> {
  const context = await operationContext(repository)
  const options = pushOptions(cluster.dataDirectory, { cluster, diskBytesPerSecond: 3 * MIB, ...changes })
  const work = failure(backupPush(context, options))
  await untilTrue(() => context.messages.some(each => each.includes('Starting part 2')), 30_000, 'packing')
  await meanwhile(context)
  return { error: await work, context }
}

function expectNothing(): void {
  expect(listedBackups(repository)).toEqual([])
  expect(storedObjects(repository)).toEqual([])
}

describe('backup-push and the server it belongs to', () => {
  test('a directory of another server is refused, with both names', async () => {
    await using other = await startCluster({ major: 16, settings: { max_connections: 10 } })
    const context = await operationContext(repository)
    const error = await failure(backupPush(context, pushOptions(other.dataDirectory, { cluster })))
    expect(hasCode(error, 'CLUSTER_STATE')).toBe(true)
    expect(error.message).toBe(
      `Data directory from command line '${other.dataDirectory}' is not the same as Postgres' one '${cluster.dataDirectory}'`,
    )
    expectNothing()
  }, 60_000)

  test('a wrong WALG_PG_WAL_SIZE is refused and the right one named', async () => {
    const context = await operationContext(repository)
    const options = pushOptions(cluster.dataDirectory, { cluster, walSegmentBytes: 64 * MIB })
    const error = await failure(backupPush(context, options))
    expect(hasCode(error, 'SETTING_INVALID')).toBe(true)
    expect((error as { hint?: string }).hint).toContain('WALG_PG_WAL_SIZE=16')
  })

  test('a second backup into the same repository is refused while one runs, and the first succeeds', async () => {
    let second: Error | undefined
    const { error } = await slowPush(async () => {
      const context = await operationContext(repository)
      second = await failure(backupPush(context, pushOptions(cluster.dataDirectory, { cluster })))
    })
    expect(hasCode(second, 'CLUSTER_STATE')).toBe(true)
    expect(second?.message).toContain('another backup')
    expect(error.message).toBe('it succeeded')
    expect(listedBackups(repository).length).toBe(1)
    expect(await backupSessions()).toBe(0)
  }, 60_000)

  test('tablespaces are in the backup and in Spec', async () => {
    using tablespace = tempDirectory('tablespace')
    await cluster.query(`create tablespace ts location '${tablespace.path}'`)
    await cluster.query('create table in_ts tablespace ts as select generate_series(1, 100) g')
    const [{ oid } = { oid: 0 }] = await cluster.query<{ oid: number }>(
      "select oid::int from pg_tablespace where spcname = 'ts'",
    )
    const context = await operationContext(repository)
    const { name } = await backupPush(context, pushOptions(cluster.dataDirectory, { cluster }))
    await cluster.query('drop table in_ts')
    await cluster.query('drop tablespace ts')
    expect(readJson(repository, name, 'sentinel')['Spec']).toEqual({
      [String(oid)]: { loc: tablespace.path, link: `pg_tblspc/${oid}` },
      base_prefix: cluster.dataDirectory,
      tablespaces: [String(oid)],
    })
    const files = readJson(repository, name, 'files_metadata.json')['Files'] as object
    const inside = Object.keys(files).filter(each => each.startsWith(`/pg_tblspc/${oid}/PG_16_`))
    expect(inside.some(each => /\/\d+\/\d+$/.test(each))).toBe(true)
  }, 60_000)

  test('the state of a prepared transaction is in the backup, half a state is not', async () => {
    await cluster.query("begin; insert into t values (0, ''); prepare transaction 'x'")
    await cluster.query('checkpoint')
    const folder = path.join(cluster.dataDirectory, 'pg_twophase')
    const [whole] = readdirSync(folder)
    const torn = '00FFFFFF'
    writeFileSync(path.join(folder, torn), readFileSync(path.join(folder, whole!)).subarray(0, 100))
    const context = await operationContext(repository)
    const { name } = await backupPush(context, pushOptions(cluster.dataDirectory, { cluster }))
    rmSync(path.join(folder, torn))
    await cluster.query("rollback prepared 'x'")
    const files = readJson(repository, name, 'files_metadata.json')['Files'] as object
    expect(Object.keys(files).filter(file => file.startsWith('/pg_twophase/'))).toEqual([
      `/pg_twophase/${whole}`,
    ])
  }, 60_000)

  test('damaged pages are recorded and warned about, and the push succeeds', async () => {
    await cluster.query(
      'create table damaged as select g, repeat(md5(g::text), 20) from generate_series(1, 400) g',
    )
    const [{ file } = { file: '' }] = await cluster.query<{ file: string }>(
      "select pg_relation_filepath('damaged') as file",
    )
    await cluster.query('checkpoint')
    const fd = openSync(path.join(cluster.dataDirectory, file), 'r+')
    const blocks = Array.from({ length: 12 }, (_, n) => 1 + 2 * n)
    for (const block of blocks) writeSync(fd, 'damage', block * 8192 + 4000)
    closeSync(fd)
    for (const storesAllCorrupt of [false, true]) {
      const context = await operationContext(repository)
      const options = pushOptions(cluster.dataDirectory, { cluster, isVerifying: true, storesAllCorrupt })
      const { name, corruptPagesCount } = await backupPush(context, options)
      expect(corruptPagesCount).toBe(12)
      const files = readJson(repository, name, 'files_metadata.json')['Files'] as Record<string, object>
      expect(files[`/${file}`]).toMatchObject({
        CorruptBlocks: {
          CorruptBlocksCount: 12,
          SomeCorruptBlocks: storesAllCorrupt ? blocks : blocks.slice(0, 10),
        },
      })
      const marked = Object.values(files).filter(each => 'CorruptBlocks' in each)
      expect(marked.length).toBe(1)
      expect(context.messages.some(each => each.startsWith('WARNING: Corruption found in'))).toBe(true)
    }
    await cluster.query('drop table damaged')
  }, 60_000)
})

describe('backup-push and the archive', () => {
  test('a failing archive_command: told why while it waits, then a timeout and no backup', async () => {
    await archiveWith('echo no >&2; false')
    const context = await operationContext(repository)
    const options = pushOptions(cluster.dataDirectory, { cluster, stopTimeoutMs: 4000 })
    const error = await failure(backupPush(context, options))
    expect(hasCode(error, 'TIMEOUT')).toBe(true)
    expect(error.message).toMatch(/within \d(\.\d)?s \(WALG_STOP_BACKUP_TIMEOUT\)/)
    expect(error.message).toContain('archive_command has failed')
    expect(context.messages.some(each => /^INFO: Waiting for PostgreSQL to archive "0/.test(each))).toBe(true)
    expect(
      context.messages.some(each => /^WARNING: still waiting .* archive_command has failed/.test(each)),
    ).toBe(true)
    expectNothing()
  }, 60_000)

  test('an archive_command that comes right lets the backup finish', async () => {
    await archiveWith('false')
    const context = await operationContext(repository)
    const work = backupPush(context, pushOptions(cluster.dataDirectory, { cluster }))
    await untilTrue(
      () => context.messages.some(each => each.includes('Waiting for PostgreSQL')),
      30_000,
      'waiting',
    )
    expect(listedBackups(repository)).toEqual([])
    await archiveWith(ourArchiveCommand())
    const { name } = await work
    expect(listedBackups(repository)).toEqual([name])

    // failures that are over do not explain why the next one waits
    await archiveWith('sleep 6; false')
    const slow = await operationContext(repository)
    const error = await failure(
      backupPush(slow, pushOptions(cluster.dataDirectory, { cluster, stopTimeoutMs: 3000 })),
    )
    expect(hasCode(error, 'TIMEOUT')).toBe(true)
    expect(error.message).toContain('the last file archived is "')
  }, 120_000)

  test('an archive_command that loses WAL is found out: no backup', async () => {
    await cluster.query('select pg_switch_wal()')
    await untilTrue(() => readdirSync(repository).includes('wal_005'), 30_000, 'WAL in the repository')
    await archiveWith('true')
    const context = await operationContext(repository)
    const error = await failure(backupPush(context, pushOptions(cluster.dataDirectory, { cluster })))
    expect(hasCode(error, 'WAL_NOT_ARCHIVED')).toBe(true)
    expectNothing()
  }, 60_000)

  test('an archive somewhere else, or none, is a WARNING', async () => {
    using elsewhere = tempDirectory('elsewhere')
    using other = tempDirectory('other')
    await archiveWith(`cp %p ${elsewhere.path}/%f`)
    const context = await operationContext(other.path)
    await backupPush(context, pushOptions(cluster.dataDirectory, { cluster }))
    expect(context.messages.some(each => /^WARNING: .*archive_command puts it elsewhere/.test(each))).toBe(
      true,
    )

    await using bare = await startCluster({ major: 16 })
    const quiet = await operationContext(other.path)
    await backupPush(quiet, pushOptions(bare.dataDirectory, { cluster: bare }))
    expect(quiet.messages.some(each => /^WARNING: archive_mode is "off"/.test(each))).toBe(true)
  }, 60_000)
})

describe('backup-push that is interrupted', () => {
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT'] as const) {
    test(`${signal} stops the backup on the server and leaves nothing`, async () => {
      const walg = startWalg(['backup-push', cluster.dataDirectory], {
        env: { ...env(), WALG_DISK_RATE_LIMIT: String(3 * MIB) },
      })
      await untilTrue(() => walg.stderr().includes('Starting part 2'), 30_000, 'packing')
      expect(await backupSessions()).toBe(1)
      walg.kill(signal)
      const { exit } = await walg.finished
      expect(exit).toBeGreaterThan(0)
      expectNothing()
      await untilTrue(async () => (await backupSessions()) === 0, 10_000, 'the backup ending on the server')
    }, 60_000)
  }

  test('kill -9 at several moments: nothing is listed, and the next push works', async () => {
    // the last moment lasts until the WAL is archived
    const hold = place.at('hold')
    writeFileSync(hold, '')
    await archiveWith(`while [ -e ${hold} ]; do sleep 0.05; done; ${ourArchiveCommand()}`)
    for (const moment of [
      'Calling pg_start_backup',
      'Starting part 1',
      'Starting part 2',
      'Calling pg_stop_backup',
      'backup_label',
    ]) {
      const walg = startWalg(['backup-push', cluster.dataDirectory], {
        env: { ...env(), WALG_DISK_RATE_LIMIT: String(20 * MIB) },
      })
      await untilTrue(() => walg.stderr().includes(moment), 30_000, moment)
      walg.kill('SIGKILL')
      expect((await walg.finished).signal).toBe('SIGKILL')
      expect(listedBackups(repository)).toEqual([])
    }
    rmSync(hold)
    const run = await runWalg(['backup-push', cluster.dataDirectory], { env: env() })
    expect(run.stderr).toContain('Wrote backup with name base_')
    expect(run.exit).toBe(0)
    expect(listedBackups(repository).length).toBe(1)
  }, 120_000)

  test('a session ended on the server ends the push at once', async () => {
    const { error } = await slowPush(async () => {
      await cluster.query(
        "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and pid <> pg_backend_pid()",
      )
    })
    expect(hasCode(error, 'CLUSTER_UNREACHABLE')).toBe(true)
    expectNothing()
  }, 60_000)

  test('a server that dies ends the push', async () => {
    await using victim = await startCluster({ major: 16 })
    const context = await operationContext(repository)
    const options = pushOptions(victim.dataDirectory, { cluster: victim, diskBytesPerSecond: 3 * MIB })
    const work = failure(backupPush(context, options))
    await untilTrue(() => context.messages.some(each => each.includes('Starting part 2')), 30_000, 'packing')
    await victim.kill()
    const error = await work
    expect(hasCode(error, 'CLUSTER_UNREACHABLE')).toBe(true)
    expectNothing()
  }, 60_000)

  test('a server that hangs is noticed by the alive check', async () => {
    await using victim = await startCluster({ major: 16 })
    const context = await operationContext(repository)
    const options = pushOptions(victim.dataDirectory, {
      cluster: victim,
      diskBytesPerSecond: MIB,
      aliveCheckMs: 200,
    })
    const work = failure(backupPush(context, options))
    await untilTrue(() => context.messages.some(each => each.includes('Starting part 2')), 30_000, 'packing')
    const pids = await victim.query<{ pid: number }>(
      "select pid from pg_locks where locktype = 'advisory' and pid <> pg_backend_pid()",
    )
    for (const { pid } of pids) process.kill(pid, 'SIGSTOP')
    const error = await work
    for (const { pid } of pids) process.kill(pid, 'SIGCONT')
    expect(hasCode(error, 'CLUSTER_UNREACHABLE')).toBe(true)
    expect(error.message).toMatch(/PG alive check failed|no answer from PostgreSQL/)
    expectNothing()
  }, 90_000)
})
