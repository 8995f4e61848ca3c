import { describe, expect, setDefaultTimeout, test } from 'bun:test'
import { closeSync, cpSync, openSync, readdirSync, rmSync, writeSync } from 'node:fs'
import { hasCode } from '../../../src/kit/errors.ts'
import { backupPush } from '../../../src/operations/backup-push/backup-push.ts'
import { readControlFile } from '../../../src/postgres/control-file.ts'
import { startPair } from '../../postgres/standby.ts'
import { startCluster, startRestored } from '../../support/cluster.ts'
import { giveToClusterUser } from '../../support/cluster-user.ts'
import { newestPageLsn } from '../../support/newest-page.ts'
import { operationContext } from '../../support/operation-context.ts'
import { tempDirectory } from '../../support/temp-directory.ts'
import { untilTrue } from '../../support/until-true.ts'
import { runWalg, walgCommand } from '../../support/walg.ts'
import {
  listedBackups,
  NO_DELTA,
  pushOptions,
  readJson,
  storedObjects,
  unpackWithTar,
} from './backup-push-support.ts'

setDefaultTimeout(60_000)

const VERIFYING = { isVerifying: true, failsOnCorrupt: true }

/** No page is newer than the end of the backup: one that claims to be can be called damaged. */
function expectWithinItsWal(dataDirectory: string, repository: string, backup: string): void {
  const { FinishLSN } = readJson(repository, backup, 'sentinel')
  const newest = Number(newestPageLsn(dataDirectory))
  expect(newest).toBeGreaterThan(0)
  expect(newest).toBeLessThanOrEqual(Number(FinishLSN))
}

describe('backup-push of a directory at rest', () => {
  for (const major of [13, 18] as const) {
    test(`a cleanly shut down PostgreSQL ${major} is pushed without a connection and starts again`, async () => {
      await using cluster = await startCluster({ major })
      await cluster.query('create table t as select g, md5(g::text) from generate_series(1, 20000) g')
      await cluster.stop()
      using repository = tempDirectory('repository')
      const context = await operationContext(repository.path)
      const result = await backupPush(context, pushOptions(cluster.dataDirectory, VERIFYING))
      expectWithinItsWal(cluster.dataDirectory, repository.path, result.name)
      expect(listedBackups(repository.path)).toEqual([result.name])
      const files = readJson(repository.path, result.name, 'files_metadata.json')['Files'] as object
      expect(Object.keys(files).filter(name => /^\/pg_wal\/[0-9A-F]{24}$/.test(name)).length).toBe(1)
      const verified = await runWalg(['verify'], { env: { WALG_FILE_PREFIX: repository.path } })
      expect([verified.exit, verified.stdout]).toEqual([0, expect.stringContaining('verify: OK')])
      using target = tempDirectory('restored')
      unpackWithTar(repository.path, result.name, target.at('data'))
      await using restored = await startRestored(target.at('data'), { major, signal: 'none' })
      expect(await restored.query('select count(*)::int as n, min(md5) as md5 from t')).toEqual([
        { n: 20000, md5: expect.any(String) },
      ])
      expect(restored.log()).not.toContain('redo starts')
    }, 60_000)
  }

  test('a directory whose server was killed is refused with a hint', async () => {
    await using cluster = await startCluster({ major: 15 })
    await cluster.kill()
    using repository = tempDirectory('repository')
    const context = await operationContext(repository.path)
    const error = await backupPush(context, pushOptions(cluster.dataDirectory)).catch(failure => failure)
    expect(hasCode(error, 'CLUSTER_UNREACHABLE', 'CLUSTER_STATE')).toBe(true)
    expect(storedObjects(repository.path)).toEqual([])
  }, 60_000)

  test('the same directory twice: the second push is refused, and the first backup stays', async () => {
    await using cluster = await startCluster({ major: 15 })
    await cluster.stop()
    using repository = tempDirectory('repository')
    const context = await operationContext(repository.path)
    const { name } = await backupPush(context, pushOptions(cluster.dataDirectory))
    const before = storedObjects(repository.path)
    const error = await backupPush(context, pushOptions(cluster.dataDirectory)).catch(failure => failure)
    expect(hasCode(error, 'BACKUP_EXISTS')).toBe(true)
    expect(storedObjects(repository.path)).toEqual(before)
    expect(listedBackups(repository.path)).toEqual([name])
  }, 60_000)

  test('a delta of what has not changed says so, and advises only what can be done', async () => {
    await using cluster = await startCluster({ major: 15 })
    await cluster.stop()
    using repository = tempDirectory('repository')
    const context = await operationContext(repository.path)
    const delta = { ...NO_DELTA, stepsMax: 30 }
    const push = (isFull = false): ReturnType<typeof backupPush> =>
      backupPush(context, pushOptions(cluster.dataDirectory, { delta: { ...delta, isFull } }))
    const unchanged = async (): Promise<unknown> => await push().catch(failure => failure)
    await push()
    expect(await unchanged()).toMatchObject({
      code: 'DELTA_BASE_INVALID',
      message: expect.stringContaining('nothing has happened to the cluster since "base_'),
      hint: expect.not.stringContaining('--full'),
    })
    await cluster.start()
    await cluster.query('create table t as select g from generate_series(1, 1000) g')
    await cluster.query('select pg_switch_wal()')
    await cluster.stop()
    const { name } = await push()
    expect(name).toContain('_D_')
    expect(await unchanged()).toMatchObject({ hint: expect.stringContaining('--full') })
    expect((await push(true)).parent).toBeNull()
    expect(await unchanged()).toMatchObject({
      message: expect.stringContaining('nothing has happened'),
      hint: expect.not.stringContaining('--full'),
    })
  }, 60_000)

  test('without the WAL of its checkpoint nothing is pushed, and copy is named', async () => {
    await using cluster = await startCluster({ major: 15 })
    await cluster.stop()
    const wal = `${cluster.dataDirectory}/pg_wal`
    for (const name of readdirSync(wal)) if (/^[0-9A-F]{24}$/.test(name)) rmSync(`${wal}/${name}`)
    using repository = tempDirectory('repository')
    const context = await operationContext(repository.path)
    const error = await backupPush(context, pushOptions(cluster.dataDirectory)).catch(failure => failure)
    expect(hasCode(error, 'WAL_NOT_FOUND')).toBe(true)
    expect(error.hint).toContain('copy')
    expect(storedObjects(repository.path)).toEqual([])
  }, 60_000)

  test('a restored directory that was never started is pushed with its WAL, once that is to be had', async () => {
    using repository = tempDirectory('repository')
    giveToClusterUser(repository.path, 0o777)
    const archiveCommand = walgCommand({ WALG_FILE_PREFIX: repository.path }, 'wal-push %p')
    await using cluster = await startCluster({ major: 17, archiveCommand })
    await cluster.query('create table t as select g from generate_series(1, 1000) g')
    const context = await operationContext(repository.path)
    const { name } = await backupPush(context, pushOptions(cluster.dataDirectory, { cluster }))
    await cluster.stop()
    using place = tempDirectory('restored')
    const data = place.at('data')
    unpackWithTar(repository.path, name, data)

    // The same repository has that backup already, another one lacks the WAL.
    const same = await backupPush(context, pushOptions(data)).catch(failure => failure)
    expect(hasCode(same, 'BACKUP_EXISTS')).toBe(true)
    using other = tempDirectory('other')
    const otherContext = await operationContext(other.path)
    const lacking = await backupPush(otherContext, pushOptions(data)).catch(failure => failure)
    expect(hasCode(lacking, 'WAL_NOT_FOUND')).toBe(true)
    expect(lacking.hint).toContain('copy')
    expect(storedObjects(other.path)).toEqual([])

    cpSync(`${repository.path}/wal_005`, other.at('wal_005'), { recursive: true })
    const again = await backupPush(otherContext, pushOptions(data, VERIFYING))
    expect(again.name).toBe(name)
    expectWithinItsWal(data, other.path, name)
    const files = Object.keys(readJson(other.path, name, 'files_metadata.json')['Files'] as object)
    expect(files).not.toContain('/backup_label')
    expect(files.filter(each => /^\/pg_wal\/[0-9A-F]{24}$/.test(each)).length).toBeGreaterThan(0)

    // Without any archive: what the backup holds is enough.
    unpackWithTar(other.path, name, place.at('again'))
    await using restored = await startRestored(place.at('again'), { major: 17, signal: 'none' })
    expect(await restored.query('select count(*)::int as n from t')).toEqual([{ n: 1000 }])
    await restored.stop()

    // And once more, out of the WAL that the backup brought along.
    unpackWithTar(other.path, name, place.at('third'))
    using last = tempDirectory('last')
    const lastContext = await operationContext(last.path)
    expect((await backupPush(lastContext, pushOptions(place.at('third')))).name).toBe(name)
  }, 120_000)

  test('a standby that was shut down is pushed with the WAL up to where it had come', async () => {
    await using pair = await startPair(15)
    await pair.primary.query('create table t as select g from generate_series(1, 1000) g')
    await pair.primary.query('checkpoint')
    await pair.primary.query('insert into t select generate_series(1, 500)')
    const [{ lsn } = { lsn: '' }] = await pair.primary.query<{ lsn: string }>(
      'select pg_current_wal_lsn()::text as lsn',
    )
    const isThere = `select pg_last_wal_replay_lsn() >= '${lsn}' as ok`
    await untilTrue(
      async () => (await pair.standby.query<{ ok: boolean }>(isThere))[0]?.ok === true,
      30_000,
      'replay',
    )
    await pair.standby.stop()
    using repository = tempDirectory('repository')
    const context = await operationContext(repository.path)
    const { name } = await backupPush(context, pushOptions(pair.standby.dataDirectory, VERIFYING))
    expectWithinItsWal(pair.standby.dataDirectory, repository.path, name)
    using target = tempDirectory('restored')
    unpackWithTar(repository.path, name, target.at('data'))
    await using restored = await startRestored(target.at('data'), {
      major: 15,
      signal: 'standby',
      until: 'consistent',
      settings: { primary_conninfo: `host=127.0.0.1 port=${pair.primary.port} user=postgres` },
    })
    expect(await restored.query('select count(*)::int as n from t')).toEqual([{ n: 1500 }])
  }, 120_000)

  test('a server that is started meanwhile makes the push fail, and nothing is left', async () => {
    await using cluster = await startCluster({ major: 18 })
    await cluster.stop()
    using repository = tempDirectory('repository')
    const context = await operationContext(repository.path)
    const options = pushOptions(cluster.dataDirectory, { diskBytesPerSecond: 8 << 20 })
    const work = backupPush(context, options).catch(failure => failure)
    await untilTrue(() => context.messages.some(each => each.includes('Starting part 2')), 30_000, 'packing')
    await cluster.start()
    const error = await work
    expect(hasCode(error, 'CLUSTER_STATE')).toBe(true)
    expect(storedObjects(repository.path)).toEqual([])
  }, 60_000)

  test('a checkpoint that is not in the WAL beside it is noticed', async () => {
    await using cluster = await startCluster({ major: 18 })
    await cluster.stop()
    const wal = `${cluster.dataDirectory}/pg_wal`
    const segment = readdirSync(wal).find(name => /^[0-9A-F]{24}$/.test(name))!
    const { redoLsn } = await readControlFile(cluster.dataDirectory)
    const fd = openSync(`${wal}/${segment}`, 'r+')
    writeSync(fd, Buffer.alloc(64), 0, 64, Number(redoLsn % (16n << 20n)))
    closeSync(fd)
    using repository = tempDirectory('repository')
    const context = await operationContext(repository.path)
    const error = await backupPush(context, pushOptions(cluster.dataDirectory)).catch(failure => failure)
    expect(hasCode(error, 'WAL_INVALID')).toBe(true)
    expect(error.message).toContain(segment)
    expect(storedObjects(repository.path)).toEqual([])
  }, 60_000)
})
