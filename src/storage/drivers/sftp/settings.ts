import { text } from '../../../kit/setting-parsers.ts'
import type { SettingDefinition, SettingsTable } from '../../../kit/settings.ts'
import { driverOption, laterPrefix } from '../../driver-option.ts'

/** The settings of a storage that is not built yet: its prefix is an error, its options have no effect. */
export const sftpSettings: SettingsTable = {
  WALG_SSH_PREFIX: laterPrefix('SSH', 'Host and path, `ssh://host/path`.'),
  SSH_PORT: option('SSH_PORT', 'Port.'),
  SSH_USERNAME: option('SSH_USERNAME', 'User.'),
  SSH_PASSWORD: option('SSH_PASSWORD', 'Password.', { isSecret: true }),
  SSH_PRIVATE_KEY_PATH: option('SSH_PRIVATE_KEY_PATH', 'File with the private key.'),
}

function option(name: string, doc: string, { isSecret = false } = {}): SettingDefinition<string> {
  return driverOption(name, doc, { parse: text, secret: isSecret, ignored: 'SSH storage is a later piece' })
}
