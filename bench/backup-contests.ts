import { mkdirSync, rmSync } from 'node:fs'
import path from 'node:path'
import { type Contender, compete, type Standing } from './contest.ts'
import { treeBytes } from './data-sets.ts'
import { type CommandLine, time } from './measure.ts'
import type { Method } from './options.ts'
import { pgBackRest } from './pgbackrest.ts'
import {
  emptyDirectory,
  emptyRepository,
  installed,
  type Place,
  repositoryOf,
  type WalgProgram,
  walgEnvironment,
  walgPrograms,
} from './place.ts'

/** A peer that this machine does not have, or that has no such method. */
export type Skips = (name: string, reason: string) => void

/** A full backup of a running server into an empty repository. */
export function contestBackupPush(place: Place, method: Method, skip: Skips): Promise<Standing[]> {
  const walg = walgPrograms(place.options).map((program): Contender => {
    const repository = repositoryOf(place, `push-${program.name}`)
    return {
      name: program.name,
      command: pushCommand(place, program, method, repository),
      prepare: () => emptyRepository(repository),
      storedBytes: () => treeBytes(path.join(repository, 'basebackups_005')),
    }
  })
  const peers = [
    { name: `pg_basebackup client-${method}`, make: baseBackup },
    { name: method === 'zstd' ? 'tar | zstd -T2 -3' : 'tar | lz4', make: tarPipe },
    { name: 'pgBackRest process-max=2', make: restBackup },
  ]
  const contenders = peers.flatMap(({ name, make }) => {
    if (!isWanted(place, name)) return []
    const contender = make(place, method, name)
    if (typeof contender !== 'string') return [contender]
    skip(name, contender)
    return []
  })
  return compete(`backup-push ${method}`, [...walg, ...contenders], place.options.runs)
}

/** A full backup into an empty directory, durable when the command ends. */
export function contestBackupFetch(place: Place, method: Method, skip: Skips): Promise<Standing[]> {
  const walg = walgPrograms(place.options).map((program): Contender => {
    const repository = repositoryOf(place, `fetch-${program.name}`)
    const target = place.directory.at('restored', program.name)
    emptyRepository(repository)
    time(pushCommand(place, program, method, repository))
    return {
      name: program.name,
      command: {
        file: program.file,
        args: ['backup-fetch', target, 'LATEST'],
        env: walgEnvironment(place, repository, method),
      },
      prepare: () => removeTree(target),
    }
  })
  const name = 'pgBackRest process-max=2'
  const rest = isWanted(place, name) ? restRestore(place, method, name) : undefined
  if (typeof rest === 'string') skip(name, rest)
  const peers = typeof rest === 'object' ? [rest] : []
  return compete(`backup-fetch ${method}`, [...walg, ...peers], place.options.runs)
}

function isWanted({ options }: Place, name: string): boolean {
  return options.peers.length === 0 || options.peers.some(peer => name.startsWith(peer))
}

function pushCommand(place: Place, program: WalgProgram, method: Method, repository: string): CommandLine {
  return {
    file: program.file,
    args: ['backup-push', place.cluster.dataDirectory],
    env: walgEnvironment(place, repository, method),
  }
}

function baseBackup(place: Place, method: Method, name: string): Contender | string {
  const file = installed('pg_basebackup')
  if (file === undefined) return 'not installed'
  if (method !== 'lz4' && method !== 'zstd') return `has no ${method}`
  const target = place.directory.at('base-backup')
  const args = ['-D', target, '-Ft', '-X', 'none', '--checkpoint=fast', `--compress=client-${method}`]
  return {
    name,
    command: { file, args, env: { ...place.cluster.environment } },
    prepare: () => removeTree(target),
    storedBytes: () => treeBytes(target),
  }
}

/** No peer in durability (nothing is synced) or consistency: the plain speed of the machine. */
function tarPipe(place: Place, method: Method, name: string): Contender | string {
  if (method !== 'lz4' && method !== 'zstd') return `no pipe for ${method}`
  const compressor = installed(method)
  if (compressor === undefined || installed('tar') === undefined) return 'not installed'
  const target = place.directory.at('pipe')
  const options = method === 'zstd' ? '-q -T2 -3' : '-q -1'
  const script = `tar -C "$1" --exclude=./pg_wal -cf - . | "$2" ${options} > "$3/base.tar"`
  return {
    name,
    command: { file: '/bin/sh', args: ['-c', script, 'sh', place.cluster.dataDirectory, compressor, target] },
    prepare: () => emptyDirectory(target),
    storedBytes: () => treeBytes(target),
  }
}

function restBackup(place: Place, method: Method, name: string): Contender | string {
  const peer = pgBackRest(place, method, 'push')
  if (typeof peer === 'string') return peer
  const { backup, create, repository } = peer
  return {
    name,
    command: backup,
    prepare: create,
    storedBytes: () => treeBytes(path.join(repository, 'backup')),
  }
}

function restRestore(place: Place, method: Method, name: string): Contender | string {
  const peer = pgBackRest(place, method, 'fetch')
  if (typeof peer === 'string') return peer
  peer.create()
  time(peer.backup)
  return { name, command: peer.restore, prepare: () => emptyDirectory(peer.target) }
}

function removeTree(directory: string): void {
  rmSync(directory, { recursive: true, force: true })
  mkdirSync(path.dirname(directory), { recursive: true })
}
