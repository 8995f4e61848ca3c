import { describe, expect, test } from 'bun:test'
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { startCluster, startRestored } from './cluster.ts'
import { giveToClusterUser } from './cluster-user.ts'
import { MAJORS, missingPostgres } from './postgres-binaries.ts'
import { describeUnless } from './skip.ts'
import { tempDirectory } from './temp-directory.ts'
import { untilArchived } from './until-archived.ts'
import { untilTrue } from './until-true.ts'

for (const major of MAJORS) {
  describeUnless(missingPostgres(major), `PostgreSQL ${major} of the tests`, () => {
    test('archives, survives SIGKILL, and comes back from a copy with its WAL', async () => {
      using archive = tempDirectory('archive')
      await using cluster = await startCluster({
        major,
        segmentSizeMiB: 1,
        archiveCommand: `cp "%p" "${archive.path}/%f"`,
      })
      expect((await cluster.query('show data_checksums'))[0]).toEqual({ data_checksums: 'on' })
      const [start, stop] =
        major >= 15
          ? [`select pg_backup_start('b', true)`, 'select labelfile from pg_backup_stop(false)']
          : [`select pg_start_backup('b', true, false)`, 'select labelfile from pg_stop_backup(false, false)']
      await cluster.query('create table t as select 1 as a')
      await cluster.query(start)
      using restored = tempDirectory('restored')
      const target = restored.at('data')
      cpSync(cluster.dataDirectory, target, {
        recursive: true,
        filter: file => !/postmaster\.(pid|opts)$|pg_wal\/.+/.test(file),
      })
      rmSync(path.join(target, 'pg_wal'), { recursive: true, force: true })
      mkdirSync(path.join(target, 'pg_wal'))
      const [label] = await cluster.query<{ labelfile: string }>(stop)
      writeFileSync(path.join(target, 'backup_label'), label!.labelfile)
      await cluster.query('insert into t values (2)')
      await cluster.query('select pg_switch_wal()')
      await untilTrue(() => readdirSync(archive.path).length >= 2)
      await cluster.kill()
      await cluster.start()
      expect(await cluster.query('select a from t order by a')).toEqual([{ a: 1 }, { a: 2 }])
      await untilArchived(cluster)

      // slow, so that it takes queries long before it has promoted itself
      await using copy = await startRestored(target, {
        major,
        settings: { restore_command: `sleep 0.2 && cp "${archive.path}/%f" "%p"` },
      })
      expect(await copy.query('select pg_is_in_recovery() as yes')).toEqual([{ yes: false }])
      expect(await copy.query('select a from t order by a')).toEqual([{ a: 1 }, { a: 2 }])
    }, 60_000)
  })
}

describe('clusters of the tests', () => {
  test('two clusters have different system identifiers, and nothing is left after removal', async () => {
    const one = await startCluster({ major: 17 })
    const two = await startCluster({ major: 17, checksums: false })
    const identifier = 'select system_identifier::text as id from pg_control_system()'
    expect(await one.query(identifier)).not.toEqual(await two.query(identifier))
    await one.remove()
    await two.remove()
    expect(existsSync(one.directory)).toBe(false)
    expect(existsSync(two.directory)).toBe(false)
  }, 60_000)

  test('a server that cannot start is an error with its log', async () => {
    using broken = tempDirectory('broken')
    writeFileSync(broken.at('PG_VERSION'), '17\n')
    giveToClusterUser(broken.path)
    await expect(startRestored(broken.path, { major: 17 })).rejects.toThrow(/ended while starting/)
  })
})
