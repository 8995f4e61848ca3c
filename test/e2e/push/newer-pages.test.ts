import { afterAll, beforeAll, beforeEach, expect, setDefaultTimeout, test } from 'bun:test'
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import type { WalgError } from '../../../src/kit/errors.ts'
import { backupPush } from '../../../src/operations/backup-push/backup-push.ts'
import type { BackupPushOptions } from '../../../src/operations/backup-push/options.ts'
import { giveToClusterUser } from '../../support/cluster-user.ts'
import { newestPageLsn } from '../../support/newest-page.ts'
import { operationContext } from '../../support/operation-context.ts'
import { type Finished, startProcess } from '../../support/process.ts'
import { seededRandom } from '../../support/seeded-random.ts'
import { missingReference, reference, testUnless } from '../../support/skip.ts'
import { runWalg } from '../../support/walg.ts'
import {
  type ArchivingCluster,
  admitReplication,
  archiveEverything,
  complaints,
  LEDGER_SQL,
  startArchivingCluster,
  startWriteLoad,
} from '../archiving-cluster.ts'
import { listedBackups, NO_DELTA, pushOptions, readJson, storedObjects } from './backup-push-support.ts'

setDefaultTimeout(120_000)

const PAGE = 8192
const random = seededRandom('newer pages')

/** Pages that claim an LSN which the server has not come to, each in a relation of its own name. */
const SPOILT: Readonly<Record<string, (page: Uint8Array) => void>> = {
  ones: page => page.fill(0xff),
  noise: page => page.set(random.bytes(page.length)),
  flipped: page => {
    page[3]! ^= 0x40
  },
}
const NAMES = Object.keys(SPOILT)
const BLOCK = 3

let source: ArchivingCluster
const files = new Map<string, string>()

beforeAll(async () => {
  source = await startArchivingCluster({ major: 17, settings: { autovacuum: 'off' } })
  const { cluster } = source
  giveToClusterUser(source.repository, 0o777)
  await admitReplication(cluster)
  await cluster.query(LEDGER_SQL)
  // GiST gives pages of unlogged indexes LSNs of their own making
  await cluster.query(
    'create unlogged table points as select point(g, g) as at from generate_series(1, 5000) g',
  )
  await cluster.query('create index on points using gist (at)')
  await cluster.query('insert into points select point(-g, g) from generate_series(1, 5000) g')
})
afterAll(() => source?.[Symbol.asyncDispose]())
beforeEach(async () => {
  const { cluster, repository } = source
  rmSync(path.join(repository, 'basebackups_005'), { recursive: true, force: true })
  for (const name of NAMES) {
    await cluster.query(`drop table if exists ${name}`)
    await cluster.query(`create table ${name} as select g as id from generate_series(1, 5000) g`)
    // hint bits now, so that the server does not write the pages again later
    await cluster.query(`select count(*) from ${name}`)
    const [row] = await cluster.query<{ file: string }>(`select pg_relation_filepath('${name}') as file`)
    files.set(name, row!.file)
  }
  await cluster.query('checkpoint')
})

function spoil(): void {
  for (const [name, change] of Object.entries(SPOILT)) {
    const file = path.join(source.cluster.dataDirectory, files.get(name)!)
    const bytes = readFileSync(file)
    change(bytes.subarray(BLOCK * PAGE, (BLOCK + 1) * PAGE))
    writeFileSync(file, bytes)
  }
}

async function push(changes: Partial<BackupPushOptions> = {}) {
  const { cluster, repository } = source
  const context = await operationContext(repository)
  const options = pushOptions(cluster.dataDirectory, { cluster, isVerifying: true, ...changes })
  const result = await backupPush(context, options)
  return { ...result, messages: context.messages }
}

async function failure(work: Promise<unknown>): Promise<WalgError> {
  const [outcome] = await Promise.allSettled([work])
  if (outcome.status === 'fulfilled') throw new Error('it succeeded')
  return outcome.reason as WalgError
}

/** Every spoilt page is said when it is found, said again with its relation, and in the list of files. */
function expectFound(backup: string, messages: readonly string[], prefix = '/'): void {
  const recorded = readJson(source.repository, backup, 'files_metadata.json')['Files'] as Record<
    string,
    { CorruptBlocks?: unknown }
  >
  const lines = messages.join('\n')
  for (const [name, file] of files) {
    expect(lines).toContain(`${file}/[${BLOCK}]`)
    expect(lines).toContain(`public.${name} of database postgres "${prefix}${file}": ${BLOCK}`)
    expect(recorded[`${prefix}${file}`]).toMatchObject({
      CorruptBlocks: { CorruptBlocksCount: 1, SomeCorruptBlocks: [BLOCK] },
    })
  }
  expect(lines).toContain('3 corrupt pages in 3 files:')
  expect(Object.values(recorded).filter(({ CorruptBlocks }) => CorruptBlocks !== undefined)).toHaveLength(3)
}

test('damaged pages that claim to be newer than the end of the backup are found', async () => {
  spoil()
  const { name, messages, corruptPagesCount } = await push()
  expect(corruptPagesCount).toBe(3)
  expectFound(name, messages)
})

test('they fail the backup with WALG_FAIL_ON_CORRUPT, although its end has to be known first', async () => {
  spoil()
  const error = await failure(push({ failsOnCorrupt: true }))
  expect(error.code).toBe('CHECKSUM_MISMATCH')
  expect(error.message).toContain('3 corrupt pages in 3 files: WALG_FAIL_ON_CORRUPT is set')
  expect(storedObjects(source.repository)).toEqual([])
  for (const name of NAMES) await source.cluster.query(`drop table ${name}`)
  await source.cluster.query('checkpoint')
  expect((await push({ failsOnCorrupt: true })).corruptPagesCount).toBe(0)
})

test('they are found in a delta, also where the file has to be stored whole', async () => {
  await push()
  await source.cluster.query('select pg_switch_wal()')
  await source.cluster.query(`update ledger set note = 'x' where id = 5`)
  spoil()
  const delta = { ...NO_DELTA, stepsMax: 5 }
  const error = await failure(push({ failsOnCorrupt: true, delta }))
  expect(error.message).toContain('3 corrupt pages in 3 files')
  expect(listedBackups(source.repository)).toHaveLength(1)
  const { name, parent, messages } = await push({ delta })
  expect(parent).not.toBeNull()
  expectFound(name, messages)
  const whole = `failed to read file '/${files.get('ones')}' as incremented: block ${BLOCK} is no valid page`
  expect(messages.join('\n')).toContain(whole)
})

test('they are found in a directory at rest', async () => {
  const { cluster } = source
  await cluster.stop()
  const whole = new Map(
    [...files.values()].map(file => [file, readFileSync(path.join(cluster.dataDirectory, file))]),
  )
  try {
    spoil()
    const error = await failure(push({ failsOnCorrupt: true }))
    expect(error.message).toContain('3 corrupt pages in 3 files')
    const { corruptPagesCount } = await push()
    expect(corruptPagesCount).toBe(3)
    for (const [file, bytes] of whole) writeFileSync(path.join(cluster.dataDirectory, file), bytes)
    rmSync(path.join(source.repository, 'basebackups_005'), { recursive: true })
    expect((await push({ failsOnCorrupt: true })).corruptPagesCount).toBe(0)
  } finally {
    await cluster.start()
  }
})

test('they are found in a remote backup', async () => {
  spoil()
  const run = (more: Record<string, string>, ...args: string[]): Promise<Finished> =>
    runWalg(['backup-push', ...args], { env: { ...source.connection(), ...more } })
  const strict = await run({ WALG_FAIL_ON_CORRUPT: 'true' })
  expect(strict.exit).toBe(1)
  expect(strict.stderr).toContain('3 corrupt pages in 3 files: WALG_FAIL_ON_CORRUPT is set')
  expect(listedBackups(source.repository)).toEqual([])
  const { exit, stderr } = await run({}, '--verify')
  expect(exit).toBe(0)
  expectFound(listedBackups(source.repository)[0]!, [stderr], '')
})

/** Takes the content manifest from a backup: only checksums tell then whether its pages are good. */
function forgetHashes(backup: string): void {
  const folder = path.join(source.repository, 'basebackups_005')
  for (const name of readdirSync(path.join(folder, backup))) {
    if (name.startsWith('content_manifest')) rmSync(path.join(folder, backup, name))
  }
  const { ContentManifest, ...rest } = readJson(source.repository, backup, 'sentinel')
  expect(ContentManifest).toBeDefined()
  writeFileSync(path.join(folder, `${backup}_backup_stop_sentinel.json`), JSON.stringify(rest))
}

async function expectFoundByVerify(): Promise<void> {
  const { exit, stdout } = await runWalg(['verify', '--all'], { env: source.settings })
  expect(exit).toBe(4)
  for (const file of files.values()) {
    expect(stdout).toContain(`the checksum of pages does not match: /${file}/[${BLOCK}]`)
  }
}

test('verify finds them in a backup without hashes', async () => {
  await push({ isVerifying: false })
  await archiveEverything(source.cluster)
  spoil()
  const { name } = await push({ isVerifying: false })
  for (const backup of listedBackups(source.repository)) forgetHashes(backup)
  await expectFoundByVerify()
  rmSync(path.join(source.repository, 'basebackups_005', `${name}_backup_stop_sentinel.json`))
  const others = await runWalg(['verify', '--all'], { env: source.settings })
  expect(others.stdout).not.toContain('checksum')
  expect(listedBackups(source.repository)).toHaveLength(1)
})

testUnless(missingReference(), 'verify finds them in a backup of the original', async () => {
  spoil()
  const { cluster } = source
  const env = { ...source.connection(), PATH: process.env['PATH'] }
  const run = await startProcess(reference()!, ['backup-push', cluster.dataDirectory], { env }).finished
  expect(run.exit).toBe(0)
  await expectFoundByVerify()
})

/** What is said beside the files that a checkpoint makes and removes. */
function damageSaid({ stderr }: Finished): string[] {
  return complaints(stderr).filter(line => !line.includes('vanished'))
}

/** Nothing in the backup is newer than its end, although some of it is newer than its start. */
async function expectWithinItsWal(backup: string): Promise<void> {
  const target = source.place.at(`pages-of-${backup}`)
  const { exit } = await runWalg(['backup-fetch', target, backup], { env: source.settings })
  expect(exit).toBe(0)
  const { LSN, FinishLSN } = readJson(source.repository, backup, 'sentinel')
  const newest = Number(newestPageLsn(target))
  expect(newest).toBeGreaterThan(Number(LSN))
  expect(newest).toBeLessThanOrEqual(Number(FinishLSN))
}

test('pages that are written while the backup is taken are none of them', async () => {
  const { cluster } = source
  const load = await startWriteLoad(cluster)
  // pages reach the disk while files are read, and not only when the backup begins
  const flushing = setInterval(() => void cluster.query('checkpoint').catch(() => undefined), 100)
  try {
    const env = { ...source.connection(), WALG_FAIL_ON_CORRUPT: 'true', WALG_DISK_RATE_LIMIT: '30000000' }
    const beside = await runWalg(['backup-push', cluster.dataDirectory], { env })
    expect([beside.exit, damageSaid(beside)]).toEqual([0, []])
    await archiveEverything(source.cluster)
    const remote = await runWalg(['backup-push'], { env })
    expect([remote.exit, damageSaid(remote)]).toEqual([0, []])
    const backups = listedBackups(source.repository)
    expect(backups).toHaveLength(2)
    for (const backup of backups) await expectWithinItsWal(backup)
    const { exit, stdout } = await runWalg(['verify', '--all'], { env: source.settings })
    expect([exit, stdout]).toEqual([0, expect.not.stringContaining('does not match')])
  } finally {
    clearInterval(flushing)
    await load.stop()
  }
})
