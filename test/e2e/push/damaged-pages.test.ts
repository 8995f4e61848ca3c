import { afterAll, beforeAll, expect, setDefaultTimeout, test } from 'bun:test'
import { cpSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { giveToClusterUser } from '../../support/cluster-user.ts'
import type { Finished } from '../../support/process.ts'
import { tempDirectory } from '../../support/temp-directory.ts'
import { untilTrue } from '../../support/until-true.ts'
import { runWalg, startWalg } from '../../support/walg.ts'
import {
  type ArchivingCluster,
  admitReplication,
  archiveEverything,
  startArchivingCluster,
} from '../archiving-cluster.ts'
import { listedBackups, readJson } from './backup-push-support.ts'

setDefaultTimeout(120_000)

const PAGE = 8192

function flip(page: Uint8Array, at: number): void {
  page[at]! ^= 0x40
}

/** What befalls a page, by block number. */
const DAMAGE: ReadonlyMap<number, (page: Uint8Array) => void> = new Map([
  [2, page => flip(page, 4000)],
  [4, page => page.fill(0, 0, PAGE / 2)],
  [6, page => page.fill(0, 0, 24)],
  [8, page => page.fill(0, 14, 16)],
  [10, page => page.fill(0, PAGE / 2)],
  [12, page => page.fill(0xff)],
  [14, page => flip(page, 3)],
  [16, page => flip(page, 8)],
])
/** Zeros alone are no damage: a server adds such pages. */
const ZEROED = 18
const BLOCKS = [...DAMAGE.keys()]

let source: ArchivingCluster
let file: string

beforeAll(async () => {
  source = await startArchivingCluster({ major: 15, settings: { autovacuum: 'off' } })
  const { cluster } = source
  giveToClusterUser(source.repository, 0o777)
  await admitReplication(cluster)
  await cluster.query('create table spoilt as select g as id from generate_series(1, 9000) g')
  await cluster.query('select count(*) from spoilt')
  const [row] = await cluster.query<{ file: string }>(`select pg_relation_filepath('spoilt') as file`)
  file = row!.file
  await cluster.query('checkpoint')
  const place = path.join(cluster.dataDirectory, file)
  const bytes = readFileSync(place)
  for (const [block, damage] of DAMAGE) damage(bytes.subarray(block * PAGE, (block + 1) * PAGE))
  bytes.fill(0, ZEROED * PAGE, (ZEROED + 1) * PAGE)
  writeFileSync(place, bytes)
})
afterAll(() => source?.[Symbol.asyncDispose]())

async function push(
  args: readonly string[],
  more: Record<string, string> = {},
): Promise<Finished & { name: string }> {
  await source.cluster.query('select pg_switch_wal()')
  const run = await runWalg(['backup-push', ...args], { env: { ...source.connection(), ...more } })
  return { ...run, name: listedBackups(source.repository).at(-1) ?? '' }
}

function recorded(backup: string, member: string): unknown {
  const files = readJson(source.repository, backup, 'files_metadata.json')['Files'] as Record<
    string,
    { CorruptBlocks?: { SomeCorruptBlocks: number[] } }
  >
  return files[member]?.CorruptBlocks?.SomeCorruptBlocks
}

/** An unlogged table of which page 7 is damaged. */
async function makeTornUnlogged(
  table: string,
): Promise<{ readonly member: string; readonly place: string; readonly bytes: Uint8Array }> {
  const { cluster } = source
  await cluster.query(`create unlogged table ${table} as select g as id from generate_series(1, 9000) g`)
  await cluster.query('checkpoint')
  const [row] = await cluster.query<{ file: string }>(`select pg_relation_filepath('${table}') as file`)
  const place = path.join(cluster.dataDirectory, row!.file)
  const bytes = readFileSync(place)
  flip(bytes, 7 * PAGE + 6000)
  writeFileSync(place, bytes)
  return { member: row!.file, place, bytes }
}

const verified = (backup: string): Promise<Finished> => runWalg(['verify', backup], { env: source.settings })

test('a push beside the data, one over the wire and verify name the same pages, whatever befell them', async () => {
  const { dataDirectory } = source.cluster
  const beside = await push([dataDirectory, '--verify', '--store-all-corrupt'])
  expect(recorded(beside.name, `/${file}`)).toEqual(BLOCKS)
  const remote = await push(['--verify', '--store-all-corrupt'])
  expect(recorded(remote.name, file)).toEqual(BLOCKS)
  for (const args of [[], [dataDirectory]]) {
    const { exit, stderr } = await push(args, { WALG_FAIL_ON_CORRUPT: 'true' })
    expect([exit, stderr]).toEqual([1, expect.stringContaining(`${BLOCKS.length} corrupt pages in 1 files`)])
    expect(stderr).toContain(`${file}": ${BLOCKS.join(', ')}\n`)
  }

  const silent = [await push([dataDirectory]), await push([])]
  await archiveEverything(source.cluster)
  for (const { exit, name } of silent) {
    expect([exit, recorded(name, file), recorded(name, `/${file}`)]).toEqual([0, undefined, undefined])
    const { exit: found, stdout } = await verified(name)
    expect([found, stdout]).toEqual([4, expect.stringContaining(`${file}/[${BLOCKS.join(', ')}]`)])
    expect(stdout).toContain('the checksum of pages does not match')
    // what is damaged is read again, however often it is asked for
    const again = await runWalg(['verify', name, '--incremental'], { env: source.settings })
    expect([again.exit, again.stdout]).toEqual([4, expect.stringContaining('does not match')])
  }
  for (const { name } of [beside, remote]) {
    const { exit, stdout } = await verified(name)
    expect([exit, stdout]).toEqual([
      0,
      expect.stringContaining('pages were damaged when the backup was taken'),
    ])
  }
})

test('verify leaves a page alone that was half written while it was copied: the WAL of the backup writes it anew', async () => {
  const { cluster } = source
  await cluster.query('create table busy as select g as id from generate_series(1, 9000) g')
  await cluster.query('select count(*) from busy')
  const [row] = await cluster.query<{ file: string }>(`select pg_relation_filepath('busy') as file`)
  const place = path.join(cluster.dataDirectory, row!.file)
  await cluster.query('checkpoint')
  const bytes = readFileSync(place)
  for (const block of [3, 5]) flip(bytes, block * PAGE + 6000)
  writeFileSync(place, bytes)
  const env = { ...source.connection(), WALG_DISK_RATE_LIMIT: '6000000' }
  const started = startWalg(['backup-push', cluster.dataDirectory], { env })
  await untilTrue(async () => started.stderr().includes('Packing'))
  // in the server's memory the page is whole
  await cluster.query(`update busy set id = id where ctid >= '(3,0)' and ctid < '(4,0)'`)
  expect((await started.finished).exit).toBe(0)
  const { stdout } = await verified(listedBackups(source.repository).at(-1)!)
  expect(stdout).toContain(`the checksum of pages does not match: /${row!.file}/[5]\n`)
})

test('verify judges the pages of increments, by their numbers in the file', async () => {
  const { cluster } = source
  await cluster.query('create table parted as select g as id from generate_series(1, 9000) g')
  await cluster.query('checkpoint')
  await push([cluster.dataDirectory])
  await cluster.query(`update parted set id = id where ctid >= '(20,0)' and ctid < '(22,0)'`)
  await cluster.query('checkpoint')
  const [row] = await cluster.query<{ file: string }>(`select pg_relation_filepath('parted') as file`)
  const place = path.join(cluster.dataDirectory, row!.file)
  const bytes = readFileSync(place)
  flip(bytes, 21 * PAGE + 6000)
  writeFileSync(place, bytes)
  const { exit, name } = await push([cluster.dataDirectory], { WALG_DELTA_MAX_STEPS: '3' })
  expect([exit, name]).toEqual([0, expect.stringContaining('_D_')])
  const files = readJson(source.repository, name, 'files_metadata.json')['Files'] as Record<string, object>
  expect(files[`/${row!.file}`]).toMatchObject({ IsIncremented: true })
  const { stdout } = await verified(name)
  expect(stdout).toContain(`the checksum of pages does not match: /${row!.file}/[21]\n`)
})

test('a delta tells the damage of its parent again, though nothing happened to the file', async () => {
  const { cluster } = source
  const env = { WALG_DELTA_MAX_STEPS: '5' }
  const full = await push([cluster.dataDirectory, '--verify', '--store-all-corrupt'])
  expect(recorded(full.name, `/${file}`)).toEqual(BLOCKS)
  // the second does not look itself
  for (const verify of [['--verify'], [], ['--verify']]) {
    const { exit, name } = await push([cluster.dataDirectory, ...verify, '--store-all-corrupt'], env)
    expect([exit, name, recorded(name, `/${file}`)]).toEqual([0, expect.stringContaining('_D_'), BLOCKS])
  }
  const refused = await push([cluster.dataDirectory], { ...env, WALG_FAIL_ON_CORRUPT: 'true' })
  expect([refused.exit, refused.stderr]).toEqual([
    1,
    expect.stringContaining(`${file}": ${BLOCKS.join(', ')}`),
  ])
})

test('pages of an unlogged relation, which recovery empties, are a WARNING of verify', async () => {
  const { cluster } = source
  const { member, place, bytes } = await makeTornUnlogged('fleeting')
  // of a temporary table, which every server removes when it starts
  const temporary = path.join(path.dirname(place), 't3_99999')
  writeFileSync(temporary, bytes)
  const checked = await push([cluster.dataDirectory, '--verify'])
  expect(checked.stderr).not.toContain('t3_99999')
  const { name } = await push([cluster.dataDirectory])
  rmSync(temporary)
  const { stdout } = await verified(name)
  expect(stdout).not.toContain('t3_99999')
  expect(stdout).toMatch(new RegExp(`WARNING: .* that recovery empties: /${member}/\\[7\\]\n`))
})

test('pages of an unlogged relation do not fail the push of a directory that was never started, and do where a server runs', async () => {
  const { cluster, repository, settings } = source
  await cluster.query('drop table if exists spoilt, busy, parted, fleeting')
  await makeTornUnlogged('torn')
  const { name } = await push([cluster.dataDirectory])
  const running = await push([cluster.dataDirectory], { WALG_FAIL_ON_CORRUPT: 'true' })
  expect([running.exit, running.stderr]).toEqual([1, expect.stringContaining('1 corrupt pages in 1 files')])

  await archiveEverything(cluster)
  using target = tempDirectory('restored')
  expect((await runWalg(['backup-fetch', target.at('data'), name], { env: settings })).exit).toBe(0)
  using other = tempDirectory('other')
  giveToClusterUser(other.path)
  cpSync(path.join(repository, 'wal_005'), other.at('wal_005'), { recursive: true })
  const env = { ...settings, WALG_FILE_PREFIX: other.path, WALG_FAIL_ON_CORRUPT: 'true' }
  const { exit, stderr } = await runWalg(['backup-push', target.at('data'), '--verify'], { env })
  expect([exit, stderr]).toEqual([0, expect.stringContaining('unlogged relation, which recovery empties')])
})
