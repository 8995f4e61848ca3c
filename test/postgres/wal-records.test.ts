import { expect } from 'bun:test'
import { mkdirSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { collect } from '../../src/kit/bytes.ts'
import { openRecordChecker } from '../../src/postgres/wal/record-checker.ts'
import { openPayload } from '../../src/repository/sealed.ts'
import { listWal } from '../../src/repository/wal-catalog.ts'
import { backupFixtures, extractFixture, needsKey, readFixture } from '../interop/fixture.ts'
import { startCluster } from '../support/cluster.ts'
import { giveToClusterUser } from '../support/cluster-user.ts'
import { operationContext } from '../support/operation-context.ts'
import { MAJORS, missingPostgres } from '../support/postgres-binaries.ts'
import { missingInterop, testUnless } from '../support/skip.ts'
import { tempDirectory } from '../support/temp-directory.ts'

/** What the checker says against a segment, undefined when nothing. */
function trouble(name: string, bytes: Uint8Array): string | undefined {
  const checker = openRecordChecker(name)
  checker.update(bytes)
  try {
    checker.end()
    return undefined
  } catch (error) {
    return String(error)
  }
}

for (const major of MAJORS) {
  testUnless(
    missingPostgres(major),
    `PostgreSQL ${major}: the records of every archived segment pass, after crashes under load, too`,
    async () => {
      using place = tempDirectory('records')
      const archive = place.at('archive')
      mkdirSync(archive)
      giveToClusterUser(archive)
      await using cluster = await startCluster({
        major,
        segmentSizeMiB: 1,
        archiveCommand: `cp %p ${archive}/%f`,
        settings: { wal_level: 'logical' },
      })
      await cluster.query('create table t (a text)')
      for (let crash = 0; crash < 4; crash++) {
        const client = await cluster.client()
        const load = client.query(
          `do $$ begin for i in 1..5000 loop insert into t values (repeat(md5(i::text), 1 + i % 300)); commit; end loop; end $$`,
        )
        load.catch(() => undefined)
        await Bun.sleep(150 + 70 * crash)
        await cluster.kill()
        await cluster.start()
      }
      await cluster.query('select pg_switch_wal()')
      await cluster.stop() // the archiver does what is left
      const names = readdirSync(archive).filter(name => name.length === 24)
      expect(names.length).toBeGreaterThan(3)
      for (const name of names)
        expect([name, trouble(name, readFileSync(path.join(archive, name)))]).toEqual([name, undefined])
    },
    60_000,
  )
}

testUnless(
  missingInterop(),
  'the records of every segment in the repositories of the original pass',
  async () => {
    using place = tempDirectory('records')
    let count = 0
    for (const fixture of backupFixtures().map(({ fixture }) => fixture)) {
      if (needsKey(readFixture(fixture))) continue
      const context = await operationContext(extractFixture(fixture, place.path))
      for await (const { kind, file } of listWal(context.storage)) {
        if (kind !== 'segment') continue
        const stream = await openPayload(context.storage, context.codec, `wal_005/${file}`)
        expect([fixture, file, trouble(file, await collect(stream, 64 << 20))]).toEqual([
          fixture,
          file,
          undefined,
        ])
        count++
      }
    }
    expect(count).toBeGreaterThan(100)
  },
  120_000,
)
