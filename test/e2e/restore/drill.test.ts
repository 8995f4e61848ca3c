import { expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import pg from 'pg'
import { isAlive } from '../../../src/postgres/server/postmaster-file.ts'
import { giveToClusterUser } from '../../support/cluster-user.ts'
import { type Major, missingPostgres, postgresDirectory } from '../../support/postgres-binaries.ts'
import { testUnless } from '../../support/skip.ts'
import { tempDirectory } from '../../support/temp-directory.ts'
import { untilTrue } from '../../support/until-true.ts'
import { runWalg } from '../../support/walg.ts'
import {
  type ArchivingCluster,
  archiveEverything,
  LEDGER_SQL,
  startArchivingCluster,
  startWalgAsCluster,
  walg,
} from '../archiving-cluster.ts'

interface Case {
  readonly major: Major
  readonly hasTablespace: boolean
  readonly isEncrypted: boolean
}

const CASES: readonly Case[] = [
  { major: 13, hasTablespace: true, isEncrypted: false },
  { major: 14, hasTablespace: false, isEncrypted: true },
  { major: 15, hasTablespace: true, isEncrypted: false },
  { major: 16, hasTablespace: false, isEncrypted: false },
  { major: 17, hasTablespace: true, isEncrypted: true },
  { major: 18, hasTablespace: true, isEncrypted: false },
]

/** Name, size, time and content of every file below a directory. */
function fingerprint(directory: string): string[] {
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .sort()
    .map(name => {
      const file = path.join(directory, name)
      const info = statSync(file)
      if (info.isDirectory()) return name
      const digest = createHash('sha256').update(readFileSync(file)).digest('hex')
      return `${name} ${info.size} ${info.mtimeMs} ${digest}`
    })
}

async function startSource({ major, hasTablespace, isEncrypted }: Case): Promise<ArchivingCluster> {
  const source = await startArchivingCluster({
    major,
    segmentSizeMiB: 1,
    encryptionKey: isEncrypted ? '0123456789abcdef'.repeat(4) : undefined,
    // nothing of this may happen in the copy
    settings: { shared_preload_libraries: 'pg_stat_statements', max_prepared_transactions: 5 },
  })
  const { cluster, place } = source
  await cluster.query(LEDGER_SQL)
  await cluster.query('create database "zweite Datenbank"')
  await cluster.query(`alter database "zweite Datenbank" set session_preload_libraries = 'not_there'`)
  await cluster.query(`alter database "zweite Datenbank" set default_transaction_read_only = on`)
  if (hasTablespace) {
    mkdirSync(place.at('tablespace'))
    giveToClusterUser(place.at('tablespace'), 0o700)
    await cluster.query(`create tablespace other location '${place.at('tablespace')}'`)
    await cluster.query('create table elsewhere tablespace other as select generate_series(1, 1000) as id')
    await cluster.query('create index on elsewhere (id) tablespace other')
  }
  await walg(['backup-push', cluster.dataDirectory], source.connection())
  await cluster.query(`begin; insert into ledger (note) values ('prepared'); prepare transaction 'waiting'`)
  await cluster.query(`insert into ledger (note) select 'later' from generate_series(1, 500)`)
  if (hasTablespace) await createYoungTablespace(source)
  await archiveEverything(cluster)
  return source
}

/** WAL names its place: a copy that went there would write into files of the original. */
async function createYoungTablespace({ cluster, place }: ArchivingCluster): Promise<void> {
  mkdirSync(place.at('young'))
  giveToClusterUser(place.at('young'), 0o700)
  await cluster.query(`create tablespace young location '${place.at('young')}'`)
  await cluster.query('create table youngest tablespace young as select generate_series(1, 1000) as id')
  await cluster.query('create unlogged table lost (id int) tablespace young')
}

for (const one of CASES) {
  const { major, hasTablespace, isEncrypted } = one
  const title = `PostgreSQL ${major}${hasTablespace ? ', a tablespace' : ''}${isEncrypted ? ', encrypted' : ''}: a drill proves the backup, leaves the archive as it was byte for byte, and nothing behind`
  const runCase = async (): Promise<void> => {
    await using source = await startSource(one)
    const { cluster, place, repository } = source
    await cluster.query(`commit prepared 'waiting'`)
    await cluster.stop()
    const scratch = place.at('scratch')
    mkdirSync(scratch)
    giveToClusterUser(scratch, 0o700)
    const check = place.at('check.sql')
    writeFileSync(
      check,
      `do $$ begin assert (select count(*) from ledger where note = 'later') = 500; end $$;
       ${hasTablespace ? 'do $$ begin assert (select count(*) from youngest) = 1000; end $$;' : ''}`,
    )
    const before = fingerprint(repository)
    const young = hasTablespace ? fingerprint(place.at('young')) : []
    const settings = { ...source.settings, WALG_PG_BIN_DIR: path.join(postgresDirectory(major), 'bin') }
    const done = await walg(['drill', '--json', '--scratch', scratch, '--sql', check], settings)
    const report = JSON.parse(done.stdout)
    expect(report).toMatchObject({ result: 'OK', findings: [], timeline: 1, kept_in: null })
    expect(report.databases.map(({ name }: { name: string }) => name)).toEqual([
      'postgres',
      'template0',
      'template1',
      'zweite Datenbank',
    ])
    expect(report.databases.every(({ indexes }: { indexes: number }) => indexes > 90)).toBe(true)
    expect(report.databases.every(({ tables }: { tables: number }) => tables > 60)).toBe(true)
    expect(Date.parse(report.last_transaction.replace('+00', 'Z'))).toBeGreaterThan(Date.now() - 600_000)
    expect(report.rto_seconds).toBeGreaterThan(0)
    expect(report.rpo_seconds).toBeGreaterThan(0)
    expect(fingerprint(repository)).toEqual(before)
    expect(readdirSync(scratch)).toEqual([])
    if (!hasTablespace) return
    expect(readdirSync(place.at('tablespace')).length).toBe(1)
    expect(fingerprint(place.at('young'))).toEqual(young)
  }
  testUnless(missingPostgres(major), title, runCase, 180_000)
}

testUnless(
  missingPostgres(17),
  'a drill fails, with the names of what is wrong, when statements of the user fail or an index is damaged',
  async () => {
    await using source = await startArchivingCluster({
      major: 17,
      segmentSizeMiB: 1,
      cluster: { checksums: false },
    })
    const { cluster, place } = source
    await cluster.query(LEDGER_SQL)
    const [row] = await cluster.query<{ file: string }>(
      `select pg_relation_filepath('ledger_note_idx') as file`,
    )
    await cluster.stop()
    // two entries of a leaf page change places: only a check of the order can notice
    damageIndex(path.join(cluster.dataDirectory, row!.file))
    await cluster.start()
    await walg(['backup-push', cluster.dataDirectory], source.connection())
    await archiveEverything(cluster)
    await cluster.stop()
    const check = place.at('check.sql')
    writeFileSync(check, 'select 1 / 0')
    const settings = {
      ...source.settings,
      WALG_PG_BIN_DIR: path.join(postgresDirectory(17), 'bin'),
      TMPDIR: place.path,
    }
    const drill = await runWalg(['drill', '--json', '--keep', '--sql', check], {
      env: settings,
      asClusterUser: true,
    })
    expect(drill.exit).toBe(4)
    const report = JSON.parse(drill.stdout)
    expect(report.result).toBe('FAILURE')
    expect(report.findings).toEqual([
      expect.objectContaining({ database: 'postgres', object: 'public.ledger_note_idx' }),
      expect.objectContaining({
        object: 'the statements of --sql',
        message: expect.stringContaining('zero'),
      }),
    ])
    expect(existsSync(path.join(report.kept_in, 'data/global/pg_control'))).toBe(true)
    expect(existsSync(path.join(report.kept_in, 'data/postmaster.pid'))).toBe(false)
  },
  120_000,
)

testUnless(
  missingPostgres(16),
  'a drill finds a superuser of another name by itself, and still knows the last transaction',
  async () => {
    await using source = await startArchivingCluster({ major: 16, segmentSizeMiB: 1 })
    const { cluster } = source
    await cluster.query(LEDGER_SQL)
    await walg(['backup-push', cluster.dataDirectory], source.connection())
    await cluster.query(`create role helper superuser login password 'secret'`)
    const client = new pg.Client({
      host: cluster.host,
      port: cluster.port,
      user: 'helper',
      password: 'secret',
      database: 'postgres',
    })
    await client.connect()
    try {
      await client.query(`alter role postgres rename to "the boss"`)
      const [row] = (await client.query('select pg_walfile_name(pg_switch_wal()) as name')).rows
      const isArchived = async (): Promise<boolean> =>
        (await client.query('select last_archived_wal as last from pg_stat_archiver')).rows[0].last >=
        row.name
      await untilTrue(isArchived, 30_000, 'archiving')
    } finally {
      await client.end()
    }
    await cluster.stop()
    const settings = { ...source.settings, WALG_PG_BIN_DIR: path.join(postgresDirectory(16), 'bin') }
    const report = JSON.parse((await walg(['drill', '--json'], settings)).stdout)
    expect(report).toMatchObject({ result: 'OK', last_transaction: expect.stringContaining('+00') })
    expect(report.rpo_seconds).toBeGreaterThan(0)
  },
  120_000,
)

test('a drill that cannot begin leaves no scratch directory', async () => {
  using place = tempDirectory('drill')
  mkdirSync(place.at('scratch'))
  const env = { WALG_FILE_PREFIX: place.at('no-archive') }
  for (const args of [['--to-time', 'nonsense'], ['--timeline', 'x'], []]) {
    const drill = await runWalg(['drill', '--scratch', place.at('scratch'), ...args], { env })
    expect([drill.exit === 0, readdirSync(place.at('scratch'))]).toEqual([false, []])
  }
})

testUnless(
  missingPostgres(16),
  'what a drill left that was killed, its server among it, is taken away by the next one; what another drill uses or kept is not',
  async () => {
    await using source = await startArchivingCluster({ major: 16, segmentSizeMiB: 1 })
    const { cluster, place } = source
    await cluster.query(LEDGER_SQL)
    await walg(['backup-push', cluster.dataDirectory], source.connection())
    await archiveEverything(cluster)
    const scratch = place.at('scratch')
    mkdirSync(scratch)
    giveToClusterUser(scratch, 0o700)
    const settings = { ...source.settings, WALG_PG_BIN_DIR: path.join(postgresDirectory(16), 'bin') }
    const sleeping = place.at('sleep.sql')
    writeFileSync(sleeping, 'select pg_sleep(600)')
    const args = ['drill', '--scratch', scratch]
    const killed = startWalgAsCluster([...args, '--sql', sleeping], settings)
    const serverOf = (name: string): number | undefined => {
      const file = path.join(scratch, name, 'data/postmaster.pid')
      return existsSync(file) ? Number(readFileSync(file, 'utf8').split('\n', 1)[0]) : undefined
    }
    await untilTrue(
      () => readdirSync(scratch).some(name => serverOf(name) !== undefined),
      60_000,
      'its server',
    )
    const [left] = readdirSync(scratch)
    const pid = serverOf(left!)!
    killed.kill()
    await killed.finished
    expect(existsSync(path.join(scratch, left!))).toBe(true)
    const running = startWalgAsCluster([...args, '--sql', sleeping], settings)
    await untilTrue(
      () => readdirSync(scratch).some(name => name !== left && serverOf(name) !== undefined),
      60_000,
      'the server of the next one',
    )
    expect(running.stderr()).toContain(`Removed "${path.join(scratch, left!)}"`)
    expect(isAlive(pid)).toBe(false)
    const used = readdirSync(scratch)
    expect(used.length).toBe(1)
    await walg([...args, '--keep'], settings)
    const kept = readdirSync(scratch).filter(name => !used.includes(name))
    await walg(args, settings)
    expect(readdirSync(scratch).sort()).toEqual([...used, ...kept].sort())
    running.kill('SIGTERM')
    await running.finished
    expect(readdirSync(scratch)).toEqual(kept)
  },
  180_000,
)

/** Exchanges two line pointers of the second block (a leaf) and corrects nothing: checksums are off. */
function damageIndex(file: string): void {
  const bytes = readFileSync(file)
  const at = 8192 + 24 + 4 * 10
  const one = bytes.readUInt32LE(at)
  bytes.writeUInt32LE(bytes.readUInt32LE(at + 4 * 20), at)
  bytes.writeUInt32LE(one, at + 4 * 20)
  writeFileSync(file, bytes)
}
