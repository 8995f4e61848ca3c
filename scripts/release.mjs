// Makes what is published, in dist/release: tarballs, .deb packages and checksums, for each platform.
// Usage: node scripts/release.mjs [platform…]   platforms: amd64 arm64 amd64-musl arm64-musl (default: all)
import { createHash } from 'node:crypto'
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bun, ensureDependencies, ensureWasm, root } from './ensure.mjs'
import { writeDeb, writeTarball } from './release-packages.mjs'
import { run } from './run.mjs'

/** Platform -> the npm package with its Bun runtime, and the name of the build. Every runtime works without AVX2. */
const PLATFORMS = {
  amd64: { runtime: '@oven/bun-linux-x64', build: 'linux-x64', hasDeb: true },
  arm64: { runtime: '@oven/bun-linux-aarch64', build: 'linux-arm64', hasDeb: true },
  'amd64-musl': { runtime: '@oven/bun-linux-x64-musl', build: 'linux-x64-musl', hasDeb: false },
  'arm64-musl': { runtime: '@oven/bun-linux-aarch64-musl', build: 'linux-arm64-musl', hasDeb: false },
}

const packageFile = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
const releaseDirectory = join(root, 'dist/release')

function must(file, args, options) {
  const result = run(file, args, { cwd: root, ...options })
  if (result.status !== 0)
    throw new Error(`${file} ${args.join(' ')}: status ${result.status}\n${result.stderr}`)
  return result.stdout
}

/** The Bun runtime of a platform: from npm, checked against the lock file, kept in .cache. */
export function fetchRuntime(name) {
  const version = packageFile.devDependencies.bun
  const folder = join(root, '.cache/runtimes')
  const kept = join(folder, `${name.split('/')[1]}-${version}`)
  if (existsSync(kept)) return kept
  mkdirSync(folder, { recursive: true })
  const workshop = mkdtempSync(join(folder, 'fetch-'))
  try {
    must('npm', ['pack', `${name}@${version}`, '--pack-destination', workshop, '--silent'])
    const archive = join(workshop, readdirSync(workshop)[0])
    const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'))
    const [algorithm, expected] = lock.packages[`node_modules/${name}`].integrity.split(/-(.*)/s)
    const actual = createHash(algorithm).update(readFileSync(archive)).digest('base64')
    if (actual !== expected) throw new Error(`${name}@${version} is not what package-lock.json says`)
    must('tar', ['-xzf', archive, '-C', workshop, 'package/bin/bun'])
    chmodSync(join(workshop, 'package/bin/bun'), 0o755)
    renameSync(join(workshop, 'package/bin/bun'), kept)
  } finally {
    rmSync(workshop, { recursive: true, force: true })
  }
  return kept
}

/** Compiles for one platform; returns the path of the executable. */
export function buildFor(platform, outfile) {
  const { runtime, build } = PLATFORMS[platform]
  const args = [
    'scripts/build.ts',
    '--outfile',
    outfile,
    '--platform',
    build,
    '--runtime',
    fetchRuntime(runtime),
  ]
  process.stdout.write(must(bun, args))
  return outfile
}

function release(platforms) {
  ensureDependencies()
  ensureWasm()
  rmSync(releaseDirectory, { recursive: true, force: true })
  mkdirSync(releaseDirectory, { recursive: true })
  const epoch = Number(process.env.SOURCE_DATE_EPOCH ?? must('git', ['log', '-1', '--format=%ct']).trim())
  for (const platform of platforms) {
    const name = `wal-g-pg-linux-${platform}`
    const stage = join(releaseDirectory, name)
    mkdirSync(stage)
    buildFor(platform, join(stage, 'wal-g'))
    for (const file of ['LICENSE', 'README.md']) {
      if (existsSync(join(root, file))) cpSync(join(root, file), join(stage, file))
    }
    writeTarball(`${stage}.tar.gz`, stage, epoch)
    if (PLATFORMS[platform].hasDeb) {
      const deb = join(releaseDirectory, `wal-g_${packageFile.version}_${platform}.deb`)
      writeDeb(deb, {
        executable: join(stage, 'wal-g'),
        license: join(root, 'LICENSE'),
        platform,
        packageFile,
        epoch,
      })
    }
    rmSync(stage, { recursive: true })
  }
  const files = readdirSync(releaseDirectory).sort()
  const sums = files.map(file => {
    const hash = createHash('sha256')
      .update(readFileSync(join(releaseDirectory, file)))
      .digest('hex')
    return `${hash}  ${file}\n`
  })
  for (const [at, file] of files.entries()) writeFileSync(join(releaseDirectory, `${file}.sha256`), sums[at])
  writeFileSync(join(releaseDirectory, 'SHA256SUMS'), sums.join(''))
  process.stdout.write(sums.join(''))
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const platforms = process.argv.slice(2)
  const unknown = platforms.filter(platform => PLATFORMS[platform] === undefined)
  if (unknown.length > 0) {
    console.error(`unknown platform ${unknown.join(', ')}; there are ${Object.keys(PLATFORMS).join(', ')}`)
    process.exit(1)
  }
  release(platforms.length > 0 ? platforms : Object.keys(PLATFORMS))
}
