import { describe, expect, test } from 'bun:test'
import { hasCode } from '../../../src/kit/errors.ts'
import { backupPush } from '../../../src/operations/backup-push/backup-push.ts'
import { startPair } from '../../postgres/standby.ts'
import { startRestored } from '../../support/cluster.ts'
import { operationContext } from '../../support/operation-context.ts'
import type { Major } from '../../support/postgres-binaries.ts'
import { tempDirectory } from '../../support/temp-directory.ts'
import { untilTrue } from '../../support/until-true.ts'
import { listedBackups, pushOptions, readJson, storedObjects, unpackWithTar } from './backup-push-support.ts'

const MAJORS: readonly Major[] = [13, 14, 15, 16, 17, 18]

describe('backup-push of a standby', () => {
  for (const major of MAJORS) {
    test(`PostgreSQL ${major}: a WARNING about the WAL, and a standby made of the backup follows the primary`, async () => {
      await using pair = await startPair(major)
      await pair.primary.query('create table t as select g from generate_series(1, 1000) g')
      await pair.primary.query('checkpoint')
      const [{ lsn } = { lsn: '' }] = await pair.primary.query<{ lsn: string }>(
        'select pg_current_wal_lsn()::text as lsn',
      )
      await untilTrue(
        async () =>
          (await pair.standby.query<{ ok: boolean }>(`select pg_last_wal_replay_lsn() >= '${lsn}' as ok`))[0]
            ?.ok === true,
        30_000,
        'the standby catching up',
      )
      using repository = tempDirectory('repository')
      const context = await operationContext(repository.path)
      const { name } = await backupPush(
        context,
        pushOptions(pair.standby.dataDirectory, { cluster: pair.standby }),
      )
      expect(context.messages.some(each => /^WARNING: .*standby/.test(each))).toBe(true)
      const sentinel = readJson(repository.path, name, 'sentinel')
      const before = BigInt(Number(sentinel['LSN'])) - 1n
      const digits = (before / (16n * 1024n * 1024n)).toString(16).toUpperCase().padStart(8, '0')
      expect(name).toBe(`base_0000000100000000${digits}`)

      using target = tempDirectory('restored')
      unpackWithTar(repository.path, name, target.at('data'))
      await using restored = await startRestored(target.at('data'), {
        major,
        signal: 'standby',
        until: 'consistent',
        settings: { primary_conninfo: `host=127.0.0.1 port=${pair.primary.port} user=postgres` },
      })
      expect(await restored.query('select count(*)::int as n from t')).toEqual([{ n: 1000 }])
    }, 120_000)
  }

  test('a promotion meanwhile: no backup', async () => {
    await using pair = await startPair(17)
    using repository = tempDirectory('repository')
    const context = await operationContext(repository.path)
    const options = pushOptions(pair.standby.dataDirectory, {
      cluster: pair.standby,
      diskBytesPerSecond: 5 * 1024 * 1024,
    })
    const work = backupPush(context, options).catch(error => error)
    await untilTrue(() => context.messages.some(each => each.includes('Starting part 2')), 30_000, 'packing')
    await pair.standby.query('select pg_promote()')
    expect(hasCode(await work, 'CLUSTER_STATE')).toBe(true)
    expect(listedBackups(repository.path)).toEqual([])
    expect(storedObjects(repository.path)).toEqual([])
  }, 120_000)
})
