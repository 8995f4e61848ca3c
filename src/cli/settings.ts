import {
  type CodecSettings,
  checkZstdLevel,
  codecSettings,
  type EncryptionSettings,
  encryptionSettings,
} from '../codec/settings.ts'
import type { SettingsRule, SettingsTable } from '../kit/settings.ts'
import { laterOperationSettings, type OperationSettings, operationSettings } from '../operations/settings.ts'
import { type PostgresSettings, postgresSettings } from '../postgres/settings.ts'
import { serviceSettings } from '../services/settings.ts'
import { azureSettings } from '../storage/drivers/azure/settings.ts'
import { fsSettings } from '../storage/drivers/fs/settings.ts'
import { gcsSettings } from '../storage/drivers/gcs/settings.ts'
import { ossSettings } from '../storage/drivers/oss/settings.ts'
import { s3Settings } from '../storage/drivers/s3/settings.ts'
import { sftpSettings } from '../storage/drivers/sftp/settings.ts'
import { swiftSettings } from '../storage/drivers/swift/settings.ts'
import {
  checkFailoverSettings,
  type FailoverSettings,
  failoverSettings,
} from '../storage/failover/settings.ts'
import { type StorageSettings, storageSettings } from '../storage/settings.ts'
import { moreOwnSettings, type OwnSettings, ownSettings } from './own-settings.ts'

/** The merged settings of all rooms, typed: `settings.WALG_X`. Each room adds its own in its `settings.ts`. */
export interface Settings
  extends StorageSettings,
    FailoverSettings,
    CodecSettings,
    EncryptionSettings,
    PostgresSettings,
    OperationSettings,
    OwnSettings {}

/** The same settings as tables, with a title for the reference. */
export const SETTING_GROUPS: readonly { readonly title: string; readonly table: SettingsTable }[] = [
  { title: 'Storage', table: storageSettings },
  { title: 'File storage', table: fsSettings },
  { title: 'Compression', table: codecSettings },
  { title: 'Encryption', table: encryptionSettings },
  { title: 'Backups and WAL', table: operationSettings },
  { title: 'PostgreSQL', table: postgresSettings },
  { title: 'Logging and configuration', table: { ...ownSettings, ...moreOwnSettings } },
  { title: 'Backups and WAL, later pieces', table: laterOperationSettings },
  { title: 'S3', table: s3Settings },
  { title: 'Google Cloud Storage', table: gcsSettings },
  { title: 'Azure Blob Storage', table: azureSettings },
  { title: 'Alibaba OSS', table: ossSettings },
  { title: 'OpenStack Swift', table: swiftSettings },
  { title: 'SFTP', table: sftpSettings },
  { title: 'Failover storages and mirrors', table: failoverSettings },
  { title: 'Services', table: serviceSettings },
]

/** Every known setting. */
export const SETTINGS: SettingsTable = Object.assign({}, ...SETTING_GROUPS.map(group => group.table))

/** Rules over several settings, checked when each by itself is right. */
export const SETTING_RULES: readonly SettingsRule<Settings>[] = [checkZstdLevel, checkFailoverSettings]
