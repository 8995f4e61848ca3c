import type { SettingsTable, SettingTexts } from '../kit/settings.ts'
import type { DriverDescription } from './description.ts'
import type { DriverReading } from './driver-reading.ts'
import { azureSettings } from './drivers/azure/settings.ts'
import { fsSettings } from './drivers/fs/settings.ts'
import { gcsSettings } from './drivers/gcs/settings.ts'
import { ossSettings } from './drivers/oss/settings.ts'
import { s3Settings } from './drivers/s3/settings.ts'
import { sftpSettings } from './drivers/sftp/settings.ts'
import { swiftSettings } from './drivers/swift/settings.ts'

/** How one kind of storage is chosen and read. */
interface StorageKind {
  readonly prefix: string
  readonly definition: SettingsTable[string]
  readonly read: (texts: SettingTexts) => Promise<DriverReading<DriverDescription>>
}

/** In the order in which their prefixes win over each other (commands 2.3). */
const STORAGE_KINDS: readonly StorageKind[] = [
  {
    prefix: 'WALG_OSS_PREFIX',
    definition: ossSettings.WALG_OSS_PREFIX,
    read: async texts => (await import('./drivers/oss/read-settings.ts')).readOss(texts),
  },
  {
    prefix: 'WALG_S3_PREFIX',
    definition: s3Settings.WALG_S3_PREFIX,
    read: async texts => (await import('./drivers/s3/read-settings.ts')).readS3(texts),
  },
  {
    prefix: 'WALG_FILE_PREFIX',
    definition: fsSettings.WALG_FILE_PREFIX,
    read: async texts => (await import('./drivers/fs/read-settings.ts')).readFs(texts),
  },
  {
    prefix: 'WALG_GS_PREFIX',
    definition: gcsSettings.WALG_GS_PREFIX,
    read: async texts => (await import('./drivers/gcs/read-settings.ts')).readGcs(texts),
  },
  {
    prefix: 'WALG_AZ_PREFIX',
    definition: azureSettings.WALG_AZ_PREFIX,
    read: async texts => (await import('./drivers/azure/read-settings.ts')).readAzure(texts),
  },
  {
    prefix: 'WALG_SWIFT_PREFIX',
    definition: swiftSettings.WALG_SWIFT_PREFIX,
    read: async texts => (await import('./drivers/swift/read-settings.ts')).readSwift(texts),
  },
  {
    prefix: 'WALG_SSH_PREFIX',
    definition: sftpSettings.WALG_SSH_PREFIX,
    read: async texts => (await import('./drivers/sftp/read-settings.ts')).readSftp(texts),
  },
]

/** The settings that choose a storage, in the order in which they win over each other. */
export const STORAGE_PREFIX_NAMES: readonly string[] = STORAGE_KINDS.map(({ prefix }) => prefix)

/**
 * Reads one storage out of a record of settings: the process's, a member of WALG_FAILOVER_STORAGES, a config file. Only
 * the reader of the storage that its prefix chooses is loaded; options of others have no effect. Without any prefix
 * there is neither a description nor a problem.
 */
export async function readStorage(texts: SettingTexts): Promise<DriverReading<DriverDescription>> {
  const set = STORAGE_KINDS.filter(kind => texts.find(namesOf(kind)) !== undefined)
  const [chosen, ...others] = set
  if (chosen === undefined) return { problems: [], warnings: [] }
  const reading = await chosen.read(texts)
  if (others.length === 0) return reading
  const warning = `${[chosen, ...others].map(kind => kind.prefix).join(' and ')} are set: the storage of ${chosen.prefix} is used`
  return { ...reading, warnings: [...reading.warnings, warning] }
}

function namesOf({ prefix, definition }: StorageKind): string[] {
  return [prefix, ...(definition.aliases ?? [])]
}
