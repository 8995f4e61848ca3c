import type { EncryptionSettings } from '../settings.ts'
import type { EncryptionDescription, EncryptionKey } from './description.ts'
import type { Findings } from './key-file.ts'
import { readAwsKmsKeys, readEnvelopeKey, readYandexKmsKeys } from './kms-settings.ts'
import { readLibsodiumKeys } from './libsodium-settings.ts'

export interface EncryptionReading extends Findings {
  /** Undefined: nothing is encrypted, or there are problems. */
  readonly description: EncryptionDescription | undefined
}

/**
 * Reads all keys that the settings name. Nothing may be done while there are problems. `isForReading`: stored
 * objects will be opened, so what opens them must be there and work.
 */
export async function readEncryption(
  settings: EncryptionSettings,
  isForReading: boolean,
): Promise<EncryptionReading> {
  const findings: Findings = { problems: [], warnings: [] }
  const found: FoundKeys[] = [
    readLibsodiumKeys(settings, findings),
    await openPgpKeys(settings, isForReading, findings),
    { write: readEnvelopeKey(settings, findings), old: [] },
    readAwsKmsKeys(settings, findings),
    readYandexKmsKeys(settings, findings),
  ]
  const writers = found.flatMap(({ write }) => write ?? [])
  const [write] = writers
  if (writers.length > 1) {
    findings.problems.push({
      code: 'SETTING_CONFLICT',
      names: writers.map(({ method }) => method),
      message: `keys of several methods are set to encrypt with: ${writers.map(({ method }) => method).join(', ')}`,
      hint: 'leave one; the key of another method that older objects need goes into WALG_LIBSODIUM_OLD_KEY_PATHS, WALG_PGP_OLD_KEY_PATHS, WALG_CSE_KMS_OLD_IDS or YC_CSE_KMS_OLD_KEY_IDS',
    })
  }
  const isTransforming = settings.WALG_LIBSODIUM_KEY_TRANSFORM !== 'none'
  const hasOldKeys = settings.WALG_LIBSODIUM_OLD_KEY_PATHS !== undefined
  if (write === undefined && isTransforming && !hasOldKeys && findings.problems.length === 0) {
    findings.problems.push({
      code: 'SETTING_MISSING',
      names: ['WALG_LIBSODIUM_KEY_TRANSFORM'],
      message: 'WALG_LIBSODIUM_KEY_TRANSFORM is set, but no libsodium key is',
      hint: 'set WALG_LIBSODIUM_KEY_PATH, or remove the transform: data must not be stored in the clear because a key got lost',
    })
  }
  if (write === undefined && settings.WALG_REQUIRE_ENCRYPTION && findings.problems.length === 0) {
    findings.problems.push({
      code: 'SETTING_MISSING',
      names: ['WALG_REQUIRE_ENCRYPTION'],
      message: 'WALG_REQUIRE_ENCRYPTION is set, but no key to encrypt with is configured',
      hint: 'set WALG_LIBSODIUM_KEY_PATH or WALG_PGP_KEY_PATH, or another method of docs/guide/encryption.md',
    })
  }
  const read = [...writers, ...found.flatMap(({ old }) => old)]
  const isUsed = read.length > 0 && findings.problems.length === 0
  const readsPlain = settings.WALG_READ_UNENCRYPTED
  return { ...findings, description: isUsed ? { write, read, readsPlain } : undefined }
}

interface FoundKeys {
  readonly write: EncryptionKey | undefined
  readonly old: readonly EncryptionKey[]
}

/** The library of OpenPGP loads only when one of its keys is set. */
async function openPgpKeys(
  settings: EncryptionSettings,
  isForReading: boolean,
  findings: Findings,
): Promise<FoundKeys> {
  const { WALG_PGP_KEY, WALG_PGP_KEY_PATH, WALG_PGP_OLD_KEY_PATHS, WALG_GPG_KEY_ID } = settings
  const { WALG_PGP_KEY_PASSPHRASE } = settings
  const keys = [WALG_PGP_KEY, WALG_PGP_KEY_PATH, WALG_PGP_OLD_KEY_PATHS, WALG_GPG_KEY_ID]
  if (keys.every(value => value === undefined)) {
    if (WALG_PGP_KEY_PASSPHRASE !== undefined) {
      findings.problems.push({
        code: 'SETTING_MISSING',
        names: ['WALG_PGP_KEY_PASSPHRASE'],
        message: 'WALG_PGP_KEY_PASSPHRASE is set, but no OpenPGP key is',
        hint: 'set WALG_PGP_KEY_PATH, or remove the passphrase: data must not be stored in the clear because a key got lost',
      })
    }
    return { write: undefined, old: [] }
  }
  const { readOpenPgpKeys } = await import('./openpgp-settings.ts')
  return readOpenPgpKeys(settings, isForReading, findings)
}
