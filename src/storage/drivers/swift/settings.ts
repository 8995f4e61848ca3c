import { text } from '../../../kit/setting-parsers.ts'
import type { SettingDefinition, SettingsTable } from '../../../kit/settings.ts'
import { driverOption, laterPrefix } from '../../driver-option.ts'

/** The settings of a storage that is not built yet: its prefix is an error, its options have no effect. */
export const swiftSettings: SettingsTable = {
  WALG_SWIFT_PREFIX: laterPrefix('SWIFT', 'Container and path, `swift://container/path`.'),
  OS_AUTH_URL: option('OS_AUTH_URL', 'Address of the identity service.'),
  OS_USERNAME: option('OS_USERNAME', 'User.'),
  OS_PASSWORD: option('OS_PASSWORD', 'Password.', { isSecret: true }),
  OS_TENANT_NAME: option('OS_TENANT_NAME', 'Tenant.'),
  OS_REGION_NAME: option('OS_REGION_NAME', 'Region.'),
}

function option(name: string, doc: string, { isSecret = false } = {}): SettingDefinition<string> {
  return driverOption(name, doc, { parse: text, secret: isSecret, ignored: 'Swift storage is a later piece' })
}
