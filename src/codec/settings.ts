import { boolean, duration, oneOf, oneOfAnyCase, text } from '../kit/setting-parsers.ts'
import type { SettingDefinition, SettingProblem, SettingsTableOf } from '../kit/settings.ts'
import type { ZstdLevelName } from './codec.ts'

/** How new objects are compressed. Reading needs no setting: the extension tells. */
export interface CodecSettings {
  readonly WALG_COMPRESSION_METHOD: 'lz4' | 'lzma' | 'zstd' | 'brotli' | 'none'
  readonly WALG_ZSTD_LEVEL: ZstdLevelName | undefined
}

export const codecSettings: SettingsTableOf<CodecSettings> = {
  WALG_COMPRESSION_METHOD: {
    parse: oneOf('lz4', 'lzma', 'zstd', 'brotli', 'none'),
    default: 'lz4',
    doc: 'Compression of new backups and WAL. `gzip` and `lzo` objects are read, too.',
  },
  WALG_ZSTD_LEVEL: {
    parse: oneOfAnyCase('fastest', 'default', 'better', 'best'),
    defaultText: 'default',
    doc: 'Level of `zstd`; an error with another method.',
  },
}

/** A level without its method is a mistake that nobody would notice otherwise. */
export function checkZstdLevel(settings: CodecSettings): SettingProblem | undefined {
  const method = settings.WALG_COMPRESSION_METHOD
  if (settings.WALG_ZSTD_LEVEL === undefined || method === 'zstd') return undefined
  return {
    code: 'SETTING_CONFLICT',
    names: ['WALG_ZSTD_LEVEL', 'WALG_COMPRESSION_METHOD'],
    message: `WALG_ZSTD_LEVEL is set but the compression method is '${method}', not 'zstd'`,
  }
}

/** How new objects are encrypted, and what older ones may be opened with. */
export interface EncryptionSettings {
  readonly WALG_REQUIRE_ENCRYPTION: boolean
  readonly WALG_READ_UNENCRYPTED: boolean
  readonly WALG_LIBSODIUM_KEY: string | undefined
  readonly WALG_LIBSODIUM_KEY_PATH: string | undefined
  readonly WALG_LIBSODIUM_KEY_TRANSFORM: 'none' | 'base64' | 'hex'
  readonly WALG_LIBSODIUM_OLD_KEY_PATHS: string | undefined
  readonly WALG_PGP_KEY: string | undefined
  readonly WALG_PGP_KEY_PATH: string | undefined
  readonly WALG_PGP_KEY_PASSPHRASE: string | undefined
  readonly WALG_PGP_OLD_KEY_PATHS: string | undefined
  readonly WALG_GPG_KEY_ID: string | undefined
  readonly WALG_ENVELOPE_PGP_KEY: string | undefined
  readonly WALG_ENVELOPE_PGP_KEY_PATH: string | undefined
  readonly WALG_ENVELOPE_PGP_YC_CSE_KMS_KEY_ID: string | undefined
  readonly WALG_ENVELOPE_PGP_YC_SERVICE_ACCOUNT_KEY_FILE: string | undefined
  readonly WALG_ENVELOPE_PGP_YC_ENDPOINT: string | undefined
  readonly WALG_ENVELOPE_CACHE_EXPIRATION: number
  readonly WALG_CSE_KMS_ID: string | undefined
  readonly WALG_CSE_KMS_REGION: string | undefined
  readonly WALG_CSE_KMS_OLD_IDS: string | undefined
  readonly YC_CSE_KMS_KEY_ID: string | undefined
  readonly YC_CSE_KMS_OLD_KEY_IDS: string | undefined
  readonly YC_SERVICE_ACCOUNT_KEY_FILE: string | undefined
  readonly WALG_YC_ENDPOINT: string | undefined
}

export const encryptionSettings: SettingsTableOf<EncryptionSettings> = {
  WALG_REQUIRE_ENCRYPTION: {
    parse: boolean,
    default: false,
    refusesEmpty: true,
    doc: 'Ours. A configuration without a key to encrypt with is an error.',
  },
  WALG_READ_UNENCRYPTED: {
    parse: boolean,
    default: false,
    doc: 'Ours. With a key configured, objects that are not encrypted are read, too, instead of being refused.',
  },
  WALG_LIBSODIUM_KEY: {
    parse: text,
    secret: true,
    refusesEmpty: true,
    doc: 'Key of libsodium encryption.',
  },
  WALG_LIBSODIUM_KEY_PATH: {
    parse: text,
    refusesEmpty: true,
    doc: 'File with that key; white space around it is ignored.',
  },
  WALG_LIBSODIUM_KEY_TRANSFORM: {
    parse: oneOf('none', 'base64', 'hex'),
    default: 'none',
    refusesEmpty: true,
    doc: 'How that key is written. `none` takes the first 32 bytes of the text (at least 25, padded with zeros); the others must decode to exactly 32 bytes.',
  },
  WALG_LIBSODIUM_OLD_KEY_PATHS: {
    parse: text,
    doc: 'Ours. Files with keys that were used before, for reading only, separated by commas; `:none`, `:base64` or `:hex` behind a file says how its key is written.',
  },
  WALG_PGP_KEY: {
    parse: text,
    secret: true,
    refusesEmpty: true,
    doc: 'OpenPGP key, armored; `\\n` may stand for the ends of its lines. A public key is enough for writing; several entities: new objects are encrypted to all of them.',
  },
  WALG_PGP_KEY_PATH: {
    parse: text,
    refusesEmpty: true,
    doc: 'File with the armored OpenPGP key.',
  },
  WALG_PGP_KEY_PASSPHRASE: {
    parse: text,
    secret: true,
    refusesEmpty: true,
    doc: 'Passphrase of the OpenPGP keys.',
  },
  WALG_GPG_KEY_ID: {
    parse: text,
    refusesEmpty: true,
    aliases: ['WALE_GPG_KEY_ID', 'GPG_KEY_ID'],
    doc: 'Id or fingerprint of a key in the key ring of gpg. Its public half is exported for writing; for reading gpg and its agent unwrap the session keys, so that the private half never leaves them.',
  },
  WALG_PGP_OLD_KEY_PATHS: {
    parse: text,
    doc: 'Ours. Files with OpenPGP keys that were used before, for reading only, separated by commas.',
  },
  WALG_ENVELOPE_PGP_KEY: key('Armored OpenPGP key, encrypted by Yandex KMS, in base64.', { secret: true }),
  WALG_ENVELOPE_PGP_KEY_PATH: key('File with that base64.'),
  WALG_ENVELOPE_PGP_YC_CSE_KMS_KEY_ID: key('Yandex KMS key that has encrypted the OpenPGP key.'),
  WALG_ENVELOPE_PGP_YC_SERVICE_ACCOUNT_KEY_FILE: key(
    'Key file of the service account for that KMS. Without it the token of the virtual machine is used.',
  ),
  WALG_ENVELOPE_PGP_YC_ENDPOINT: {
    parse: text,
    defaultText: 'Yandex Cloud',
    doc: 'Host, or URL, whose `/endpoints` tells where KMS and IAM are.',
  },
  WALG_ENVELOPE_CACHE_EXPIRATION: {
    parse: duration(),
    default: 0,
    doc: 'How long an unwrapped key is kept in memory; 0 = as long as the process runs.',
  },
  WALG_CSE_KMS_ID: key(
    'AWS KMS key that encrypts the data keys. Credentials are found as in every AWS program.',
  ),
  WALG_CSE_KMS_REGION: key('Region of that key.'),
  WALG_CSE_KMS_OLD_IDS: {
    parse: text,
    doc: 'Ours. AWS KMS keys that were used before, for reading only, separated by commas; in the same region.',
  },
  YC_CSE_KMS_KEY_ID: key('Yandex KMS key that encrypts the data keys.', {
    aliases: ['WALG_YC_CSE_KMS_KEY_ID'],
  }),
  YC_CSE_KMS_OLD_KEY_IDS: {
    parse: text,
    aliases: ['WALG_YC_CSE_KMS_OLD_KEY_IDS'],
    doc: 'Ours. Yandex KMS keys that were used before, for reading only, separated by commas.',
  },
  YC_SERVICE_ACCOUNT_KEY_FILE: {
    parse: text,
    doc: 'Key file of the service account for that KMS. Without it the token of the virtual machine is used.',
  },
  WALG_YC_ENDPOINT: {
    parse: text,
    defaultText: 'Yandex Cloud',
    doc: 'Ours. As `WALG_ENVELOPE_PGP_YC_ENDPOINT`, for `YC_CSE_KMS_KEY_ID`.',
  },
}

/** A setting whose name speaks of keys although no table has it: refused, see `encryptionSettings`. */
export const ENCRYPTION_NAME: RegExp = /^(WALG|WALE)_.*(PGP|GPG|LIBSODIUM|KMS|CSE_|CRYPT)/

/** A setting of a key: an empty one must not end in plain data. */
function key(
  doc: string,
  options: { readonly secret?: boolean; readonly aliases?: readonly string[] } = {},
): SettingDefinition<string> {
  return { parse: text, refusesEmpty: true, ...options, doc }
}
