import { copyFileSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { type Cluster, startCluster } from '../test/support/cluster.ts'
import { giveToClusterUser } from '../test/support/cluster-user.ts'
import type { Major } from '../test/support/postgres-binaries.ts'
import { type SeededRandom, seededRandom } from '../test/support/seeded-random.ts'
import type { DataSetName } from './options.ts'

/** One table for each ratio of these: what a row of `accounts` and its index take, and one of `notes`. */
const ACCOUNT_BYTES = 160
const NOTE_BYTES = 900
const WORDS = 5000
const WORDS_PER_NOTE = 130
const NOTES_AT_ONCE = 50_000
const NOISE_ROW_BYTES = 8000
const NOISE_FILE_BYTES = 16_000_000
const SMALL_FILES_PER_TABLE = 2
const SMALL_FILES_MAX = 20_000
const SMALL_FILE_BYTES = 32_768

/** A running PostgreSQL with a data set in it; from now on it archives at once, into the repositories below `repositoriesOf`. */
export async function buildDataSet(name: DataSetName, sizeBytes: number, major: Major): Promise<Cluster> {
  process.stderr.write(`making the data set ${name}\n`)
  const cluster = await startCluster({
    major,
    archiveCommand: '/bin/true',
    settings: {
      shared_buffers: '128MB',
      max_wal_size: '256MB',
      autovacuum: 'off',
      checkpoint_timeout: '1h',
      synchronous_commit: 'off',
      ...(major >= 17 ? { summarize_wal: 'on' } : {}),
    },
  })
  await BUILDERS[name](cluster, sizeBytes)
  // Linked, not copied: the server's own work is not what is measured.
  const link = `for d in ${repositoriesOf(cluster)}/*/wal_005; do ln -f %p $d/%f; done; true`
  cluster.configure({ archive_command: link })
  await cluster.reload()
  await cluster.query('checkpoint')
  return cluster
}

/** The folder of the repositories that the server archives into. */
export function repositoriesOf(cluster: Cluster): string {
  return path.join(cluster.directory, 'repositories')
}

const BUILDERS: Readonly<Record<DataSetName, (cluster: Cluster, sizeBytes: number) => Promise<void>>> = {
  tables: buildTables,
  pgbench: buildPgbench,
  incompressible: buildNoise,
  'small-files': buildSmallFiles,
}

/** Rows as pgbench makes them, with an index, and text of words. */
async function buildTables(cluster: Cluster, sizeBytes: number): Promise<void> {
  const accounts = Math.floor((sizeBytes * 0.6) / ACCOUNT_BYTES)
  const notes = Math.floor((sizeBytes * 0.4) / NOTE_BYTES)
  await cluster.query(`create table accounts as
    select g as aid, g / 100000 as bid, (random() * 10000)::int as abalance, repeat(' ', 84)::char(84) as filler
    from generate_series(1, ${accounts}) g`)
  await cluster.query('create unique index on accounts (aid)')
  await cluster.query('create table notes (note text)')
  const file = path.join(cluster.directory, 'notes')
  const vocabulary = Array.from({ length: WORDS }, (_, word) => wordOf(word))
  const random = seededRandom('notes')
  for (let made = 0; made < notes; made += NOTES_AT_ONCE) {
    const lines = Array.from({ length: Math.min(NOTES_AT_ONCE, notes - made) }, () => {
      const words = Array.from({ length: WORDS_PER_NOTE }, () => vocabulary[rareWord(random)])
      return words.join(' ')
    })
    writeFileSync(file, `${lines.join('\n')}\n`)
    giveToClusterUser(file, 0o644)
    await cluster.query(`copy notes from '${file}'`)
  }
  rmSync(file)
  await cluster.query('update accounts set abalance = abalance + 1 where aid % 50 = 0')
  await cluster.query('vacuum accounts')
}

/** What `pgbench -i` makes, and a load of its transactions after it. */
async function buildPgbench(cluster: Cluster, sizeBytes: number): Promise<void> {
  const accounts = Math.floor(sizeBytes / ACCOUNT_BYTES)
  const transactions = Math.floor(accounts / 100)
  await cluster.query('create table pgbench_accounts (aid int, bid int, abalance int, filler char(84))')
  await cluster.query(
    `insert into pgbench_accounts select g, g / 100000, 0, '' from generate_series(1, ${accounts}) g`,
  )
  await cluster.query('alter table pgbench_accounts add primary key (aid)')
  await cluster.query(`create table pgbench_history as select 1 as tid, 1 as bid, (random() * ${accounts})::int as aid,
    (random() * 10000 - 5000)::int as delta, now()::timestamp as mtime, null::char(22) as filler
    from generate_series(1, ${transactions})`)
  await cluster.query(
    'update pgbench_accounts a set abalance = abalance + delta from pgbench_history h where h.aid = a.aid',
  )
}

function wordOf(index: number): string {
  const letters = Bun.hash(String(index)).toString(36).replaceAll(/[0-9]/g, '')
  return letters.slice(0, 2 + (index % 9))
}

/** Some words are common, most are not, as in any language. */
function rareWord(random: SeededRandom): number {
  return Math.floor(WORDS * (random.int(1 << 20) / (1 << 20)) ** 3)
}

/** Random bytes: what compressed columns and images look like. */
async function buildNoise(cluster: Cluster, sizeBytes: number): Promise<void> {
  const file = path.join(cluster.directory, 'noise')
  const random = seededRandom('noise')
  await cluster.query('create table noise (n int, bytes bytea)')
  await cluster.query('alter table noise alter bytes set storage external')
  const rows = Math.floor(NOISE_FILE_BYTES / NOISE_ROW_BYTES)
  for (let madeBytes = 0; madeBytes < sizeBytes; madeBytes += NOISE_FILE_BYTES) {
    writeFileSync(file, random.bytes(NOISE_FILE_BYTES))
    giveToClusterUser(file, 0o644)
    await cluster.query(`insert into noise select n, pg_read_binary_file('${file}', n * ${NOISE_ROW_BYTES}::bigint,
      ${NOISE_ROW_BYTES}) from generate_series(0, ${rows - 1}) n`)
  }
  rmSync(file)
}

/** Thousands of small tables, as an application with a schema for each of its customers has them. */
async function buildSmallFiles(cluster: Cluster, sizeBytes: number): Promise<void> {
  const files = Math.min(SMALL_FILES_MAX, Math.floor(sizeBytes / SMALL_FILE_BYTES))
  await cluster.query(`do $$ begin for t in 1..${Math.floor(files / SMALL_FILES_PER_TABLE)} loop
    execute format('create table small_%s as select g as id, md5((g * %s)::text) as value
      from generate_series(1, 200) g', t, t);
    execute format('create index on small_%s (id)', t);
    commit; end loop; end $$`)
}

/**
 * A full segment of an ordinary load (random updates, full pages after a checkpoint among them), copied below `directory`;
 * returns its name.
 */
export async function copyBusySegment(cluster: Cluster, directory: string): Promise<string> {
  await cluster.query(`create table if not exists busy as
    select g as id, md5(g::text) as value, repeat('x', 40) as filler from generate_series(1, 400000) g`)
  await cluster.query('create index if not exists busy_value on busy (value); checkpoint')
  const [row] = await cluster.query<{ name: string }>(
    'select pg_walfile_name(pg_current_wal_lsn() + 2 * 16777216) as name',
  )
  const name = row!.name
  for (let round = 0; round < 200 && !(await isPast(cluster, name)); round++) {
    await cluster.query(`update busy set value = md5(random()::text) where id in
      (select (random() * 399999)::int + 1 from generate_series(1, 2000))`)
  }
  mkdirSync(directory, { recursive: true })
  copyFileSync(path.join(cluster.dataDirectory, 'pg_wal', name), path.join(directory, name))
  return name
}

async function isPast(cluster: Cluster, name: string): Promise<boolean> {
  const [row] = await cluster.query<{ isPast: boolean }>(
    `select pg_walfile_name(pg_current_wal_lsn()) > '${name}' as "isPast"`,
  )
  return row!.isPast
}

/** Sum of the sizes of all files below `directory`. */
export function treeBytes(directory: string): number {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .reduce((sum, entry) => sum + statSync(path.join(entry.parentPath, entry.name)).size, 0)
}
