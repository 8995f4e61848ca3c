import { mkdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import type { Cluster } from '../test/support/cluster.ts'
import { giveToClusterUser } from '../test/support/cluster-user.ts'
import { type TempDirectory, tempDirectory } from '../test/support/temp-directory.ts'
import { repositoriesOf } from './data-sets.ts'
import type { BenchOptions, Method } from './options.ts'

/** Where a contest takes place. */
export interface Place {
  readonly options: BenchOptions
  readonly cluster: Cluster
  readonly directory: TempDirectory
}

export function openPlace(options: BenchOptions, cluster: Cluster): Place {
  return { options, cluster, directory: tempDirectory('bench') }
}

/** A program that takes the settings of wal-g: ours, or the original. */
export interface WalgProgram {
  readonly name: string
  readonly file: string
}

export function walgPrograms(options: BenchOptions): WalgProgram[] {
  const ours = { name: 'this wal-g', file: options.program }
  return options.peerProgram === undefined
    ? [ours]
    : [ours, { name: 'original wal-g', file: options.peerProgram }]
}

export function walgEnvironment(place: Place, repository: string, method: Method): Record<string, string> {
  return {
    ...place.cluster.environment,
    WALG_FILE_PREFIX: repository,
    WALG_COMPRESSION_METHOD: method,
  }
}

export function emptyDirectory(directory: string): void {
  rmSync(directory, { recursive: true, force: true })
  mkdirSync(directory, { recursive: true, mode: 0o700 })
}

/** A repository that the server archives into, as it is after `emptyRepository`. */
export function repositoryOf(place: Place, name: string): string {
  return path.join(repositoriesOf(place.cluster), name.replaceAll(' ', '-'))
}

/** Without the server's WAL in its repository a backup waits a second, to see whether the archive is only late. */
export function emptyRepository(repository: string): void {
  rmSync(repository, { recursive: true, force: true })
  const archive = path.join(repository, 'wal_005')
  mkdirSync(archive, { recursive: true })
  giveToClusterUser(archive, 0o755)
}

/** Where a program of the system lies; undefined when it is not installed. */
export function installed(program: string): string | undefined {
  return Bun.which(program, { PATH: `${process.env['PATH']}:/usr/lib/postgresql/15/bin` }) ?? undefined
}
