import { text } from '../../../kit/setting-parsers.ts'
import type { SettingDefinition, SettingsTable } from '../../../kit/settings.ts'
import { driverOption, laterPrefix } from '../../driver-option.ts'

/** The settings of a storage that is not built yet: its prefix is an error, its options have no effect. */
export const azureSettings: SettingsTable = {
  WALG_AZ_PREFIX: laterPrefix('AZ', 'Container and path, `azure://container/path`.'),
  AZURE_STORAGE_ACCOUNT: option('AZURE_STORAGE_ACCOUNT', 'Account.'),
  AZURE_STORAGE_ACCESS_KEY: option('AZURE_STORAGE_ACCESS_KEY', 'Key of the account.', { isSecret: true }),
  AZURE_STORAGE_SAS_TOKEN: option('AZURE_STORAGE_SAS_TOKEN', 'Shared access signature.', { isSecret: true }),
  AZURE_ENDPOINT_SUFFIX: option('AZURE_ENDPOINT_SUFFIX', 'End of the host name.'),
  AZURE_ENVIRONMENT_NAME: option('AZURE_ENVIRONMENT_NAME', 'Which cloud.'),
  AZURE_BUFFER_SIZE: option('AZURE_BUFFER_SIZE', 'Size of a block.'),
  AZURE_MAX_BUFFERS: option('AZURE_MAX_BUFFERS', 'Blocks sent at a time.'),
  AZURE_TRY_TIMEOUT: option('AZURE_TRY_TIMEOUT', 'Longest request, in minutes.'),
  AZURE_BLOB_STORE_API_VERSION: option('AZURE_BLOB_STORE_API_VERSION', 'Version of the protocol.'),
}

function option(name: string, doc: string, { isSecret = false } = {}): SettingDefinition<string> {
  return driverOption(name, doc, { parse: text, secret: isSecret, ignored: 'Azure storage is a later piece' })
}
