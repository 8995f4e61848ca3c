import { describe, expect, test } from 'bun:test'
import { mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { startWire } from '../../doubles/wire.ts'
import { type Cluster, startRestored } from '../../support/cluster.ts'
import { giveTreeToClusterUser } from '../../support/cluster-template.ts'
import { giveToClusterUser } from '../../support/cluster-user.ts'
import type { Major } from '../../support/postgres-binaries.ts'
import { type Finished, startProcess } from '../../support/process.ts'
import { missingReference, reference, testUnless } from '../../support/skip.ts'
import { missingSmallDisk, runOnSmallDisk } from '../../support/small-disk.ts'
import { untilTrue } from '../../support/until-true.ts'
import { runWalg, startWalg, walgBinary, walgCommand } from '../../support/walg.ts'
import {
  type ArchivingCluster,
  admitReplication,
  archiveEverything,
  complaints,
  startArchivingCluster,
} from '../archiving-cluster.ts'

const MAJORS: readonly Major[] = [13, 14, 15, 16, 17, 18]
const ROWS = 20_000

interface RemoteScene extends AsyncDisposable {
  readonly archiving: ArchivingCluster
  readonly env: Readonly<Record<string, string>>
  readonly tablespace: string
}

/** A server with a tablespace, and a role that may take backups from elsewhere. */
async function openScene(major: Major): Promise<RemoteScene> {
  const archiving = await startArchivingCluster({ major, compression: 'zstd' })
  const { cluster, place } = archiving
  const tablespace = place.at('tablespace')
  mkdirSync(tablespace)
  giveToClusterUser(tablespace, 0o700)
  await admitReplication(cluster)
  await cluster.query(`create tablespace elsewhere location '${tablespace}'`)
  await cluster.query(`create table t as select g, md5(g::text) as text from generate_series(1, ${ROWS}) g`)
  await cluster.query('create table there tablespace elsewhere as select g from generate_series(1, 500) g')
  await cluster.query('checkpoint')
  return {
    archiving,
    tablespace,
    env: { ...archiving.connection(), WALG_TAR_SIZE_THRESHOLD: '3000000' },
    [Symbol.asyncDispose]: () => archiving[Symbol.asyncDispose](),
  }
}

function push({ env }: RemoteScene, more: Record<string, string> = {}, ...args: string[]): Promise<Finished> {
  return runWalg(['backup-push', ...args], { env: { ...env, ...more } })
}

async function lastBackup({ archiving }: RemoteScene): Promise<string> {
  const { stdout } = await runWalg(['backup-list', '--json'], { env: archiving.settings })
  return (JSON.parse(stdout) as { backup_name: string }[]).at(-1)!.backup_name
}

function damage(file: string, blocks: readonly number[]): void {
  const bytes = readFileSync(file)
  for (const block of blocks) bytes[block * 8192 + 4000]! ^= 0x40
  writeFileSync(file, bytes)
}

/** What `files_metadata.json` of the latest backup says of each file. */
async function filesOf(scene: RemoteScene): Promise<Record<string, { CorruptBlocks?: unknown }>> {
  const folder = path.join(scene.archiving.repository, 'basebackups_005', await lastBackup(scene))
  return JSON.parse(readFileSync(path.join(folder, 'files_metadata.json'), 'utf8')).Files
}

/** Restores LATEST beside the original, the tablespace in a place of its own. */
async function restore(scene: RemoteScene, program: 'ours' | 'original'): Promise<string> {
  const { archiving } = scene
  const directory = archiving.place.at(`restored-${program}`)
  const moved = archiving.place.at(`tablespace-${program}`)
  const backup = await lastBackup(scene)
  const sentinel = JSON.parse(
    readFileSync(
      path.join(archiving.repository, 'basebackups_005', `${backup}_backup_stop_sentinel.json`),
      'utf8',
    ),
  ) as { Spec: Record<string, { loc: string }> & { base_prefix: string; tablespaces: string[] } }
  const spec = structuredClone(sentinel.Spec)
  spec.base_prefix = directory
  for (const oid of spec.tablespaces) spec[oid]!.loc = moved
  const file = archiving.place.at(`spec-${program}.json`)
  writeFileSync(file, JSON.stringify(spec))
  const args = ['backup-fetch', directory, 'LATEST', '--restore-spec', file]
  const env = { ...archiving.settings, PATH: process.env['PATH'] }
  const run =
    program === 'ours'
      ? await runWalg(args, { env })
      : await startProcess(reference()!, args, { env }).finished
  if (run.exit !== 0) throw new Error(run.stderr)
  giveTreeToClusterUser(directory)
  giveTreeToClusterUser(moved)
  if (program === 'original') giveToClusterUser(directory, 0o700)
  if (program === 'original') giveToClusterUser(moved, 0o700)
  return directory
}

async function checkRestored(
  scene: RemoteScene,
  directory: string,
  major: Major,
  rows: number,
): Promise<void> {
  await using restored: Cluster = await startRestored(directory, {
    major,
    settings: {
      restore_command: walgCommand(scene.archiving.settings, 'wal-fetch %f %p'),
      recovery_target_action: 'promote',
    },
  })
  const [row] = await restored.query<{ rows: number; there: number }>(
    'select (select count(*)::int from t) as rows, (select count(*)::int from there) as there',
  )
  expect(row).toEqual({ rows, there: 500 })
}

describe('backup-push without a directory', () => {
  for (const major of MAJORS) {
    test(`PostgreSQL ${major}: comes over the wire, tablespaces included, and recovers with the archive`, async () => {
      await using scene = await openScene(major)
      const { cluster } = scene.archiving
      const run = await push(scene, {}, '--add-user-data', '{"big":12345678901234567890}')
      expect(run.exit).toBe(0)
      const name = await lastBackup(scene)
      expect(run.stderr).toContain(`Wrote backup with name ${name}\n`)
      const folder = path.join(scene.archiving.repository, 'basebackups_005', name, 'tar_partitions')
      expect(readdirSync(folder).length).toBeGreaterThan(4)
      const verified = await runWalg(['verify'], { env: scene.archiving.settings })
      expect(verified.stdout).toContain('verify: OK')

      await cluster.query('insert into t select g, null from generate_series(1, 100) g')
      await archiveEverything(cluster)
      const directory = await restore(scene, 'ours')
      expect(statSync(directory).mode & 0o777).toBe(0o700)
      await checkRestored(scene, directory, major, ROWS + 100)
    }, 120_000)
  }

  for (const major of [13, 17] as const) {
    testUnless(
      missingReference(),
      `PostgreSQL ${major}: the original lists and restores it`,
      async () => {
        await using scene = await openScene(major)
        expect((await push(scene)).exit).toBe(0)
        const env = { ...scene.archiving.settings, PATH: process.env['PATH'] }
        const list = await startProcess(reference()!, ['backup-list', '--detail'], { env }).finished
        expect(list.stdout).toContain(await lastBackup(scene))
        await checkRestored(scene, await restore(scene, 'original'), major, ROWS)
      },
      120_000,
    )

    test(`PostgreSQL ${major}: pages that the server finds damaged are recorded, and fatal when asked for`, async () => {
      await using scene = await openScene(major)
      const { cluster } = scene.archiving
      const [row] = await cluster.query<{ file: string; there: string }>(
        "select pg_relation_filepath('t') as file, pg_relation_filepath('there') as there",
      )
      const { file, there } = row!
      await cluster.stop()
      // the server itself names no more than five pages of a file, and tablespaces by their place
      const many = Array.from({ length: 12 }, (_, at) => 2 * at + 3)
      damage(path.join(cluster.dataDirectory, file), many)
      damage(path.join(cluster.dataDirectory, there), [1])
      await cluster.start()

      const strict = await push(scene, { WALG_FAIL_ON_CORRUPT: 'true' })
      expect(strict.exit).toBe(1)
      expect(strict.stderr).toContain('13 corrupt pages in 2 files: WALG_FAIL_ON_CORRUPT is set')

      const run = await push(scene, {}, '--verify')
      expect(run.exit).toBe(0)
      expect(run.stderr).toContain(`Corruption found in ${file}/[3, 5,`)
      expect(run.stderr).toContain(`public.t of database postgres "${file}": 3, 5,`)
      expect(run.stderr).toContain(`public.there of database postgres "${there}": 1`)
      const first = await filesOf(scene)
      expect(first[file]?.CorruptBlocks).toEqual({
        CorruptBlocksCount: 12,
        SomeCorruptBlocks: many.slice(0, 10),
      })
      expect(first[there]?.CorruptBlocks).toEqual({ CorruptBlocksCount: 1, SomeCorruptBlocks: [1] })
      expect((await push(scene, {}, '--verify', '--store-all-corrupt')).exit).toBe(0)
      expect((await filesOf(scene))[file]?.CorruptBlocks).toEqual({
        CorruptBlocksCount: 12,
        SomeCorruptBlocks: many,
      })
      expect((await push(scene)).exit).toBe(0)
    }, 120_000)
  }

  test('a killed one leaves nothing that is listed, and the next one works', async () => {
    await using scene = await openScene(16)
    const started = startWalg(['backup-push'], { env: { ...scene.env, WALG_DISK_RATE_LIMIT: '2000000' } })
    await untilTrue(async () => started.stderr().includes('Streaming remote backup'))
    started.kill('SIGKILL')
    await started.finished
    const list = await runWalg(['backup-list', '--json'], { env: scene.archiving.settings })
    expect(list.stdout.trim()).toBe('[]')
    expect((await push(scene)).exit).toBe(0)
  }, 120_000)

  test('SIGTERM ends it with 130 and takes back what was put', async () => {
    await using scene = await openScene(15)
    const started = startWalg(['backup-push'], { env: { ...scene.env, WALG_DISK_RATE_LIMIT: '2000000' } })
    await untilTrue(async () => started.stderr().includes('Finished writing part 1'))
    started.kill('SIGTERM')
    expect((await started.finished).exit).toBe(130)
    const left = readdirSync(scene.archiving.repository, { recursive: true }).map(String)
    expect(left.filter(name => name.includes('.tar'))).toEqual([])
  }, 120_000)

  test('a server that falls silent while it sends ends it, and nothing is left of it', async () => {
    await using scene = await openScene(17)
    await using wire = await startWire(scene.archiving.cluster.port)
    const env = {
      ...scene.env,
      PGHOST: '127.0.0.1',
      PGPORT: String(wire.port),
      WALG_STALL_TIMEOUT: '1s',
      WALG_DISK_RATE_LIMIT: '4000000',
    }
    const started = startWalg(['backup-push'], { env })
    await untilTrue(async () => started.stderr().includes('Finished writing part 1'))
    wire.stall()
    const { exit, stderr } = await started.finished
    expect([exit, stderr]).toEqual([1, expect.stringContaining('has sent nothing for 1 s')])
    const left = readdirSync(scene.archiving.repository, { recursive: true }).map(String)
    expect(left.filter(name => name.includes('.tar'))).toEqual([])
    expect((await runWalg(['backup-list', '--json'], { env: scene.archiving.settings })).stdout).toBe('[]\n')
  }, 120_000)

  testUnless(
    missingSmallDisk(),
    'a storage that fills up ends it, and gets its space back',
    async () => {
      await using scene = await openScene(16)
      const disk = scene.archiving.place.at('disk')
      // of our own user: in a user namespace nobody else's files can be read
      const passwords = scene.archiving.place.at('passwords')
      writeFileSync(passwords, readFileSync(scene.env['PGPASSFILE']!), { mode: 0o600 })
      const settings = Object.entries({ ...scene.env, WALG_FILE_PREFIX: disk, PGPASSFILE: passwords })
      const script =
        'disk=$1; shift; "$@"; echo "exit $?"; find "$disk" -mindepth 1 ! -type d -printf "left %P\\n"'
      const env = ['env', ...settings.map(([name, value]) => `${name}=${value}`)]
      const command = ['sh', '-c', script, 'sh', disk, ...env, walgBinary(), 'backup-push']
      const run = runOnSmallDisk(disk, 2 << 20, command)
      expect(run.stderr).toContain('Streaming remote backup')
      expect(run.stderr).toMatch(/no space|full/i)
      expect(run.stdout.trim()).toBe('exit 1')
    },
    120_000,
  )

  for (const major of [14, 18] as const) {
    test(`PostgreSQL ${major}: a tablespace that could not be restored is an error, and there is no backup`, async () => {
      await using scene = await openScene(major)
      const client = await scene.archiving.cluster.client()
      await client.query('set allow_in_place_tablespaces = on')
      await client.query(`create tablespace in_place location ''`)
      const refused = await push(scene)
      expect(refused.exit).toBe(1)
      expect(refused.stderr).toMatch(
        /"in_place" \(pg_tblspc\/\d+\) cannot be backed up over the replication protocol/,
      )
      expect((await runWalg(['backup-list', '--json'], { env: scene.archiving.settings })).stdout).toBe(
        '[]\n',
      )
    }, 120_000)
  }

  test('what has no effect is said, and the backup is taken', async () => {
    await using scene = await openScene(15)
    const run = await push(scene, {}, '--delta-from-name', 'nosuch', '--full')
    expect(run.exit).toBe(0)
    expect(complaints(run.stderr)).toEqual([
      expect.stringContaining('--delta-from-name has no effect without a data directory'),
    ])
  }, 120_000)

  test('sessions that rest while the server sends are not ended by its limits, and when they are, so is the backup', async () => {
    await using scene = await openScene(17)
    const { cluster } = scene.archiving
    const slow = { WALG_DISK_RATE_LIMIT: '8000000' }
    await cluster.query(`alter role wal_g set idle_session_timeout = '300ms'`)
    await cluster.query(`alter role wal_g set transaction_timeout = '300ms'`)
    expect(complaints((await push(scene, slow)).stderr)).toEqual([])

    const started = startWalg(['backup-push'], { env: { ...scene.env, WALG_DISK_RATE_LIMIT: '500000' } })
    await untilTrue(async () => started.stderr().includes('Streaming remote backup'))
    await cluster.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where usename = 'wal_g' and backend_type = 'client backend'`,
    )
    const { exit, stderr } = await started.finished
    expect([exit, stderr]).toEqual([1, expect.stringContaining('lost the connection to PostgreSQL')])
    expect(stderr).not.toContain('Finishing backup')
  }, 120_000)

  test('two at once are refused, and a role without REPLICATION is told what it needs', async () => {
    await using scene = await openScene(18)
    const first = startWalg(['backup-push'], { env: { ...scene.env, WALG_DISK_RATE_LIMIT: '2000000' } })
    await untilTrue(async () => first.stderr().includes('Streaming remote backup'))
    const second = await push(scene)
    expect(second.exit).toBe(1)
    expect(second.stderr).toContain('another backup of this cluster into this repository is running')
    first.kill('SIGKILL')
    await first.finished
    await scene.archiving.cluster.query('alter role wal_g noreplication')
    const refused = await push(scene)
    expect(refused.exit).toBe(1)
    expect(refused.stderr).toContain('the role needs REPLICATION')
  }, 120_000)
})

test('a server that archives elsewhere, and is idle, does not keep a backup waiting', async () => {
  await using source = await startArchivingCluster({
    major: 16,
    segmentSizeMiB: 1,
    cluster: { archiveCommand: 'true' },
  })
  await admitReplication(source.cluster)
  for (let round = 0; round < 2; round++) {
    const env = { ...source.connection(), WALG_STOP_BACKUP_TIMEOUT: '30s' }
    const { exit, stderr } = await runWalg(['backup-push'], { env })
    expect([exit, stderr]).toEqual([0, expect.stringContaining('archive_command puts it elsewhere')])
  }
}, 120_000)
