import { expect, setDefaultTimeout, test } from 'bun:test'
import { existsSync, mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { extractRepository, readGoldenSets } from '../../golden/golden-cases.ts'
import { startCluster } from '../../support/cluster.ts'
import { giveToClusterUser } from '../../support/cluster-user.ts'
import { missingPostgres } from '../../support/postgres-binaries.ts'
import { type Finished, runProcess } from '../../support/process.ts'
import {
  describeUnless,
  missingInterop,
  missingReference,
  reference,
  testUnless,
} from '../../support/skip.ts'
import { type TempDirectory, tempDirectory } from '../../support/temp-directory.ts'
import { runWalg } from '../../support/walg.ts'

setDefaultTimeout(120_000)

const OLD_KEY = '11'.repeat(32)
const NEW_KEY = '22'.repeat(32)

function settingsOf(
  place: TempDirectory,
  name: string,
  more: Record<string, string>,
): Record<string, string> {
  return { WALG_FILE_PREFIX: place.at(name), ...more }
}

function sealedWith(key: string, compression: string): Record<string, string> {
  return {
    WALG_COMPRESSION_METHOD: compression,
    WALG_LIBSODIUM_KEY: key,
    WALG_LIBSODIUM_KEY_TRANSFORM: 'hex',
  }
}

/** Makes the storage `name` and its config file. */
function configure(place: TempDirectory, name: string, more: Record<string, string>): Record<string, string> {
  const settings = settingsOf(place, name, more)
  if (!existsSync(place.at(name))) mkdirSync(place.at(name))
  giveToClusterUser(place.at(name), 0o777)
  const lines = Object.entries(settings).map(([key, value]) => `${key}: "${value}"\n`)
  writeFileSync(place.at(`${name}.yaml`), lines.join(''))
  return settings
}

async function succeed(args: readonly string[], env: Record<string, string> = {}): Promise<Finished> {
  const finished = await runWalg(args, { env, asClusterUser: true })
  expect({ args, exit: finished.exit, stderr: finished.exit === 0 ? '' : finished.stderr }).toEqual({
    args,
    exit: 0,
    stderr: '',
  })
  return finished
}

function filesOf(root: string): Record<string, string> {
  return Object.fromEntries(
    readdirSync(root, { recursive: true, withFileTypes: true })
      .filter(entry => entry.isFile() && entry.name !== 'backup_manifest')
      .map(entry => path.join(entry.parentPath, entry.name))
      .sort()
      .map(file => [path.relative(root, file), Bun.hash(readFileSync(file)).toString(16)]),
  )
}

function keysOf(root: string): string[] {
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => path.relative(root, path.join(entry.parentPath, entry.name)))
    .sort()
}

const reseal = (place: TempDirectory, from: string, to: string): string[] => [
  'copy',
  '--from',
  place.at(`${from}.yaml`),
  '--to',
  place.at(`${to}.yaml`),
  '--re-encrypt',
]

describeUnless(missingPostgres(15), 'copy --re-encrypt of a backup of ours', () => {
  test('a backup under an old key is restored with the new one alone, its hashes proved', async () => {
    await using cluster = await startCluster({ major: 15 })
    await cluster.query('create table t as select g, md5(g::text) from generate_series(1, 20000) g')
    await cluster.stop()
    using place = tempDirectory('reseal')
    giveToClusterUser(place.path, 0o777)
    const old = configure(place, 'old', sealedWith(OLD_KEY, 'lz4'))
    const next = configure(place, 'next', sealedWith(NEW_KEY, 'zstd'))
    await succeed(['backup-push', cluster.dataDirectory], { ...old, WALG_TAR_SIZE_THRESHOLD: '8000000' })
    const segment = readdirSync(path.join(cluster.dataDirectory, 'pg_wal')).find(name =>
      /^[0-9A-F]{24}$/.test(name),
    )!
    await succeed(['wal-push', path.join(cluster.dataDirectory, 'pg_wal', segment)], old)

    await succeed(reseal(place, 'old', 'next'))
    const keys = keysOf(place.at('next'))
    expect(keys.filter(key => key.endsWith('.lz4'))).toEqual([])
    expect(keys.some(key => key.endsWith('content_manifest.jsonl.zst'))).toBe(true)
    await succeed(['backup-fetch', place.at('before'), 'LATEST'], old)
    await succeed(['backup-fetch', place.at('after'), 'LATEST'], next)
    expect(filesOf(place.at('after'))).toEqual(filesOf(place.at('before')))
    await succeed(['verify', '--all'], next)
    await succeed(['wal-fetch', segment, place.at('segment')], next)
    const listed = JSON.parse((await succeed(['backup-list', '--detail', '--json'], next)).stdout)
    const listedBefore = JSON.parse((await succeed(['backup-list', '--detail', '--json'], old)).stdout)
    expect(listed[0].encryption.key).not.toBe(listedBefore[0].encryption.key)

    // Again: everything is there.
    const { stderr } = await succeed(reseal(place, 'old', 'next'))
    expect(stderr).not.toContain('Copied')
    // A part that was damaged on its way is noticed by the new manifest.
    const part = keys.find(key => key.includes('/part_'))!
    truncateSync(path.join(place.at('next'), part), 1000)
    expect((await runWalg(['verify', '--all'], { env: next, asClusterUser: true })).exit).not.toBe(0)
  })

  test('a part that is not the one of its manifest is not copied, and no backup appears', async () => {
    await using cluster = await startCluster({ major: 15 })
    await cluster.stop()
    using place = tempDirectory('reseal')
    giveToClusterUser(place.path, 0o777)
    const old = configure(place, 'old', sealedWith(OLD_KEY, 'none'))
    configure(place, 'next', sealedWith(NEW_KEY, 'zstd'))
    await succeed(['backup-push', cluster.dataDirectory], { ...old, WALG_TAR_SIZE_THRESHOLD: '8000000' })
    const segment = readdirSync(path.join(cluster.dataDirectory, 'pg_wal')).find(name =>
      /^[0-9A-F]{24}$/.test(name),
    )!
    await succeed(['wal-push', path.join(cluster.dataDirectory, 'pg_wal', segment)], old)
    const parts = keysOf(place.at('old')).filter(key => key.includes('/part_'))
    // One whole part in the place of another: both open with the key.
    writeFileSync(path.join(place.at('old'), parts[0]!), readFileSync(path.join(place.at('old'), parts[1]!)))
    const { exit, stderr } = await runWalg(reseal(place, 'old', 'next'), { asClusterUser: true })
    expect(exit).toBe(1)
    expect(stderr).toContain('is not the object that belongs to its backup')
    expect(keysOf(place.at('next')).filter(key => key.endsWith('sentinel.json'))).toEqual([])
  })
})

testUnless(
  missingReference() ?? missingInterop(),
  'a chain of the original, sealed anew, is restored by the original',
  async () => {
    using place = tempDirectory('reseal')
    giveToClusterUser(place.path, 0o777)
    const set = readGoldenSets().find(({ name }) => name === 'pg15-timelines')!
    extractRepository(set, place.at('old'))
    configure(place, 'old', {})
    const next = configure(place, 'next', sealedWith(NEW_KEY, 'lz4'))
    const { exit, stderr } = await runWalg([...reseal(place, 'old', 'next'), '--with-history'])
    expect({ exit, stderr: exit === 0 ? '' : stderr }).toEqual({ exit: 0, stderr: '' })
    const name = 'base_00000002000000000000000B_D_000000010000000000000006'
    const theirs = await runProcess(reference()!, ['backup-fetch', place.at('theirs'), name], {
      env: { PATH: process.env['PATH'], HOME: place.path, WALG_DOWNLOAD_FILE_RETRIES: '0', ...next },
    })
    expect(theirs.exit).toBe(0)
    const own = await runWalg(['backup-fetch', place.at('before'), name], {
      env: { WALG_FILE_PREFIX: place.at('old') },
    })
    expect(own.exit).toBe(0)
    expect(filesOf(place.at('theirs'))).toEqual(filesOf(place.at('before')))
  },
)
