import { text } from '../../../kit/setting-parsers.ts'
import type { SettingDefinition, SettingsTable } from '../../../kit/settings.ts'
import { driverOption, laterPrefix } from '../../driver-option.ts'

/** The settings of a storage that is not built yet: its prefix is an error, its options have no effect. */
export const ossSettings: SettingsTable = {
  WALG_OSS_PREFIX: laterPrefix('OSS', 'Bucket and path, `oss://bucket/path`.'),
  OSS_ACCESS_KEY_ID: option('OSS_ACCESS_KEY_ID', 'Access key.', { isSecret: true }),
  OSS_ACCESS_KEY_SECRET: option('OSS_ACCESS_KEY_SECRET', 'Secret key.', { isSecret: true }),
  OSS_SESSION_TOKEN: option('OSS_SESSION_TOKEN', 'Session token.', { isSecret: true }),
  OSS_REGION: option('OSS_REGION', 'Region.'),
  OSS_ENDPOINT: option('OSS_ENDPOINT', 'Address.'),
  OSS_ROLE_ARN: option('OSS_ROLE_ARN', 'Role to assume.'),
  OSS_ROLE_SESSION_NAME: option('OSS_ROLE_SESSION_NAME', 'Name of the session of that role.'),
  OSS_SKIP_VALIDATION: option('OSS_SKIP_VALIDATION', 'No check at the start.'),
  OSS_MAX_RETRIES: option('OSS_MAX_RETRIES', 'Retries of a request.'),
  OSS_CONNECT_TIMEOUT: option('OSS_CONNECT_TIMEOUT', 'Longest wait for a connection, in seconds.'),
  OSS_UPLOAD_PART_SIZE: option('OSS_UPLOAD_PART_SIZE', 'Size of an uploaded part.'),
  OSS_COPY_PART_SIZE: option('OSS_COPY_PART_SIZE', 'Size of a copied part.'),
}

function option(name: string, doc: string, { isSecret = false } = {}): SettingDefinition<string> {
  return driverOption(name, doc, { parse: text, secret: isSecret, ignored: 'OSS storage is a later piece' })
}
