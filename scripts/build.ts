// Compiles src/cli/main.ts with its workers, WebAssembly and native addons into one executable.
// Usage: bun scripts/build.ts [--outfile FILE] [--platform linux-x64[-musl]|linux-arm64[-musl]] [--runtime BUN_EXECUTABLE]
import { spawnSync } from 'node:child_process'
import { existsSync, renameSync, rmSync } from 'node:fs'
import { createRequire } from 'node:module'
import path from 'node:path'
import { parseArgs } from 'node:util'
import { embedAddons, leaveOutAddons } from './build-addons.ts'
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

/** SOURCE_DATE_EPOCH, else the time of the commit: the same sources give the same bytes. */
function buildDate(): string {
  const epoch = process.env['SOURCE_DATE_EPOCH'] ?? git('log', '-1', '--format=%ct') ?? '0'
  return new Date(Number(epoch) * 1000).toISOString().slice(0, 19).replace('T', '_').replaceAll('-', '.')
}

const { version } = createRequire(import.meta.url)('../package.json') as { version: string }
const source = path.join(root, 'src')
const draft = `${values.outfile}.${process.pid}`

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
    outfile: draft,
    ...(values.runtime === undefined ? {} : { executablePath: path.resolve(values.runtime) }),
    ...(values.runtime === undefined ? {} : { target: `bun-${values.platform}` as Bun.Build.CompileTarget }),
    // a .env or bunfig.toml in the data directory must not change what the program does
    autoloadDotenv: false,
    autoloadBunfig: false,
    autoloadTsconfig: false,
    autoloadPackageJson: false,
  },
  plugins: [rewriteWorkerUrls(source), embedAddons(values.platform, ['sodium-native']), leaveOutAddons()],
  throw: false,
})

for (const log of result.logs) console.error(String(log))
if (!result.success || !existsSync(draft)) {
  rmSync(draft, { force: true })
  process.exit(1)
}
renameSync(draft, values.outfile)
