// Every command is printed as it is run, so that it can be repeated by hand.
import { writeFileSync } from 'node:fs'
import path from 'node:path'
import { freePort } from '../../test/support/cluster.ts'
import { giveToClusterUser } from '../../test/support/cluster-user.ts'
import { cleanUpNow } from '../../test/support/leftovers.ts'
import { postgresDirectory } from '../../test/support/postgres-binaries.ts'
import { tempDirectory } from '../../test/support/temp-directory.ts'
import { untilTrue } from '../../test/support/until-true.ts'
import { walgBinary } from '../../test/support/walg.ts'
import { say, shell, sql } from './stage.ts'

const isKept = process.argv.includes('--keep')
const startedAt = performance.now()

const place = tempDirectory('demo')
const data = place.at('data')
const configuration = place.at('walg.json')
const bin = path.join(postgresDirectory(18), 'bin')
const wal = `${walgBinary()} --config ${configuration}`
const port = await freePort()
const start = `${bin}/pg_ctl -D ${data} -l ${place.at('server.log')} -w start >${place.at('pg_ctl.log')}`
const stop = `${bin}/pg_ctl -D ${data} -m immediate stop >${place.at('pg_ctl.log')}`
const FINGERPRINT = `select count(*)::int as rows, md5(string_agg(o::text, ',' order by id)) as fingerprint from orders o`

let isRunning = false

function configure(lines: readonly string[]): void {
  for (const line of lines) shell(`echo "${line.replaceAll('"', '\\"')}" >> ${data}/postgresql.conf`)
}

function startServer(): void {
  shell(start)
  isRunning = true
}

function stopServer(): void {
  if (isRunning) shell(stop)
  isRunning = false
}

function makeCluster(): void {
  say('1. A new PostgreSQL 18 whose WAL goes through wal-g')
  if (process.getuid?.() === 0)
    console.log('(the commands run as nobody: setpriv --reuid=65534 --regid=65534 --clear-groups …)')
  const settings = {
    WALG_FILE_PREFIX: place.at('repository'),
    WALG_COMPRESSION_METHOD: 'lz4',
    PGHOST: '127.0.0.1',
    PGPORT: String(port),
    PGUSER: 'postgres',
    PGDATABASE: 'postgres',
  }
  writeFileSync(configuration, `${JSON.stringify(settings, null, 2)}\n`)
  giveToClusterUser(configuration, 0o644)
  console.log(`${configuration}: ${JSON.stringify(settings)}`)
  shell(`mkdir ${settings.WALG_FILE_PREFIX}`)
  shell(`${bin}/initdb -D ${data} -U postgres -A trust -k --no-sync >${place.at('initdb.log')}`)
  configure([
    `listen_addresses = '127.0.0.1'`,
    `unix_socket_directories = '${place.path}'`,
    `port = ${port}`,
    `archive_mode = on`,
    `archive_command = '${wal} wal-push "%p"'`,
  ])
  startServer()
}

async function work(): Promise<{ time: string; before: Record<string, unknown> }> {
  say('2. Data, and a full backup')
  await sql(
    port,
    `create table orders as select id, md5(id::text) as item, id % 97 as amount from generate_series(1, 200000) id`,
  )
  shell(`${wal} backup-push ${data}`)
  shell(`${wal} backup-list --pretty`)
  say('3. Life goes on after the backup')
  await sql(
    port,
    `insert into orders select id, 'after the backup', 1 from generate_series(200001, 250000) id`,
  )
  const before = await sql(port, FINGERPRINT)
  const { time } = await sql(port, `select clock_timestamp()::text as time`)
  say('4. Somebody drops the table, and then the server is lost')
  await sql(port, `select pg_sleep(1.1)::text as later`)
  await sql(port, `drop table orders`)
  const { segment } = await sql(port, `select pg_walfile_name(pg_switch_wal()) as segment`)
  await untilTrue(
    async () => {
      const { last } = await sql(port, `select last_archived_wal as last from pg_stat_archiver`)
      return String(last) >= String(segment)
    },
    30_000,
    `the archiving of ${segment}`,
  )
  stopServer()
  shell(`rm -rf ${data}`)
  return { time: String(time), before }
}

async function restore(time: string): Promise<Record<string, unknown>> {
  say(`5. Back to ${time}`)
  shell(`${wal} backup-fetch ${data} LATEST`)
  configure([
    `restore_command = '${wal} wal-fetch "%f" "%p"'`,
    `recovery_target_time = '${time}'`,
    `recovery_target_action = promote`,
  ])
  shell(`touch ${data}/recovery.signal`)
  startServer()
  await untilTrue(
    async () => (await sql(port, `select pg_is_in_recovery() as recovering`))['recovering'] === false,
    60_000,
    'the end of recovery',
  )
  return await sql(port, FINGERPRINT)
}

try {
  makeCluster()
  const { time, before } = await work()
  const after = await restore(time)
  if (JSON.stringify(after) !== JSON.stringify(before)) throw new Error('the rows are NOT what they were')
  say(`The ${after['rows']} rows are back, each as it was at ${time}.`)
} catch (error) {
  console.error(`\nthe demo failed: ${error instanceof Error ? error.message : String(error)}`)
  process.exitCode = 1
} finally {
  stopServer()
  if (isKept) console.log(`kept: ${place.path}`)
  else await cleanUpNow()
  console.log(`${Math.round((performance.now() - startedAt) / 1000)} s`)
}
