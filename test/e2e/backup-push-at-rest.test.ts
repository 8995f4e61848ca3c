import { describe, expect, test } from 'bun:test'
import { readdirSync } from 'node:fs'
import { hasCode } from '../../src/kit/errors.ts'
import { backupPush } from '../../src/operations/backup-push/backup-push.ts'
import { startCluster, startRestored } from '../support/cluster.ts'
import { operationContext } from '../support/operation-context.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { listedBackups, pushOptions, readJson, storedObjects, unpackWithTar } from './backup-push-support.ts'

describe('backup-push of a directory at rest', () => {
  for (const major of [13, 18] as const) {
    test(`a cleanly shut down PostgreSQL ${major} is pushed without a connection and starts again`, async () => {
      await using cluster = await startCluster({ major })
      await cluster.query('create table t as select g, md5(g::text) from generate_series(1, 20000) g')
      await cluster.stop()
      using repository = tempDirectory('repository')
      const context = await operationContext(repository.path)
      const result = await backupPush(context, pushOptions(cluster.dataDirectory))
      expect(listedBackups(repository.path)).toEqual([result.name])
      const files = readJson(repository.path, result.name, 'files_metadata.json')['Files'] as object
      expect(Object.keys(files).filter(name => /^\/pg_wal\/[0-9A-F]{24}$/.test(name)).length).toBe(1)
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

  test('without the WAL of its checkpoint nothing is pushed, and copy is named', async () => {
    await using cluster = await startCluster({ major: 15 })
    await cluster.stop()
    const wal = `${cluster.dataDirectory}/pg_wal`
    const { rmSync } = await import('node:fs')
    for (const name of readdirSync(wal)) if (/^[0-9A-F]{24}$/.test(name)) rmSync(`${wal}/${name}`)
    using repository = tempDirectory('repository')
    const context = await operationContext(repository.path)
    const error = await backupPush(context, pushOptions(cluster.dataDirectory)).catch(failure => failure)
    expect(hasCode(error, 'WAL_NOT_FOUND')).toBe(true)
    expect(error.hint).toContain('copy')
    expect(storedObjects(repository.path)).toEqual([])
  }, 60_000)
})
