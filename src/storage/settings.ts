import { byteSize, duration } from '../kit/setting-parsers.ts'
import type { SettingsTableOf } from '../kit/settings.ts'

/** What holds for every storage. Each kind of storage has its own table: `drivers/<kind>/settings.ts`. */
export interface StorageSettings {
  readonly WALG_STORAGE_PREFIX: string
  readonly WALG_STALL_TIMEOUT: number
  readonly WALG_NETWORK_RATE_LIMIT: number | undefined
  readonly WALG_WAL_NETWORK_RATE_LIMIT: number | undefined
  readonly WALG_MEMORY_LIMIT: number | undefined
  readonly WALG_UPLOAD_TIMEOUT: number
  readonly WALG_TARGET_STORAGE: string
}

/** Less than two of the smallest parts that S3 takes would only creep. */
const MEMORY_LIMIT_BYTES_MIN = 16 * 1024 * 1024

export const storageSettings: SettingsTableOf<StorageSettings> = {
  WALG_STORAGE_PREFIX: {
    parse: subFolder,
    default: '',
    doc: 'Sub-folder below the root of the storage in which the repository lives.',
  },
  WALG_STALL_TIMEOUT: {
    parse: duration(1000),
    default: 60_000,
    defaultText: '60s',
    doc: 'No single storage operation, and no wait for the next byte of one, lasts longer, nor does the silence of a server in the middle of a remote backup: then the command ends with an error.',
  },
  WALG_NETWORK_RATE_LIMIT: {
    parse: byteSize(1),
    doc: 'Bytes per second that a command exchanges with its storages, all parts together. wal-push, wal-fetch and wal-prefetch have a limit of their own, so that a backup cannot starve them. `--turbo` lifts it.',
  },
  WALG_WAL_NETWORK_RATE_LIMIT: {
    parse: byteSize(1),
    doc: 'Bytes per second that one wal-push, wal-fetch or wal-prefetch exchanges with its storages. `--turbo` lifts it.',
  },
  WALG_MEMORY_LIMIT: {
    parse: byteSize(MEMORY_LIMIT_BYTES_MIN),
    defaultText: 'the smaller of `512m` and an eighth of what the control group of the process may use',
    doc: 'Ours. Bytes on their way to object storages that are held in memory, of all threads together, whatever the concurrency.',
  },
  WALG_UPLOAD_TIMEOUT: {
    parse: secondsOrDuration,
    default: 600_000,
    defaultText: '10m',
    doc: 'Ours. Longest wal-push of one file, retries included; a bare number is seconds, 0 = no limit. PostgreSQL tries again what was not acknowledged.',
  },
  WALG_TARGET_STORAGE: {
    parse: value => value.trim(),
    default: '',
    doc: 'The storage that pushes, fetches and backup-list work with, where `--target-storage` is not given; `default` is the primary one.',
  },
}

/** Milliseconds of `90s`, or of `90`. */
function secondsOrDuration(value: string): number {
  const seconds = /^\d+$/.test(value.trim()) ? Number(value) : undefined
  return seconds === undefined ? duration()(value) : seconds * 1000
}

/** A relative folder without leading or trailing slashes that cannot climb out. */
export function subFolder(value: string): string {
  const parts = value.split('/').filter(part => part !== '')
  if (parts.some(part => part === '.' || part === '..')) throw new Error('a folder without . or .. in it')
  return parts.join('/')
}
