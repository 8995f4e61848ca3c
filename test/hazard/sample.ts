import { spawnSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import path from 'node:path'
import { type Cluster, startCluster } from '../support/cluster.ts'
import { giveToClusterUser } from '../support/cluster-user.ts'
import type { Major } from '../support/postgres-binaries.ts'
import type { Finished, RunOptions } from '../support/process.ts'
import { type TempDirectory, tempDirectory } from '../support/temp-directory.ts'
import { runWalg, walgCommand } from '../support/walg.ts'

export const PARTS = 'tar_partitions'
const SENTINEL = '_backup_stop_sentinel.json'

/** Small segments and small parts, so that there is something to damage; nothing is read again, nothing flushed. */
export const SMALL_SETTINGS: Readonly<Record<string, string>> = {
  WALG_PG_WAL_SIZE: '1',
  WALG_TAR_SIZE_THRESHOLD: '8000000',
  WALG_DOWNLOAD_FILE_RETRIES: '0',
  WALG_TAR_DISABLE_FSYNC: 'true',
}

/** A repository, the settings that lead to it, and what a test wants to ask of it. */
export interface Repository {
  readonly root: string
  readonly env: Readonly<Record<string, string>>
  /** Below `basebackups_005`. */
  backupPath(...names: string[]): string
  /** Names of the backups whose sentinel is there. */
  sentinels(): string[]
  /** Objects and temporaries of a backup, without its sentinel; relative to its folder. */
  objectsOf(backup: string): string[]
  run(args: readonly string[], options?: RunOptions): Promise<Finished>
}

export function repositoryAt(root: string, settings: Readonly<Record<string, string>> = {}): Repository {
  if (!existsSync(root)) mkdirSync(root)
  giveToClusterUser(root, 0o777)
  const env = { WALG_FILE_PREFIX: root, ...SMALL_SETTINGS, ...settings }
  const folder = path.join(root, 'basebackups_005')
  return {
    root,
    env,
    backupPath: (...names) => path.join(folder, ...names),
    sentinels: () =>
      entries(folder)
        .filter(name => name.endsWith(SENTINEL))
        .map(name => name.slice(0, -SENTINEL.length))
        .sort(),
    objectsOf: backup => {
      const at = path.join(folder, backup)
      if (!existsSync(at)) return []
      return readdirSync(at, { recursive: true, withFileTypes: true })
        .filter(entry => !entry.isDirectory())
        .map(entry => path.relative(at, path.join(entry.parentPath, entry.name)))
        .sort()
    },
    run: (args, options = {}) => runWalg(args, { ...options, env: { ...env, ...options.env } }),
  }
}

function entries(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : []
}

/** A copy of a repository, times included, to be damaged. */
export function copyRepository(
  source: Repository,
  to: string,
  settings: Readonly<Record<string, string>> = {},
): Repository {
  copyTree(source.root, to)
  return repositoryAt(to, settings)
}

export function copyTree(source: string, to: string): void {
  const { status, stderr } = spawnSync('cp', ['-a', '--reflink=auto', source, to], { encoding: 'utf8' })
  if (status !== 0) throw new Error(stderr)
}

/** A server that archives into a repository of its own, both removed together. */
export interface Scene extends AsyncDisposable {
  readonly cluster: Cluster
  readonly repository: Repository
  readonly place: TempDirectory
  /** Settings of the repository and of the connection. */
  readonly env: Readonly<Record<string, string>>
}

export async function openScene(
  options: {
    readonly major?: Major
    readonly rows?: number
    readonly settings?: Record<string, string>
  } = {},
): Promise<Scene> {
  const place = tempDirectory('hazard')
  const repository = repositoryAt(place.at('repository'), options.settings)
  const cluster = await startCluster({
    major: options.major ?? 17,
    segmentSizeMiB: 1,
    archiveCommand: walgCommand({ WALG_FILE_PREFIX: repository.root }, 'wal-push %p'),
  })
  await cluster.query(
    `create table t as select g, md5(g::text) from generate_series(1, ${options.rows ?? 2000}) g`,
  )
  return {
    cluster,
    repository,
    place,
    env: { ...repository.env, ...cluster.environment },
    async [Symbol.asyncDispose]() {
      await cluster.remove()
      place.remove()
    },
  }
}

/** Pushes a backup that must succeed, and tells its name. */
export async function pushBackup(scene: Scene, args: readonly string[] = []): Promise<string> {
  const known = scene.repository.sentinels()
  const run = await scene.repository.run(['backup-push', scene.cluster.dataDirectory, ...args], {
    env: scene.env,
  })
  if (run.exit !== 0) throw new Error(run.stderr)
  const name = scene.repository.sentinels().find(one => !known.includes(one))
  if (name === undefined) throw new Error(`no new backup\n${run.stderr}`)
  return name
}

/** A restore that PostgreSQL would take for complete. */
export function looksComplete(directory: string): boolean {
  return existsSync(path.join(directory, 'global/pg_control'))
}

/** `ERROR: …` lines and hints of a run. */
export function errorsOf(run: Finished): string {
  return run.stderr
    .split('\n')
    .filter(line => !/^(INFO|WARNING|DEBUG): /.test(line))
    .join('\n')
}
