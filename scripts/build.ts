// Compiles src/cli/main.ts with its workers, WebAssembly and native addons into one executable.
// Usage: bun scripts/build.ts [--outfile FILE] [--platform linux-x64[-musl]|linux-arm64[-musl]] [--runtime BUN_EXECUTABLE]
import { spawnSync } from 'node:child_process'
import { existsSync, renameSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { embedAddons, leaveOutAddons } from './build-addons.ts'
import { recordStart } from './build-profile.ts'
import { findWorkers, rewriteWorkerUrls } from './build-workers.ts'

const root = path.dirname(import.meta.dir)

const { values } = parseArgs({
  options: {
    outfile: { type: 'string', default: path.join(root, 'dist/wal-g') },
    platform: { type: 'string', default: `${process.platform}-${process.arch}` },
    runtime: { type: 'string' },
  },
})

function git(...args: string[]): string | undefined {
  const result = spawnSync('git', ['-C', root, ...args], { encoding: 'utf8' })
  return result.status === 0 ? result.stdout.trim() : undefined
}

/** SOURCE_DATE_EPOCH, else the time of the commit: the same sources give the same version line. */
function buildDate(): string {
  const epoch = process.env['SOURCE_DATE_EPOCH'] ?? git('log', '-1', '--format=%ct') ?? '0'
  return new Date(Number(epoch) * 1000).toISOString().slice(0, 19).replace('T', '_').replaceAll('-', '.')
}

const { version } = createRequire(import.meta.url)('../package.json') as { version: string }
const source = path.join(root, 'src')
const draft = `${values.outfile}.${process.pid}`

/**
 * Code runs this many times longer before it is compiled to machine code. A process per WAL segment is over by then, and has spared
 * itself the compilers and their memory; what takes longer spends its time in WebAssembly and is none the slower.
 */
const JIT_POLICY = 30

interface Target {
  readonly outfile: string
  readonly platform: string
  /** The Bun executable that the program is put into; absent: the one that runs this. */
  readonly runtime?: string
}

/** `order`: records of what runs of the program have used. */
async function compile({ outfile, platform, runtime }: Target, order: readonly string[]): Promise<void> {
  const result = await Bun.build({
    entrypoints: [path.join(source, 'cli/main.ts'), ...findWorkers(source)],
    root: source,
    target: 'bun',
    format: 'esm',
    // with bytecode and lazily loaded chunks `--version` reads only what it runs
    // names stay: a stack trace that a user sends must be readable
    minify: { whitespace: true, syntax: true, identifiers: false },
    bytecode: true,
    splitting: true,
    define: {
      // libraries print what they stumble over when this says development
      'process.env.NODE_ENV': JSON.stringify('production'),
      WALG_VERSION: JSON.stringify(`v${version}`),
      WALG_REVISION: JSON.stringify(git('rev-parse', '--short', 'HEAD') ?? 'unknown'),
      WALG_BUILD_DATE: JSON.stringify(buildDate()),
    },
    compile: {
      outfile,
      jitPolicy: JIT_POLICY,
      bytecodeOrder: [...order],
      ...(runtime === undefined ? {} : { executablePath: path.resolve(runtime) }),
      ...(runtime === undefined ? {} : { target: `bun-${platform}` as Bun.Build.CompileTarget }),
      // a .env or bunfig.toml in the data directory must not change what the program does
      autoloadDotenv: false,
      autoloadBunfig: false,
      autoloadTsconfig: false,
      autoloadPackageJson: false,
    },
    plugins: [rewriteWorkerUrls(source), embedAddons(platform, ['sodium-native']), leaveOutAddons()],
    throw: false,
  })

  for (const log of result.logs) console.error(String(log))
  if (!result.success || !existsSync(outfile)) {
    rmSync(outfile, { force: true })
    process.exit(1)
  }
}

const { outfile, platform, runtime } = values
await compile({ outfile: draft, platform: `${process.platform}-${process.arch}` }, [])
using profile = recordStart(draft)
await compile({ outfile: draft, platform, ...(runtime === undefined ? {} : { runtime }) }, profile.files)
renameSync(draft, outfile)
