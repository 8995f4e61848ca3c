import { afterAll, beforeAll, expect, test } from 'bun:test'
import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { type Cluster, startCluster } from '../../support/cluster.ts'
import type { Finished } from '../../support/process.ts'
import { describeUnless, missingTool } from '../../support/skip.ts'
import { tempDirectory } from '../../support/temp-directory.ts'
import { runWalg } from '../../support/walg.ts'

const CANARY = 'canary of the cluster'
const PASSPHRASE = 'correct horse battery'
const KEY = Buffer.alloc(32, 0x5a).toString('base64')
const SECRETS = [CANARY, PASSPHRASE, KEY, Buffer.from(KEY, 'base64').toString('latin1')]

type Settings = Readonly<Record<string, string>>

const place = tempDirectory('encryption')
const home = place.at('gnupg')
let cluster: Cluster
let logs = ''

function gpg(...args: string[]): string {
  const lock = ['--pinentry-mode', 'loopback', '--passphrase', PASSPHRASE]
  const run = spawnSync('gpg', ['--homedir', home, '--batch', '--yes', '--quiet', ...lock, ...args], {
    encoding: 'utf8',
  })
  if (run.status !== 0) throw new Error(`gpg ${args.join(' ')}: ${run.stderr}`)
  return run.stdout
}

function keyFile(name: string, text: string): string {
  const file = place.at(name)
  writeFileSync(file, text, { mode: 0o600 })
  return file
}

/** Runs the program at DEVEL, its temporary files in a folder of their own. */
async function walg(repository: string, args: readonly string[], settings: Settings): Promise<Finished> {
  mkdirSync(place.at(repository), { recursive: true })
  const env = {
    WALG_FILE_PREFIX: place.at(repository),
    TMPDIR: place.at('tmp'),
    WALG_LOG_LEVEL: 'DEVEL',
    PGHOST: '127.0.0.1',
    PGPORT: '1',
    GNUPGHOME: home,
    ...settings,
  }
  const finished = await runWalg(args, { env })
  logs += finished.stdout + finished.stderr
  return finished
}

async function fetchBackup(
  repository: string,
  settings: Settings,
): Promise<Finished & { readonly target: string }> {
  const target = place.at('restored')
  rmSync(target, { recursive: true, force: true })
  const retries = { WALG_DOWNLOAD_FILE_RETRIES: '0' }
  const finished = await walg(repository, ['backup-fetch', target, 'LATEST'], { ...retries, ...settings })
  return { ...finished, target }
}

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => path.join(entry.parentPath, entry.name))
}

/** What a method needs for writing, and for reading. */
interface Method {
  readonly name: string
  readonly method: string
  readonly write: Settings
  readonly read: Settings
  /** A key that does not fit. */
  readonly wrong: Settings
}

let methods: Method[] = []
const reason = missingTool('gpg')

describeUnless(reason, 'encrypted backups', () => {
  beforeAll(async () => {
    for (const folder of ['tmp', 'gnupg']) mkdirSync(place.at(folder), { mode: 0o700 })
    gpg('--quick-gen-key', 'dba@test.invalid', 'future-default', 'default', '0')
    gpg('--quick-gen-key', 'other@test.invalid', 'future-default', 'default', '0')
    const publicKey = keyFile('dba.pub', gpg('--armor', '--export', 'dba@test.invalid'))
    const secretKey = keyFile('dba.key', gpg('--armor', '--export-secret-keys', 'dba@test.invalid'))
    const otherKey = keyFile('other.key', gpg('--armor', '--export-secret-keys', 'other@test.invalid'))
    const sodium = { WALG_LIBSODIUM_KEY: KEY, WALG_LIBSODIUM_KEY_TRANSFORM: 'base64' }
    const wrongSodium = { ...sodium, WALG_LIBSODIUM_KEY: Buffer.alloc(32, 1).toString('base64') }
    const passphrase = { WALG_PGP_KEY_PASSPHRASE: PASSPHRASE }
    const gpgKey = { WALG_GPG_KEY_ID: 'dba@test.invalid' }
    const wrongPgp = { WALG_PGP_KEY_PATH: otherKey, ...passphrase }
    methods = [
      { name: 'libsodium', method: 'libsodium', write: sodium, read: sodium, wrong: wrongSodium },
      {
        name: 'OpenPGP',
        method: 'openpgp',
        write: { WALG_PGP_KEY_PATH: publicKey },
        read: { WALG_PGP_KEY_PATH: secretKey, ...passphrase },
        wrong: wrongPgp,
      },
      { name: 'gpg', method: 'openpgp', write: gpgKey, read: { ...gpgKey, ...passphrase }, wrong: wrongPgp },
    ]
    cluster = await startCluster({ major: 15 })
    await cluster.query(`create table t as select '${CANARY}' as c from generate_series(1, 1000)`)
    await cluster.stop()
  }, 60_000)

  afterAll(async () => {
    spawnSync('gpgconf', ['--homedir', home, '--kill', 'all'])
    await cluster[Symbol.asyncDispose]()
    place.remove()
  })

  for (const index of [0, 1, 2]) {
    const title = ['libsodium', 'OpenPGP', 'gpg and its agent'][index]
    test(`${title}: a backup is sealed, restores, and no other key opens it`, async () => {
      const { name, method, write, read, wrong } = methods[index]!
      const settings = { WALG_COMPRESSION_METHOD: 'none' }
      const pushed = await walg(name, ['backup-push', cluster.dataDirectory], { ...settings, ...write })
      expect({ exit: pushed.exit, stderr: pushed.exit === 0 ? '' : pushed.stderr }).toEqual({
        exit: 0,
        stderr: '',
      })
      const payloads = filesBelow(place.at(name)).filter(file => !file.endsWith('.json'))
      expect(payloads.length).toBeGreaterThan(3)
      for (const file of payloads) expect([file, readFileSync(file).includes(CANARY)]).toEqual([file, false])

      const fetched = await fetchBackup(name, read)
      expect({ exit: fetched.exit, stderr: fetched.exit === 0 ? '' : fetched.stderr }).toEqual({
        exit: 0,
        stderr: '',
      })
      const table = filesBelow(fetched.target).filter(file => readFileSync(file).includes(CANARY))
      expect(table.length).toBeGreaterThan(0)

      const [listed] = JSON.parse((await walg(name, ['backup-list', '--detail', '--json'], write)).stdout)
      expect(listed.encryption).toEqual({ method, key: expect.stringMatching(/^[0-9a-fA-F]{16,}$/) })

      const refused = await fetchBackup(name, wrong)
      expect(refused.exit).toBe(1)
      expect(refused.stderr).toContain(`is encrypted with the ${method} key ${listed.encryption.key}`)
      const keyless = await fetchBackup(name, {})
      expect(keyless.exit).toBe(1)
      expect(keyless.stderr).toContain(`is encrypted with the ${method} key ${listed.encryption.key}`)
    }, 60_000)
  }

  test('after a rotation old and new backups restore, and WAL of every kind is found', async () => {
    const [sodium, pgp] = methods as [Method, Method]
    const older = {
      WALG_LIBSODIUM_OLD_KEY_PATHS: keyFile('old.key', `${KEY}\n`),
      WALG_LIBSODIUM_KEY_TRANSFORM: 'base64',
    }
    const files = ['00000002.history', '00000003.history', '00000004.history']
    for (const file of files) writeFileSync(place.at(file), `1\t0/5000000\t${file}\n`)
    await walg('libsodium', ['wal-push', place.at(files[0]!)], sodium.write)
    await walg('libsodium', ['wal-push', place.at(files[1]!)], pgp.write)
    await walg('libsodium', ['wal-push', place.at(files[2]!)], {})
    const both = { ...pgp.read, ...older }
    expect((await fetchBackup('libsodium', both)).exit).toBe(0)
    for (const file of files.slice(0, 2)) {
      const { exit } = await walg('libsodium', ['wal-fetch', file, place.at(`${file}.out`)], both)
      expect([file, exit, readFileSync(place.at(`${file}.out`), 'utf8')]).toEqual([
        file,
        0,
        `1\t0/5000000\t${file}\n`,
      ])
    }
    const plain = await walg('libsodium', ['wal-fetch', files[2]!, place.at('plain.out')], both)
    expect(plain.exit).toBe(1)
    expect(plain.stderr).toContain('is not encrypted')
    const allowed = { ...both, WALG_READ_UNENCRYPTED: 'true' }
    expect((await walg('libsodium', ['wal-fetch', files[2]!, place.at('plain.out')], allowed)).exit).toBe(0)
  }, 60_000)

  test('what is wrong with keys is said before any work, all at once', async () => {
    const file = place.at('00000002.history')
    const cases: readonly [Settings, readonly string[]][] = [
      [{ WALG_REQUIRE_ENCRYPTION: 'true' }, ['no key to encrypt with']],
      [{ WALG_LIBSODIUM_KEY: '' }, ['WALG_LIBSODIUM_KEY is set, but empty']],
      [{ WALG_LIBSODIUM_KEY: 'short' }, ['WALG_LIBSODIUM_KEY has 5 bytes']],
      [{ WALG_LIBSODIUM_KEY_PATH: place.at('nowhere') }, ['WALG_LIBSODIUM_KEY_PATH', 'is not there']],
      [{ WALG_LIBSODIUM_KEY: 'k'.repeat(32), WALG_PGP_KEY_PATH: place.at('dba.pub') }, ['several methods']],
      [
        { WALG_LIBSODIUM_KEY: 'short', WALG_PGP_KEY: 'no key at all' },
        ['WALG_LIBSODIUM_KEY has 5 bytes', 'WALG_PGP_KEY holds no armored OpenPGP key'],
      ],
      [{ WALG_PGP_KEY_PASSPHRASE: PASSPHRASE }, ['no OpenPGP key is']],
      [{ WALG_LIBSODIUM_KEY_TRANSFORM: 'hex' }, ['no libsodium key is']],
      [{ WALG_GPG_KEY_ID: 'nobody@test.invalid' }, ['WALG_GPG_KEY_ID']],
      [{ WALG_LIBSODIUM_KEYS: 'k' }, ['WALG_LIBSODIUM_KEYS looks like a setting of encryption']],
    ]
    for (const [settings, messages] of cases) {
      const { exit, stderr } = await walg('refused', ['wal-push', file], settings)
      expect([exit, messages.filter(message => !stderr.includes(message))]).toEqual([1, []])
    }
    const publicOnly = await walg('refused', ['wal-fetch', 'x', place.at('x')], {
      WALG_PGP_KEY_PATH: place.at('dba.pub'),
    })
    expect([publicOnly.exit, publicOnly.stderr]).toEqual([
      1,
      expect.stringContaining('holds only a public key'),
    ])
    expect(readdirSync(place.at('refused'))).toEqual([])

    chmodSync(place.at('old.key'), 0o644)
    const warned = await walg('refused', ['wal-push', file], { WALG_LIBSODIUM_KEY_PATH: place.at('old.key') })
    expect(warned.exit).toBe(0)
    expect(warned.stderr).toContain('others may read the key file')
    expect(warned.stderr).toContain('looks like an encoded key')
  }, 60_000)

  test('no key, passphrase or content has been logged or left in a temporary file', () => {
    const inLog = SECRETS.filter(secret => logs.includes(secret))
    const armored = readFileSync(place.at('dba.key'), 'utf8')
      .split('\n')
      .filter(line => line.length > 40)
    expect({ inLog, armored: armored.filter(line => logs.includes(line)) }).toEqual({
      inLog: [],
      armored: [],
    })
    for (const file of filesBelow(place.at('tmp'))) {
      const bytes = readFileSync(file)
      expect([file, SECRETS.filter(secret => bytes.includes(Buffer.from(secret, 'latin1')))]).toEqual([
        file,
        [],
      ])
    }
  })
})
