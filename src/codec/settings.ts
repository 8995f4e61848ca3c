import { boolean, oneOf, oneOfAnyCase, text } from '../kit/setting-parsers.ts'
import type { SettingDefinition, SettingProblem, SettingsTable, SettingsTableOf } from '../kit/settings.ts'
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
}

/**
 * Later pieces. Whoever sets one of these expects sealed data, so each of them is an error until then: never plain
 * data because a key was not understood.
 */
export const laterEncryptionSettings: SettingsTable = {
  WALG_ENVELOPE_PGP_KEY: encryption('Wrapped OpenPGP key.', { isSecret: true }),
  WALG_ENVELOPE_PGP_KEY_PATH: encryption('File with the wrapped OpenPGP key.'),
  WALG_ENVELOPE_PGP_YC_CSE_KMS_KEY_ID: encryption('Yandex Cloud KMS key that wraps the OpenPGP key.'),
  WALG_ENVELOPE_PGP_YC_SERVICE_ACCOUNT_KEY_FILE: encryption('Service account for that KMS.'),
  WALG_ENVELOPE_PGP_YC_ENDPOINT: encryption('Address of that KMS.'),
  WALG_ENVELOPE_CACHE_EXPIRATION: encryption('How long an unwrapped key is kept; 0 = for ever.'),
  WALG_CSE_KMS_ID: encryption('AWS KMS key for client-side encryption.'),
  WALG_CSE_KMS_REGION: encryption('Region of that key.'),
  YC_CSE_KMS_KEY_ID: encryption('Yandex Cloud KMS key for client-side encryption.', {
    aliases: ['WALG_YC_CSE_KMS_KEY_ID'],
  }),
  YC_SERVICE_ACCOUNT_KEY_FILE: {
    parse: text,
    ignored: 'only used with an encryption that is a later piece',
    doc: 'Service account for Yandex Cloud KMS.',
  },
}

/** A setting whose name speaks of keys although no table has it: refused, see `encryptionSettings`. */
export const ENCRYPTION_NAME: RegExp = /^(WALG|WALE)_.*(PGP|GPG|LIBSODIUM|KMS|CSE_|CRYPT)/

function encryption(
  doc: string,
  options: { readonly isSecret?: boolean; readonly aliases?: readonly string[] } = {},
): SettingDefinition<string> {
  return {
    parse: text,
    doc,
    later: 'encryption',
    ...(options.isSecret === true ? { secret: true } : {}),
    ...(options.aliases === undefined ? {} : { aliases: options.aliases }),
  }
}
