import type { EncryptionSettings } from '../settings.ts'
import type { EncryptionDescription, EncryptionKey } from './description.ts'
import type { Findings } from './key-file.ts'
import { readLibsodiumKeys } from './libsodium-settings.ts'

export interface EncryptionReading extends Findings {
  /** Undefined: nothing is encrypted, or there are problems. */
  readonly description: EncryptionDescription | undefined
}

/** Reads all keys that the settings name. Nothing may be done while there are problems. */
export async function readEncryption(settings: EncryptionSettings): Promise<EncryptionReading> {
  const findings: Findings = { problems: [], warnings: [] }
  const libsodium = readLibsodiumKeys(settings, findings)
  const writers: EncryptionKey[] = [libsodium.write].filter(key => key !== undefined)
  const [write] = writers
  if (write === undefined && settings.WALG_REQUIRE_ENCRYPTION && findings.problems.length === 0) {
    findings.problems.push({
      code: 'SETTING_MISSING',
      names: ['WALG_REQUIRE_ENCRYPTION'],
      message: 'WALG_REQUIRE_ENCRYPTION is set, but no key to encrypt with is configured',
      hint: 'set WALG_LIBSODIUM_KEY_PATH or WALG_PGP_KEY_PATH, or another method of docs/guide/encryption.md',
    })
  }
  const read = [...writers, ...libsodium.old]
  const isUsed = read.length > 0 && findings.problems.length === 0
  const readsPlain = settings.WALG_READ_UNENCRYPTED
  return { ...findings, description: isUsed ? { write, read, readsPlain } : undefined }
}
