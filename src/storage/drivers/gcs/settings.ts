import { text } from '../../../kit/setting-parsers.ts'
import type { SettingDefinition, SettingsTable } from '../../../kit/settings.ts'
import { driverOption, laterPrefix } from '../../driver-option.ts'

/** The settings of a storage that is not built yet: its prefix is an error, its options have no effect. */
export const gcsSettings: SettingsTable = {
  WALG_GS_PREFIX: laterPrefix('GS', 'Bucket and path, `gs://bucket/path`.'),
  GOOGLE_APPLICATION_CREDENTIALS: option('GOOGLE_APPLICATION_CREDENTIALS', 'Credentials file.', {
    isSecret: true,
  }),
  GCS_CONTEXT_TIMEOUT: option('GCS_CONTEXT_TIMEOUT', 'Longest request, in seconds.'),
  GCS_NORMALIZE_PREFIX: option('GCS_NORMALIZE_PREFIX', 'Tidy the prefix.'),
  GCS_ENCRYPTION_KEY: option('GCS_ENCRYPTION_KEY', 'Customer key.', { isSecret: true }),
  GCS_MAX_CHUNK_SIZE: option('GCS_MAX_CHUNK_SIZE', 'Size of a chunk.'),
  GCS_MAX_RETRIES: option('GCS_MAX_RETRIES', 'Retries of a request.'),
}

function option(name: string, doc: string, { isSecret = false } = {}): SettingDefinition<string> {
  return driverOption(name, doc, {
    parse: text,
    secret: isSecret,
    ignored: 'Google storage is a later piece',
  })
}
