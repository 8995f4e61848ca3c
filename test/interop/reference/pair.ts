import { expect } from 'bun:test'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { type Cluster, startCluster } from '../../support/cluster.ts'
import { giveTreeToClusterUser } from '../../support/cluster-template.ts'
import { giveToClusterUser } from '../../support/cluster-user.ts'
import { type Major, reachable } from '../../support/postgres-binaries.ts'
import { type Finished, runProcess } from '../../support/process.ts'
import { restoreSpec } from '../../support/restore-spec.ts'
import { reference } from '../../support/skip.ts'
import { type TempDirectory, tempDirectory } from '../../support/temp-directory.ts'
import { untilArchived } from '../../support/until-archived.ts'
import { runWalg, walgBinary } from '../../support/walg.ts'

export type Tool = 'ours' | 'original'
export type Environment = Readonly<Record<string, string>>

export const METHODS = ['lz4', 'zstd', 'brotli', 'lzma', 'none'] as const
export type Method = (typeof METHODS)[number]

/** The original sleeps for minutes before it tries a part again; a failure shall show at once. */
const NO_RETRIES = { WALG_DOWNLOAD_CONCURRENCY: '1', WALG_DOWNLOAD_FILE_RETRIES: '0' }
const NO_FSYNC = { WALG_TAR_DISABLE_FSYNC: 'true' }
const HOME = '/nonexistent'

export function binaryOf(tool: Tool): string {
  return tool === 'ours' ? walgBinary() : reachable(reference()!, 'wal-g-reference')
}

/** Runs either program as the cluster's user with the same arguments and environment. */
export function run(tool: Tool, args: readonly string[], env: Environment): Promise<Finished> {
  if (tool === 'ours') return runWalg(args, { env: { ...NO_FSYNC, ...env }, asClusterUser: true })
  return runProcess(binaryOf(tool), args, {
    env: { PATH: process.env['PATH'], HOME, TZ: 'UTC', ...NO_RETRIES, ...NO_FSYNC, ...env },
    cwd: '/',
    asClusterUser: true,
  })
}

/** As `run`; anything but exit 0 fails the test with stderr. */
export async function succeed(tool: Tool, args: readonly string[], env: Environment): Promise<Finished> {
  const finished = await run(tool, args, env)
  const { exit, stderr } = finished
  expect({ tool, args, exit, stderr: exit === 0 ? '' : stderr }).toEqual({ tool, args, exit: 0, stderr: '' })
  return finished
}

/** A line for archive_command or restore_command. */
export function commandLine(tool: Tool, env: Environment, args: string): string {
  const quote = (text: string): string => `'${text.replaceAll("'", "'\\''").replaceAll('%', '%%')}'`
  const variables = Object.entries({ HOME, ...env }).map(([name, value]) => quote(`${name}=${value}`))
  return ['env', ...variables, quote(binaryOf(tool)), args].join(' ')
}

export interface Scene extends AsyncDisposable {
  readonly cluster: Cluster
  /** Storage and connection, for either program. */
  readonly env: Environment
  readonly repository: string
  readonly place: TempDirectory
  readonly tablespaceOid: string
}

/** A cluster with a tablespace and files of odd names, archiving with `archiver` into an empty repository. */
export async function startScene(major: Major, method: Method, archiver: Tool): Promise<Scene> {
  const place = tempDirectory('reference')
  const repository = place.at('repository')
  const tablespace = place.at('tablespace')
  mkdirSync(repository)
  mkdirSync(tablespace)
  giveToClusterUser(repository)
  giveToClusterUser(tablespace, 0o700)
  const storage = { WALG_FILE_PREFIX: repository, WALG_COMPRESSION_METHOD: method }
  const cluster = await startCluster({
    major,
    archiveCommand: commandLine(archiver, storage, 'wal-push "%p"'),
  })
  writeOddFiles(cluster.dataDirectory)
  await cluster.query(`create tablespace ts1 location '${tablespace}'`)
  await cluster.query('create table t as select g, md5(g::text) from generate_series(1, 30000) g')
  await cluster.query('create unlogged table u as select 1 as a')
  await cluster.query(
    'create table t2 tablespace ts1 as select g, md5(g::text) from generate_series(1, 999) g',
  )
  const [row] = await cluster.query<{ oid: string }>(
    `select oid::text from pg_tablespace where spcname = 'ts1'`,
  )
  return {
    cluster,
    env: { ...storage, ...cluster.environment },
    repository,
    place,
    tablespaceOid: row!.oid,
    async [Symbol.asyncDispose]() {
      await cluster.remove()
      place.remove()
    },
  }
}

/** Names with a space, a quote, a new line, beyond ASCII, and too long for a tar header. */
function writeOddFiles(dataDirectory: string): void {
  const folder = path.join(dataDirectory, 'odd folder')
  mkdirSync(folder)
  mkdirSync(path.join(folder, 'empty'))
  const names = [
    'with space',
    `quote"'`,
    'new\nline',
    'Ünï-çödé-Ж',
    '%41+&#',
    `${'long'.repeat(50)}`,
    '.hidden',
  ]
  for (const name of names) writeFileSync(path.join(folder, name), `content of ${name}\n`)
  writeFileSync(path.join(folder, 'nothing'), '')
  writeFileSync(path.join(folder, 'one byte'), 'x', { mode: 0o640 })
  giveTreeToClusterUser(folder)
}

/** Fetches a backup with `tool` into a new folder named after both (and `suffix`), its tablespace beside it. */
export async function fetchBackup(
  scene: Scene,
  tool: Tool,
  backup: string,
  flags: readonly string[] = [],
  suffix = '',
): Promise<string> {
  const target = scene.place.at(`${tool}-${backup}${suffix}`)
  const oid = scene.tablespaceOid
  const spec = restoreSpec(`${target}.json`, target, { [oid]: `${target}.${oid}` })
  await succeed(tool, ['backup-fetch', target, backup, ...spec, ...flags], scene.env)
  return target
}

/** Ends the segment and waits until it, and all before it, are archived. */
export async function archiveAll({ cluster }: Scene): Promise<void> {
  await cluster.query('select pg_switch_wal()')
  await untilArchived(cluster)
}

/** `backup-list` of `tool`; ours without the key that it alone has. */
export async function listBackups(scene: Scene, tool: Tool, flags: readonly string[]): Promise<string> {
  const { stdout } = await succeed(tool, ['backup-list', ...flags], scene.env)
  return stdout.replace(/,"backup_type":"(full|delta)"/g, '')
}

/** Names of all backups, oldest first. */
export async function backupNames(scene: Scene): Promise<string[]> {
  const list = JSON.parse(await listBackups(scene, 'original', ['--json'])) as { backup_name: string }[]
  return list.map(({ backup_name }) => backup_name)
}

/** Every object of the repository, sorted. */
export function objectsOf(repository: string): string[] {
  return readdirSync(repository, { recursive: true, withFileTypes: true })
    .filter(entry => !entry.isDirectory())
    .map(entry => path.relative(repository, path.join(entry.parentPath, entry.name)))
    .sort()
}
