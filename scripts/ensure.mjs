// Makes a checkout ready: dependencies as in the lock file, dist/wal-g as in the sources, tools of the system.
// Plain Node >= 20 without packages, so that it works as the first command in a fresh clone.
// Usage: node scripts/ensure.mjs [dependencies|build|tools] [--force]
import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { run } from './run.mjs'

export const root = dirname(dirname(fileURLToPath(import.meta.url)))
export const bun = join(root, 'node_modules/bun/bin/bun.exe')

const say = text => console.log(`[ensure] ${text}`)
const sleep = milliseconds => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, milliseconds)

function fail(text, result) {
  console.error(`[ensure] ${text}\n${result.stdout.slice(-4000)}${result.stderr.slice(-4000)}`)
  process.exit(1)
}

/** One process at a time; a lock whose owner is gone is taken over. */
function withLock(action) {
  const lock = join(root, '.cache/ensure.lock')
  mkdirSync(dirname(lock), { recursive: true })
  for (let attempt = 0; ; attempt++) {
    try {
      writeFileSync(lock, String(process.pid), { flag: 'wx' })
      break
    } catch (error) {
      if (error.code !== 'EEXIST' || attempt > 6000) throw error
    }
    const owner = Number(readFileSync(lock, { encoding: 'utf8', flag: 'a+' }))
    if (owner > 0 && !isRunning(owner)) rmSync(lock, { force: true })
    else sleep(100)
  }
  try {
    return action()
  } finally {
    rmSync(lock, { force: true })
  }
}

function isRunning(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

/** Why `npm ci` is needed, or undefined: what npm installed is compared with the lock file. */
function dependencyTrouble() {
  const installed = join(root, 'node_modules/.package-lock.json')
  if (!existsSync(installed)) return 'node_modules is missing'
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages
  const have = JSON.parse(readFileSync(installed, 'utf8')).packages
  for (const [place, entry] of Object.entries(wanted)) {
    if (place === '') continue
    if (have[place] === undefined && !entry.optional) return `${place} is missing`
    if (have[place] !== undefined && have[place].version !== entry.version)
      return `${place} is another version`
  }
  return undefined
}

/** The bun package is an empty shell until its install script has put the runtime of this platform in place. */
function ensureRuntime() {
  if (existsSync(bun) && statSync(bun).size > 1_000_000) return
  const result = run(process.execPath, ['install.js'], { cwd: join(root, 'node_modules/bun') })
  if (result.status !== 0) fail('the Bun runtime could not be put in place', result)
}

export function ensureDependencies() {
  if (dependencyTrouble() !== undefined) sleep(2000) // an `npm install` of somebody else may just be ending
  const trouble = dependencyTrouble()
  if (trouble !== undefined) {
    withLock(() => {
      if (dependencyTrouble() === undefined) return
      say(`${trouble}: npm ci`)
      // our own steps below replace the install scripts: none of a dependency's code runs while installing
      const result = run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: root })
      if (result.status !== 0) fail('npm ci failed', result)
    })
  }
  ensureRuntime()
}

function listFiles(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter(entry => entry.isFile())
    .map(entry => join(entry.parentPath ?? entry.path, entry.name))
}

/** A hash of everything that goes into the executable. */
function hashInputs() {
  const scripts = ['build.ts', 'build-addons.ts', 'build-profile.ts', 'build-workers.ts', 'build-wasm.mjs']
  const files = listFiles(join(root, 'src')).filter(file => !/\.test\.ts$|\.wasm$/.test(file))
  files.push(...scripts.map(name => join(root, 'scripts', name)))
  files.push(join(root, 'package.json'), join(root, 'package-lock.json'))
  const hash = createHash('sha256')
  for (const file of files.sort()) hash.update(file).update('\0').update(readFileSync(file)).update('\0')
  return hash.digest('hex')
}

/** Builds the WebAssembly modules and dist/wal-g when a source has changed since. */
export function ensureBuild({ isForced = false } = {}) {
  ensureDependencies()
  const stamp = join(root, 'dist/wal-g.inputs')
  const isFresh = () =>
    existsSync(join(root, 'dist/wal-g')) && existsSync(stamp) && readFileSync(stamp, 'utf8') === hashInputs()
  if (!isForced && isFresh()) return
  withLock(() => {
    if (!isForced && isFresh()) return
    say('building dist/wal-g')
    mkdirSync(join(root, 'dist'), { recursive: true })
    const inputs = hashInputs()
    const wasm = run(process.execPath, [join(root, 'scripts/build-wasm.mjs')], { cwd: root })
    if (wasm.status !== 0) fail('the WebAssembly modules do not build', wasm)
    const build = run(bun, [join(root, 'scripts/build.ts')], { cwd: root })
    if (build.status !== 0) fail('the build failed', build)
    writeFileSync(stamp, inputs)
  })
}

/** The WebAssembly modules alone: what tests on the sources need. */
export function ensureWasm() {
  ensureDependencies()
  const wasm = withLock(() => run(process.execPath, [join(root, 'scripts/build-wasm.mjs')], { cwd: root }))
  if (wasm.status !== 0) fail('the WebAssembly modules do not build', wasm)
}

/** Programs that only a distribution has: oracles of the tests. Program -> Debian package. */
const TOOLS = {
  brotli: 'brotli',
  lzop: 'lzop',
  xz: 'xz-utils',
  lz4: 'lz4',
  zstd: 'zstd',
  pgbackrest: 'pgbackrest',
  openssl: 'openssl',
  setpriv: 'util-linux',
  '/usr/lib/postgresql/15/bin/pg_verifybackup': 'postgresql-15',
  '/usr/lib/python3/dist-packages/swift/proxy/server.py': 'python3-swift',
  '/usr/sbin/sshd': 'openssh-server',
}

function isInstalled(program) {
  if (program.startsWith('/')) return existsSync(program)
  return (process.env.PATH ?? '').split(':').some(folder => existsSync(join(folder, program)))
}

/** Installs the missing tools where it may (root, apt); elsewhere the tests that need them are skipped by name. */
export function ensureTools() {
  const missing = Object.entries(TOOLS).filter(([program]) => !isInstalled(program))
  if (missing.length === 0) return
  const packages = missing.map(([, name]) => name)
  const isPossible = process.getuid?.() === 0 && isInstalled('apt-get')
  if (!isPossible) {
    say(`not installed: ${packages.join(' ')}; the tests that need them are skipped`)
    return
  }
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const install = names =>
    run(
      'apt-get',
      ['-y', '-q', '-o', 'DPkg::Lock::Timeout=120', 'install', '--no-install-recommends', ...names],
      {
        env,
      },
    )
  say(`apt-get install ${packages.join(' ')}`)
  if (install(packages).status === 0) return
  run('apt-get', ['-q', 'update'], { env })
  for (const name of packages) {
    if (install([name]).status !== 0) say(`${name} cannot be installed; the tests that need it are skipped`)
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const isForced = process.argv.includes('--force')
  switch (process.argv[2] ?? 'build') {
    case 'dependencies':
      ensureDependencies()
      break
    case 'build':
      ensureBuild({ isForced })
      break
    case 'tools':
      ensureTools()
      break
    default:
      console.error('usage: node scripts/ensure.mjs [dependencies|build|tools] [--force]')
      process.exit(1)
  }
}
