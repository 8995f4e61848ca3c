import { spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import path from 'node:path'
import { projectRoot, reachable } from './postgres-binaries.ts'
import { type Finished, type RunOptions, type Started, startProcess } from './process.ts'
import { type TempDirectory, tempDirectory } from './temp-directory.ts'

let binary: string | undefined

/**
 * The compiled program, at a place that the cluster's user can reach: WALG_BINARY, else dist/wal-g, which is built
 * first when a source is newer.
 */
export function walgBinary(): string {
  if (binary !== undefined) return binary
  const given = process.env['WALG_BINARY']
  let file = given
  if (file === undefined) {
    file = path.join(projectRoot, 'dist/wal-g')
    const build = spawnSync('node', [path.join(projectRoot, 'scripts/ensure.mjs'), 'build'], {
      encoding: 'utf8',
    })
    if (build.status !== 0) throw new Error(`the build failed:\n${build.stdout}${build.stderr}`)
  }
  if (!existsSync(file)) throw new Error(`there is no "${file}"`)
  binary = reachable(path.resolve(file), 'wal-g')
  return binary
}

let home: TempDirectory | undefined

function environment(given: RunOptions['env']): Record<string, string | undefined> {
  home ??= tempDirectory('home') // without a ~/.walg.json
  return { PATH: process.env['PATH'], HOME: home.path, TZ: 'UTC', ...given }
}

/** Runs the program to its end with exactly `env` besides PATH, TZ=UTC and an empty HOME. */
export function runWalg(args: readonly string[], options: RunOptions = {}): Promise<Finished> {
  return startWalg(args, options).finished
}

/** Starts the program without waiting for it: to kill it, or to watch it. */
export function startWalg(args: readonly string[], options: RunOptions = {}): Started {
  return startProcess(walgBinary(), args, { ...options, env: environment(options.env) })
}

/** A shell command line for archive_command and restore_command: `env … 'wal-g' ARGS`. `%p` and `%f` stay as they are. */
export function walgCommand(env: Readonly<Record<string, string>>, args: string): string {
  const quote = (text: string): string => `'${text.replaceAll("'", "'\\''").replaceAll('%', '%%')}'`
  const variables = Object.entries(env).map(([name, value]) => quote(`${name}=${value}`))
  return ['env', ...variables, quote(walgBinary()), args].join(' ')
}
