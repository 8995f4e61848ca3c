import { expect, test } from 'bun:test'
import { chmodSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { type Cluster, startCluster, startRestored } from '../../support/cluster.ts'
import { giveToClusterUser } from '../../support/cluster-user.ts'
import { seededRandom } from '../../support/seeded-random.ts'
import { untilTrue } from '../../support/until-true.ts'
import { walgBinary, walgCommand } from '../../support/walg.ts'
import {
  archiveEverything,
  digest,
  LEDGER_SQL,
  startArchivingCluster,
  startStandby,
  startWalgAsCluster,
  startWriteLoad,
  walg,
} from '../archiving-cluster.ts'
import { archivedNames, doneNames, lostNames, readyNames } from './archive-check.ts'

/** So that every segment can be compared with its object afterwards. */
const KEEP_ALL = { wal_keep_size: '2GB', max_wal_size: '2GB' }

interface ArchiverRow {
  readonly last: string | null
  readonly failed: number
  readonly lastFailed: string | null
}

async function archiver(cluster: Cluster): Promise<ArchiverRow> {
  const [row] = await cluster.query<ArchiverRow>(
    'select last_archived_wal as last, failed_count::int as failed, last_failed_wal as "lastFailed" from pg_stat_archiver',
  )
  return row!
}

async function useArchiveCommand(cluster: Cluster, command: string): Promise<void> {
  await cluster.query(`alter system set archive_command = '${command.replaceAll("'", "''")}'`)
  await cluster.reload()
}

/**
 * An archive_command that is killed after the delays (in seconds) that `plan` has, one for each call, `-` for none. The
 * first dies by the signal itself, which ends the archiver process too, the others fail plainly.
 */
const KILLED_COMMAND = `#!/bin/sh
plan=$1; walg=$2; file=$3
delay=$(sed -n 1p "$plan"); sed -i 1d "$plan"
if [ -z "$delay" ] || [ "$delay" = - ]; then exec "$walg" wal-push "$file"; fi
"$walg" wal-push "$file" & pid=$!
sleep "$delay"; kill -9 $pid 2>/dev/null && echo "killed after $delay s" >&2
wait $pid; status=$?
if [ $status -gt 125 ] && [ -e "$plan.gently" ]; then exit 1; fi
if [ $status -gt 125 ]; then touch "$plan.gently"; fi
exit $status
`

test('kill -9 hits wal-push under load again and again: whatever PostgreSQL regards as archived is there, bit for bit', async () => {
  const random = seededRandom('archiver')
  await using source = await startArchivingCluster({ major: 16, segmentSizeMiB: 1, settings: KEEP_ALL })
  const { cluster, place, repository, settings } = source
  await cluster.query(LEDGER_SQL)
  await archiveEverything(cluster)
  const script = place.at('archive.sh')
  writeFileSync(script, KILLED_COMMAND)
  giveToClusterUser(script, 0o755)
  const folder = place.at('plan')
  const plan = path.join(folder, 'delays')
  // a success after each kill: after three failures in a row the archiver pauses for a minute
  const delays = Array.from({ length: 10 }, () => `${(random.int(150) / 1000).toFixed(3)}\n-`)
  mkdirSync(folder)
  giveToClusterUser(folder, 0o755)
  writeFileSync(plan, `${delays.join('\n')}\n`)
  giveToClusterUser(plan)
  const variables = Object.entries(settings).map(([name, value]) => `${name}=${value}`)
  await useArchiveCommand(cluster, `env ${variables.join(' ')} ${script} ${plan} ${walgBinary()} %p`)

  const load = await startWriteLoad(cluster, 60)
  const isOver = async (): Promise<boolean> => {
    await cluster.reload() // wakes a postmaster that has an archiver to restart, else it sleeps for a minute
    await Bun.sleep(500)
    return readFileSync(plan, 'utf8').trim() === ''
  }
  await untilTrue(isOver, 90_000, 'the end of the killing')
  await load.stop()
  await archiveEverything(cluster, 90_000)
  const state = await archiver(cluster)
  expect(state.failed).toBeGreaterThan(0)
  expect(cluster.log()).toContain('killed after')
  const done = doneNames(cluster.dataDirectory)
  expect(done.length).toBeGreaterThan(10)
  expect(await lostNames(repository, cluster.dataDirectory, done)).toEqual([])
  const archived = await archivedNames(repository)
  expect([...archived.values()].filter(kind => kind === 'foreign')).toEqual([])
  expect(archived.has(state.last!)).toBe(true)
}, 180_000)

test('kill -9 at any point of a push or its background pushes never leaves an acknowledged file out', async () => {
  const random = seededRandom('kill')
  await using source = await startArchivingCluster({
    major: 18,
    segmentSizeMiB: 1,
    compression: 'zstd',
    settings: KEEP_ALL,
    cluster: { archiveCommand: 'false' },
  })
  const { cluster, repository, settings } = source
  await cluster.query(LEDGER_SQL)
  await cluster.query('insert into ledger (note) select md5(random()::text) from generate_series(1, 120000)')
  await cluster.stop()
  const status = path.join(cluster.dataDirectory, 'pg_wal/archive_status')
  const all = readyNames(cluster.dataDirectory)
  expect(all.length).toBeGreaterThan(20)
  let kills = 0
  for (let attempt = 0; readyNames(cluster.dataDirectory).length > 0; attempt++) {
    const [name = ''] = readyNames(cluster.dataDirectory)
    const env = { ...settings, PG_READY_RENAME: String(attempt % 2 === 0) }
    const push = startWalgAsCluster(['wal-push', path.join(cluster.dataDirectory, 'pg_wal', name)], env)
    const timer = setTimeout(() => push.kill(), kills < 30 ? 5 + random.int(80) : 60_000)
    const { exit, signal, stderr } = await push.finished
    clearTimeout(timer)
    if (signal === 'SIGKILL') kills++
    else {
      if (exit !== 0) throw new Error(`wal-push ${name}: ${exit}\n${stderr}`)
      renameSync(path.join(status, `${name}.ready`), path.join(status, `${name}.done`)) // as PostgreSQL does
    }
    if (attempt % 5 === 0 || signal === 'SIGKILL') {
      const done = doneNames(cluster.dataDirectory)
      expect(await lostNames(repository, cluster.dataDirectory, done)).toEqual([])
    }
  }
  expect(kills).toBeGreaterThan(0)
  expect(doneNames(cluster.dataDirectory)).toEqual(all)
  expect([...(await archivedNames(repository)).keys()].sort()).toEqual(all)
}, 120_000)

test('a second cluster that archives to the same place is warned about, and refused where names collide', async () => {
  await using first = await startArchivingCluster({
    major: 17,
    segmentSizeMiB: 1,
    cluster: { archiveCommand: 'true' },
    settings: KEEP_ALL,
  })
  const { cluster, repository, settings } = first
  for (let segment = 0; segment < 4; segment++) await archiveEverything(cluster)
  await useArchiveCommand(cluster, walgCommand(settings, 'wal-push %p'))
  await walg(['backup-push', cluster.dataDirectory], first.connection())
  const taken = await archiveEverything(cluster)

  const command = walgCommand(settings, 'wal-push %p')
  await using second = await startCluster({
    major: 17,
    segmentSizeMiB: 1,
    archiveCommand: command,
    settings: KEEP_ALL,
  })
  await second.query(LEDGER_SQL)
  for (let segment = 0; segment < 12; segment++) {
    await second.query(`insert into ledger (note) values ('more')`)
    await second.query('select pg_switch_wal()')
  }
  await untilTrue(async () => (await archiver(second)).failed >= 1, 60_000, 'the collision')
  expect(second.log()).toContain('comes from a cluster with system identifier')
  expect(second.log()).toContain('contents differ, unable to overwrite')
  const { lastFailed } = await archiver(second)
  expect(lastFailed! <= taken).toBe(true)
  const own = doneNames(cluster.dataDirectory).filter(name => name >= lastFailed!)
  expect(own).toContain(taken)
  expect(await lostNames(repository, cluster.dataDirectory, own)).toEqual([])

  await using third = await startCluster({
    major: 17,
    segmentSizeMiB: 1,
    archiveCommand: walgCommand({ ...settings, WALG_REQUIRE_SYSTEM_IDENTIFIER: 'true' }, 'wal-push %p'),
  })
  await third.query('select pg_switch_wal()')
  await untilTrue(async () => (await archiver(third)).failed >= 1, 30_000, 'the refusal')
  expect((await archiver(third)).last).toBeNull()
}, 120_000)

test('a storage that is away, then read-only for a while costs nothing: the archiver lives on and catches up', async () => {
  await using source = await startArchivingCluster({ major: 15, segmentSizeMiB: 1, settings: KEEP_ALL })
  const { cluster, repository } = source
  await cluster.query(LEDGER_SQL)
  await archiveEverything(cluster)
  const archiverPid = async (): Promise<unknown> =>
    (await cluster.query(`select pid from pg_stat_activity where backend_type = 'archiver'`))[0]?.['pid']
  const pid = await archiverPid()
  const failOnce = async (what: string): Promise<void> => {
    const { failed } = await archiver(cluster)
    await cluster.query('insert into ledger (note) select md5(g::text) from generate_series(1, 8000) g')
    await cluster.query('select pg_switch_wal()')
    await untilTrue(async () => (await archiver(cluster)).failed > failed, 30_000, what)
  }

  renameSync(repository, `${repository}.away`)
  await failOnce('the failure without storage')
  renameSync(`${repository}.away`, repository)
  await archiveEverything(cluster)

  chmodSync(path.join(repository, 'wal_005'), 0o555)
  await failOnce('the failure on a read-only storage')
  chmodSync(path.join(repository, 'wal_005'), 0o700)
  await archiveEverything(cluster)

  expect(await archiverPid()).toBe(pid)
  const done = doneNames(cluster.dataDirectory)
  expect(done.length).toBeGreaterThan(4)
  expect(await lostNames(repository, cluster.dataDirectory, done)).toEqual([])
}, 120_000)

test('a promoted standby archives its history and the partial segment; a restore follows the new timeline', async () => {
  await using source = await startArchivingCluster({ major: 17, segmentSizeMiB: 1, compression: 'zstd' })
  const { cluster: old, place, repository, settings } = source
  await old.query(LEDGER_SQL)
  await walg(['backup-push', old.dataDirectory], source.connection())
  await using promoted = await startStandby(source, 'standby', { archive_mode: 'on' })
  await old.query(`insert into ledger (note) values ('before the switch')`)
  const rows = async (cluster: Cluster, note: string): Promise<number> =>
    (await cluster.query<{ n: number }>('select count(*)::int as n from ledger where note = $1', [note]))[0]!
      .n
  await untilTrue(async () => (await rows(promoted, 'before the switch')) === 1, 30_000, 'replication')
  await promoted.query('select pg_promote()')
  await old.query(`insert into ledger (note) values ('LOST')`)
  await archiveEverything(old)
  await promoted.query(`insert into ledger (note) values ('kept')`)
  await archiveEverything(promoted)
  const kept = await digest(promoted, 'ledger')

  const names = await archivedNames(repository)
  expect(names.get('00000002.history')).toBe('history')
  const partial = [...names].find(([, kind]) => kind === 'partial')?.[0] ?? ''
  expect(partial).toMatch(/^00000001[0-9A-F]{16}\.partial$/)
  expect(names.get(partial.slice(0, 24))).toBe('segment')
  const second = await walg(['backup-push', promoted.dataDirectory], source.connection(promoted))
  expect(second.stderr).toMatch(/Wrote backup with name base_00000002/)
  await old.kill()
  await promoted.kill()

  const list = await walg(['backup-list', '--json'], settings)
  const [first, latest] = JSON.parse(list.stdout) as { backup_name: string }[]
  const restore = async (backup: string, more: Record<string, string>): Promise<Cluster> => {
    const data = place.at(`${backup}-${Object.values(more).join('')}`)
    await walg(['backup-fetch', data, backup], settings)
    const restore_command = walgCommand(settings, 'wal-fetch %f %p')
    return startRestored(data, { major: 17, settings: { restore_command, ...more } })
  }
  {
    await using restored = await restore(first!.backup_name, {})
    expect([await rows(restored, 'LOST'), await digest(restored, 'ledger')]).toEqual([0, kept])
    expect(restored.log()).toContain('selected new timeline ID: 3')
  }
  {
    await using restored = await restore(first!.backup_name, { recovery_target_timeline: '1' })
    expect([await rows(restored, 'LOST'), await rows(restored, 'kept')]).toEqual([1, 0])
  }
  await using restored = await restore(latest!.backup_name, {})
  expect(await digest(restored, 'ledger')).toBe(kept)
}, 120_000)
