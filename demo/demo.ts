// The main job: archive, back up, lose the server, restore to the second that was asked for.
import { existsSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import pg from 'pg'
import { freePort } from '../test/support/cluster.ts'
import { asClusterUser, giveToClusterUser } from '../test/support/cluster-user.ts'
import { missingPostgres, postgresDirectory } from '../test/support/postgres-binaries.ts'
import { walgBinary } from '../test/support/walg.ts'
import { announce, remark, shell, show } from './shell.ts'

const ROWS_BEFORE = 200_000
const ROWS_AFTER_BACKUP = 50_000

interface Place {
  readonly walg: string
  readonly bin: string
  readonly data: string
  readonly repository: string
  readonly config: string
  readonly log: string
  readonly port: number
}

async function main(): Promise<void> {
  const { values } = parseArgs({ options: { keep: { type: 'boolean', default: false } } })
  const missing = missingPostgres(18)
  if (missing !== undefined) throw new Error(`${missing}; the demo needs linux on x86-64`)
  const startedAt = performance.now()
  const directory = realpathSync(mkdtempSync(path.join(tmpdir(), 'wal-g-demo-')))
  giveToClusterUser(directory, 0o755)
  const place = await makePlace(directory)
  if (asClusterUser.uid !== undefined) {
    remark(
      `running as root: PostgreSQL refuses root, so every command below runs as user id ${asClusterUser.uid}`,
    )
  }
  try {
    startServer(place)
    await loadData(place)
    backUp(place)
    const noted = await goOnAndNoteTheTime(place)
    await dropTheTable(place)
    destroy(place)
    restore(place, noted.time)
    await prove(place, noted)
    announce(
      `done in ${((performance.now() - startedAt) / 1000).toFixed(0)} s: the data is back as it was at ${noted.time}`,
    )
  } finally {
    stopServer(place)
    if (values.keep) console.log(`\nkept: ${directory}`)
    else rmSync(directory, { recursive: true, force: true })
  }
}

async function makePlace(directory: string): Promise<Place> {
  const place: Place = {
    walg: walgBinary(),
    bin: path.join(postgresDirectory(18), 'bin'),
    data: path.join(directory, 'data'),
    repository: path.join(directory, 'repository'),
    config: path.join(directory, 'wal-g.yaml'),
    log: path.join(directory, 'server.log'),
    port: await freePort(),
  }
  announce('a place for backups, and the settings of wal-g')
  shell(`mkdir -p ${place.repository}`)
  const settings = [
    `WALG_FILE_PREFIX: ${place.repository}`,
    'WALG_COMPRESSION_METHOD: zstd',
    'PGHOST: 127.0.0.1',
    `PGPORT: "${place.port}"`,
    'PGUSER: postgres',
    'PGDATABASE: postgres',
  ]
  show(`cat > ${place.config} <<END\n${settings.join('\n')}\nEND`)
  writeFileSync(place.config, `${settings.join('\n')}\n`)
  giveToClusterUser(place.config, 0o600)
  return place
}

function startServer(place: Place): void {
  announce('a PostgreSQL 18 that archives its WAL with wal-g')
  shell(
    `${place.bin}/initdb -D ${place.data} -U postgres -A trust -k -E UTF8 --locale=C --no-sync >/dev/null`,
  )
  const settings = [
    `listen_addresses = '127.0.0.1'`,
    `port = ${place.port}`,
    `unix_socket_directories = ''`,
    `archive_mode = on`,
    `archive_command = '${place.walg} --config ${place.config} wal-push %p'`,
    `restore_command = '${place.walg} --config ${place.config} wal-fetch %f %p'`,
  ]
  shell(`cat >> ${place.data}/postgresql.conf <<'END'\n${settings.join('\n')}\nEND`)
  shell(`${place.bin}/pg_ctl -D ${place.data} -l ${place.log} -w start >/dev/null`)
}

async function loadData(place: Place): Promise<void> {
  announce('some data')
  await sql(place, `create table payments (id bigint primary key, amount numeric not null, note text)`)
  await sql(
    place,
    `insert into payments select g, (g % 997) + 0.25, md5(g::text) from generate_series(1, ${ROWS_BEFORE}) g`,
  )
}

function backUp(place: Place): void {
  announce('a base backup')
  shell(`${place.walg} --config ${place.config} backup-push ${place.data}`)
  shell(`${place.walg} --config ${place.config} backup-list --pretty`)
}

interface Noted {
  readonly time: string
  readonly digest: string
}

const DIGEST = `select count(*) || ' rows, md5 ' || md5(string_agg(id || ':' || amount || ':' || note, ',' order by id)) as digest from payments`

async function goOnAndNoteTheTime(place: Place): Promise<Noted> {
  announce('life goes on after the backup')
  await sql(
    place,
    `insert into payments select g, (g % 89) + 0.5, 'after the backup' from generate_series(${ROWS_BEFORE + 1}, ${ROWS_BEFORE + ROWS_AFTER_BACKUP}) g`,
  )
  const digest = await sql(place, DIGEST)
  const time = await sql(place, `select clock_timestamp()::text as noted`)
  remark(`noted: at ${time} there were ${digest}`)
  await sleep(1100)
  return { time, digest }
}

async function dropTheTable(place: Place): Promise<void> {
  announce('somebody drops the table, and nobody notices for a while')
  await sql(place, `drop table payments`)
  await sql(place, `create table unrelated as select generate_series(1, 10000) g`)
  const last = await sql(place, `select pg_walfile_name(pg_switch_wal()) as last_segment`)
  remark('waiting until the archiver has pushed it')
  for (let waited = 0; !(await isArchived(place, last)); waited++) {
    if (waited > 300) throw new Error(`${last} is not archived after 30 s`)
    await sleep(100)
  }
}

async function isArchived(place: Place, segment: string): Promise<boolean> {
  const sqlText = `select coalesce(last_archived_wal >= '${segment}', false)::text from pg_stat_archiver`
  return (await query(place, sqlText)) === 'true'
}

function destroy(place: Place): void {
  announce('and then the disk dies')
  shell(`${place.bin}/pg_ctl -D ${place.data} -m immediate stop >/dev/null`)
  shell(`rm -rf ${place.data}`)
}

function restore(place: Place, time: string): void {
  announce(`restore to ${time}`)
  shell(`${place.walg} --config ${place.config} backup-fetch ${place.data} LATEST`)
  shell(
    `cat >> ${place.data}/postgresql.conf <<'END'\nrecovery_target_time = '${time}'\nrecovery_target_action = promote\nEND`,
  )
  shell(`touch ${place.data}/recovery.signal`)
  shell(`${place.bin}/pg_ctl -D ${place.data} -l ${place.log} -w start >/dev/null`)
}

async function prove(place: Place, noted: Noted): Promise<void> {
  announce('proof')
  for (let waited = 0; (await query(place, `select pg_is_in_recovery()::text`)) !== 'false'; waited++) {
    if (waited > 300) throw new Error('the server is still in recovery after 30 s')
    await sleep(100)
  }
  const digest = await sql(place, DIGEST)
  if (digest !== noted.digest) throw new Error(`restored ${digest}, expected ${noted.digest}`)
  remark(`the dropped table is back: ${digest}`)
}

function stopServer(place: Place): void {
  if (!existsSync(path.join(place.data, 'postmaster.pid'))) return
  announce('clean up')
  shell(`${place.bin}/pg_ctl -D ${place.data} -m immediate stop >/dev/null`)
}

/** Shows and runs one statement; the first column of its first row is shown and comes back as text. */
async function sql(place: Place, statement: string): Promise<string> {
  console.log(`sql> ${statement}`)
  const value = await query(place, statement)
  if (value !== '') remark(value)
  return value
}

async function query(place: Place, statement: string): Promise<string> {
  const client = new pg.Client({
    host: '127.0.0.1',
    port: place.port,
    user: 'postgres',
    database: 'postgres',
  })
  await client.connect()
  try {
    const { rows } = await client.query<Record<string, unknown>>(statement)
    return rows[0] === undefined ? '' : String(Object.values(rows[0])[0])
  } finally {
    await client.end()
  }
}

await main()
