import { spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import type { DeltaOptions } from '../../../src/operations/backup-push/delta/options.ts'
import type { BackupPushOptions } from '../../../src/operations/backup-push/options.ts'
import type { Cluster } from '../../support/cluster.ts'

const MIB = 1024 * 1024

/** Without WALG_DELTA_MAX_STEPS every backup is a full one. */
export const NO_DELTA: DeltaOptions = {
  stepsMax: 0,
  origin: 'LATEST',
  fromName: undefined,
  fromUserData: undefined,
  isFull: false,
  ratioMax: undefined,
  changes: {
    method: 'scan',
    usesWal: false,
    isForced: false,
    walSegmentBytes: 16 * MIB,
    walPageBytes: 8192,
    pageBytes: 8192,
  },
}

/** Options as the command line would give them without any flag. */
export function pushOptions(
  dataDirectory: string,
  changes: Partial<BackupPushOptions> & { readonly cluster?: Cluster } = {},
): BackupPushOptions {
  const { cluster, ...rest } = changes
  return {
    dataDirectory,
    connection: cluster?.environment ?? { PGHOST: '127.0.0.1', PGPORT: '1' },
    isPermanent: false,
    userData: null,
    delta: NO_DELTA,
    isVerifying: false,
    failsOnCorrupt: false,
    storesAllCorrupt: false,
    hasFilesMetadata: true,
    hasDatabaseNames: true,
    partBytesMax: 1_073_741_823,
    partsAtOnce: 2,
    diskBytesPerSecond: undefined,
    walSegmentBytes: 16 * MIB,
    pageBytes: 8192,
    aliveCheckMs: 60_000,
    stopTimeoutMs: 60_000,
    ...rest,
  }
}

/** Names of the backups whose sentinel is there. */
export function listedBackups(repository: string): string[] {
  const folder = path.join(repository, 'basebackups_005')
  const suffix = '_backup_stop_sentinel.json'
  return entriesOf(folder)
    .filter(name => name.endsWith(suffix))
    .map(name => name.slice(0, -suffix.length))
    .sort()
}

/** Every object below `basebackups_005`, temporaries included. */
export function storedObjects(repository: string): string[] {
  const folder = path.join(repository, 'basebackups_005')
  return entriesOf(folder, true)
    .filter(entry => !entry.endsWith('/'))
    .sort()
}

function entriesOf(folder: string, recursive = false): string[] {
  try {
    const entries = readdirSync(folder, { recursive, withFileTypes: true })
    return entries.map(
      entry =>
        path.relative(folder, path.join(entry.parentPath, entry.name)) + (entry.isDirectory() ? '/' : ''),
    )
  } catch {
    return []
  }
}

export function readJson(repository: string, backup: string, name: string): Record<string, unknown> {
  const folder = path.join(repository, 'basebackups_005')
  const file = name === 'sentinel' ? `${backup}_backup_stop_sentinel.json` : path.join(backup, name)
  return JSON.parse(readFileSync(path.join(folder, file), 'utf8'))
}

const PROGRAMS: Readonly<Record<string, string | undefined>> = {
  lz4: 'lz4',
  zst: 'zstd',
  br: 'brotli',
  lzma: 'xz',
}

/** Restores a backup with nothing but tar and the compressor's own program: an oracle that shares no code with us. */
export function unpackWithTar(repository: string, backup: string, into: string): void {
  mkdirSync(into, { recursive: true })
  const parts = path.join(repository, 'basebackups_005', backup, 'tar_partitions')
  const isLate = (name: string): boolean => /^(pg_control|backup_label)\.tar/.test(name)
  const names = readdirSync(parts).sort((a, b) => Number(isLate(a)) - Number(isLate(b)) || (a < b ? -1 : 1))
  for (const name of names) {
    const program = PROGRAMS[path.extname(name).slice(1)]
    const flags = program === undefined ? [] : [`--use-compress-program=${program}`]
    const file = path.join(parts, name)
    const run = spawnSync('tar', [...flags, '--warning=no-timestamp', '-xpf', file, '-C', into], {
      encoding: 'utf8',
    })
    const complaints = run.stderr.split('\n').filter(line => line !== '' && !/Removing leading/.test(line))
    if (run.status !== 0 || complaints.length > 0) throw new Error(`tar ${name}: ${run.stderr}`)
  }
  chmodSync(into, 0o700)
}
