import type { CodecDescription } from '../codec/codec.ts'
import type { EncryptionDescription } from '../codec/encryption/description.ts'
import type { EncryptionReading } from '../codec/encryption/read-encryption.ts'
import { type EncryptionSettings, encryptionSettings } from '../codec/settings.ts'
import { hasCode, WalgError } from '../kit/errors.ts'
import { localFileSystem, replaceFileSystem } from '../kit/file-system.ts'
import { hasOnlyLocalMounts } from '../kit/local-mounts.ts'
import type { StorageDescription } from '../storage/description.ts'
import type { Storage } from '../storage/storage.ts'
import type { Settings } from './settings.ts'

/** `--turbo`: no rate limits, and four parts at a time. */
export function withTurbo(settings: Settings): Settings {
  return {
    ...settings,
    WALG_DISK_RATE_LIMIT: undefined,
    WALG_NETWORK_RATE_LIMIT: undefined,
    WALG_WAL_NETWORK_RATE_LIMIT: undefined,
    WALG_UPLOAD_DISK_CONCURRENCY: 4,
  }
}

export function describeCodec(
  settings: Settings,
  encryption: EncryptionDescription | undefined,
): CodecDescription {
  return {
    compression: settings.WALG_COMPRESSION_METHOD,
    ...(settings.WALG_ZSTD_LEVEL === undefined ? {} : { zstdLevel: settings.WALG_ZSTD_LEVEL }),
    ...(encryption === undefined ? {} : { encryption }),
  }
}

const NO_ENCRYPTION: EncryptionReading = { description: undefined, problems: [], warnings: [] }

/** Reads the keys; without any setting of encryption nothing is loaded for it. */
export async function describeEncryption(
  settings: Settings,
  isForReading: boolean,
): Promise<EncryptionReading> {
  const isNamed = Object.keys(encryptionSettings).some(name => {
    const value = settings[name as keyof EncryptionSettings]
    return value !== undefined && value !== encryptionSettings[name as keyof EncryptionSettings].default
  })
  if (!isNamed) return NO_ENCRYPTION
  const { readEncryption } = await import('../codec/encryption/read-encryption.ts')
  return readEncryption(settings, isForReading)
}

export interface OpenOptions {
  /** Default: the primary storage. */
  readonly description?: StorageDescription
  /** See `CheckRootOptions`. */
  readonly mayCreate?: boolean
  /** One object is wanted: a storage that proves its root by the way need not be asked for it first. */
  readonly isProved?: boolean
  /** The storage may deny to be looked at (ACCESS_DENIED): what is put there tells whether it answers. */
  readonly mayBeUnseen?: boolean
}

/** Opens a storage and makes sure that its root answers, before any work. */
export async function openCheckedStorage(
  description: StorageDescription,
  { mayCreate = false, isProved = false, mayBeUnseen = false }: Omit<OpenOptions, 'description'>,
  signal: AbortSignal,
): Promise<Storage> {
  const { openStorage } = await import('../storage/open-storage.ts')
  if (hasOnlyLocalMounts()) replaceFileSystem(localFileSystem)
  let storage: Storage | undefined
  try {
    storage = await openStorage(description)
    if (!isProved || storage.features.provesRoot !== true) await storage.checkRoot({ signal, mayCreate })
    return storage
  } catch (error) {
    if (storage !== undefined && mayBeUnseen && hasCode(error, 'ACCESS_DENIED')) return storage
    await storage?.close()
    throw isMissingRoot(error) ? missingRoot(description, error) : error
  }
}

function isMissingRoot(error: unknown): error is WalgError {
  return hasCode(error, 'STORAGE_ROOT_MISSING')
}

function missingRoot({ driver, name }: StorageDescription, cause: WalgError): WalgError {
  if (driver.kind !== 'fs') return cause
  const which = name === 'default' ? 'configure primary storage' : `failover storage ${name}`
  const reason = cause.message.includes('not a directory') ? 'not a directory' : 'no such file or directory'
  const message = `${which}: configure storage with prefix "${driver.root}": create FS storage: FS storage root directory doesn't exist or is inaccessible: stat ${driver.root}: ${reason}`
  return new WalgError('STORAGE_ROOT_MISSING', message, {
    facts: { storage: name, root: driver.root },
    hint: 'create the directory, or mount it: it is never created by itself, lest backups go below an empty mount point',
    cause: cause.cause,
  })
}
