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
import { laterStorageSettings } from '../storage/driver-settings.ts'
import { type StorageSettings, storageSettings } from '../storage/settings.ts'
import { moreOwnSettings, type OwnSettings, ownSettings } from './own-settings.ts'

/** The merged settings of all rooms, typed: `settings.WALG_X`. Each room adds its own in its `settings.ts`. */
export interface Settings
  extends StorageSettings,
    CodecSettings,
    EncryptionSettings,
    PostgresSettings,
    OperationSettings,
    OwnSettings {}

/** The same settings as tables, with a title for the reference. */
export const SETTING_GROUPS: readonly { readonly title: string; readonly table: SettingsTable }[] = [
  { title: 'Storage', table: storageSettings },
  { title: 'Compression', table: codecSettings },
  { title: 'Encryption', table: encryptionSettings },
  { title: 'Backups and WAL', table: operationSettings },
  { title: 'PostgreSQL', table: postgresSettings },
  { title: 'Logging and configuration', table: { ...ownSettings, ...moreOwnSettings } },
  { title: 'Backups and WAL, later pieces', table: laterOperationSettings },
  { title: 'Other storages', table: laterStorageSettings },
  { title: 'Services', table: serviceSettings },
]

/** Every known setting. */
export const SETTINGS: SettingsTable = Object.assign({}, ...SETTING_GROUPS.map(group => group.table))

/** Rules over several settings, checked when each by itself is right. */
export const SETTING_RULES: readonly SettingsRule<Settings>[] = [checkZstdLevel]
