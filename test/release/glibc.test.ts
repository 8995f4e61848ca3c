import { describe, expect, test } from 'bun:test'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { addonFile } from '../../scripts/build-addons.ts'
import { cacheDirectory } from '../support/postgres-binaries.ts'
import { runProcess, runTool } from '../support/process.ts'
import { describeUnless, missingTool, type SkipReason } from '../support/skip.ts'
import { tempDirectory } from '../support/temp-directory.ts'
import { walgBinary } from '../support/walg.ts'

/** RHEL 8. Its C++ library is the one of gcc 8. */
const GLIBC_MAX = [2, 28]
const GLIBCXX_MAX = [3, 4, 25]

function versionsIn(bytes: Buffer, family: string): number[][] {
  const text = bytes.toString('latin1')
  const found = new Set(
    [...text.matchAll(new RegExp(`\\b${family}_(\\d+(?:\\.\\d+)+)`, 'g'))].map(match => match[1]!),
  )
  return [...found].map(version => version.split('.').map(Number))
}

function isLater(version: readonly number[], limit: readonly number[]): boolean {
  const at = limit.findIndex((part, index) => (version[index] ?? 0) !== part)
  return at !== -1 && (version[at] ?? 0) > limit[at]!
}

/** Addons that may fail to load, because something in the program takes their place. */
const OPTIONAL_ADDONS = ['sodium-native']

function optionalAddon(name: string): Buffer {
  return readFileSync(addonFile(name, `${process.platform}-${process.arch}`)!)
}

function withoutOptionalAddons(bytes: Buffer): Buffer {
  for (const addon of OPTIONAL_ADDONS.map(optionalAddon)) {
    const at = bytes.indexOf(addon)
    expect(at).toBeGreaterThan(0)
    bytes.fill(0, at, at + addon.length)
  }
  return bytes
}

describe.if(process.platform === 'linux')('the executable on old systems', () => {
  test('the runtime and every embedded addon without a substitute ask for nothing later than glibc 2.28', () => {
    const bytes = withoutOptionalAddons(readFileSync(walgBinary()))
    const glibc = versionsIn(bytes, 'GLIBC')
    expect(glibc.length).toBeGreaterThan(0)
    expect(glibc.filter(version => isLater(version, GLIBC_MAX))).toEqual([])
    expect(versionsIn(bytes, 'GLIBCXX').filter(version => isLater(version, GLIBCXX_MAX))).toEqual([])
  })
})

const SUITE = 'bullseye'
const LIBRARIES = ['libc6', 'libstdc++6', 'libgcc-s1']

/** Debian's mirror as this machine is configured, or undefined. */
async function mirror(): Promise<string | undefined> {
  const sources = await runProcess('apt-get', ['indextargets', '--format', '$(REPO_URI)'])
  return sources.stdout.split('\n').find(uri => /\/debian\/?$/.test(uri))
}

/** An older Debian's loader and C libraries, unpacked in the cache and not installed; or why there are none. */
async function oldLibraries(): Promise<{ root: string } | { reason: string }> {
  const root = path.join(cacheDirectory(), `libraries-${SUITE}`)
  if (existsSync(path.join(root, 'complete'))) return { root }
  const uri = await mirror()
  if (uri === undefined) return { reason: 'no Debian mirror is configured' }
  using workshop = tempDirectory('apt')
  for (const folder of ['lists/partial', 'cache/archives/partial', 'etc', 'debs']) {
    mkdirSync(workshop.at(folder), { recursive: true })
  }
  const keys = '/usr/share/keyrings/debian-archive-keyring.gpg'
  writeFileSync(workshop.at('etc/sources.list'), `deb [signed-by=${keys}] ${uri} ${SUITE} main\n`)
  writeFileSync(workshop.at('status'), '')
  const options = {
    'Dir::Etc::sourcelist': workshop.at('etc/sources.list'),
    'Dir::Etc::sourceparts': '/dev/null',
    'Dir::State::lists': workshop.at('lists'),
    'Dir::Cache': workshop.at('cache'),
    'Dir::State::status': workshop.at('status'),
    'APT::Sandbox::User': process.env['USER'] ?? 'root',
    'Acquire::Languages': 'none',
  }
  const apt = ['-q', ...Object.entries(options).flatMap(([name, value]) => ['-o', `${name}=${value}`])]
  for (const args of [['update'], ['download', ...LIBRARIES]]) {
    const done = await runProcess('apt-get', [...apt, ...args], { cwd: workshop.at('debs') })
    if (done.exit !== 0) return { reason: `Debian ${SUITE} cannot be downloaded` }
  }
  for (const deb of readdirSync(workshop.at('debs'))) {
    await runTool('dpkg-deb', ['-x', workshop.at('debs', deb), root])
  }
  writeFileSync(path.join(root, 'complete'), '')
  return { root }
}

const missing: SkipReason = process.arch === 'x64' ? missingTool('apt-get', 'dpkg-deb') : 'only on x64'
const libraries = missing === undefined ? await oldLibraries() : { reason: missing }
const reason = 'reason' in libraries ? libraries.reason : undefined

describeUnless(reason, `with the loader and libraries of Debian ${SUITE} (glibc 2.31)`, () => {
  const root = 'root' in libraries ? libraries.root : ''
  const folders = ['lib/x86_64-linux-gnu', 'usr/lib/x86_64-linux-gnu'].map(folder => path.join(root, folder))
  const loader = path.join(root, 'lib/x86_64-linux-gnu/ld-2.31.so')
  const run = (args: string[], env: Record<string, string> = {}): ReturnType<typeof runTool> =>
    runTool(loader, ['--library-path', folders.join(':'), walgBinary(), ...args], {
      env: { HOME: '/nonexistent', ...env },
    })

  test('--version answers', async () => {
    expect((await run(['--version'])).stdout).toStartWith('wal-g version v')
  })

  test('lzma works there: what wal-push stored, wal-fetch gives back', async () => {
    using place = tempDirectory('old-glibc')
    mkdirSync(place.at('storage'))
    const history = place.at('00000002.history')
    writeFileSync(history, '1\t0/5000000\tno recovery target specified\n')
    const env = { WALG_FILE_PREFIX: place.at('storage'), WALG_COMPRESSION_METHOD: 'lzma' }
    await run(['wal-push', history], env)
    expect(readdirSync(place.at('storage/wal_005'))).toEqual(['00000002.history.lzma'])
    await run(['wal-fetch', '00000002.history', place.at('fetched')], env)
    expect(readFileSync(place.at('fetched'))).toEqual(readFileSync(history))
  })

  test('libsodium goes on in WebAssembly where its addon asks for a later glibc: the same objects', async () => {
    const wanted = versionsIn(optionalAddon('sodium-native'), 'GLIBC')
    expect(wanted.some(version => isLater(version, [2, 31]))).toBe(true)
    using place = tempDirectory('old-glibc-sodium')
    mkdirSync(place.at('storage'))
    const history = place.at('00000002.history')
    writeFileSync(history, '1\t0/5000000\tno recovery target specified\n'.repeat(1000))
    const env = {
      WALG_FILE_PREFIX: place.at('storage'),
      WALG_LIBSODIUM_KEY: Buffer.alloc(32, 5).toString('hex'),
      WALG_LIBSODIUM_KEY_TRANSFORM: 'hex',
    }
    await run(['wal-push', history], env)
    await run(['wal-fetch', '00000002.history', place.at('old')], env)
    await runTool(walgBinary(), ['wal-fetch', '00000002.history', place.at('today')], {
      env: { HOME: '/nonexistent', ...env },
    })
    for (const name of ['old', 'today']) expect(readFileSync(place.at(name))).toEqual(readFileSync(history))
  })
})
