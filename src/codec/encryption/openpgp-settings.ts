import { WalgError } from '../../kit/errors.ts'
import type { EncryptionSettings } from '../settings.ts'
import type { OpenPgpKey } from './description.ts'
import { exportPublicKey, hasPrivateKey } from './gpg.ts'
import { type Findings, pathsOf, readKeyFile } from './key-file.ts'
import { KeyRing } from './openpgp-keys.ts'

const PASSPHRASE_HINT = 'set WALG_PGP_KEY_PASSPHRASE to the passphrase of the key'

/** The key for new objects and the older ones. With `isForReading` a private key must be there and open. */
export async function readOpenPgpKeys(
  settings: EncryptionSettings,
  isForReading: boolean,
  findings: Findings,
): Promise<{ readonly write: OpenPgpKey | undefined; readonly old: readonly OpenPgpKey[] }> {
  const text = keyText(settings, findings)
  const passphrase = settings.WALG_PGP_KEY_PASSPHRASE
  let write: OpenPgpKey | undefined
  if (text !== undefined) {
    write = await keyOf(text.armored, text.setting, passphrase, findings, {
      isForReading,
      isForWriting: true,
    })
  }
  const keyId = settings.WALG_GPG_KEY_ID
  if (keyId !== undefined && text === undefined) {
    write = await gpgKey(keyId, passphrase, isForReading, findings)
  } else if (keyId !== undefined) {
    findings.warnings.push(`WALG_GPG_KEY_ID has no effect beside ${text?.setting}`)
  }
  const old: OpenPgpKey[] = []
  for (const path of pathsOf(settings.WALG_PGP_OLD_KEY_PATHS)) {
    const setting = 'WALG_PGP_OLD_KEY_PATHS'
    const armored = readKeyFile(path, setting, findings)
    if (armored === undefined) continue
    const key = await keyOf(armored, setting, passphrase, findings, { isForReading, isForWriting: false })
    if (key !== undefined) old.push(key)
  }
  return { write, old }
}

function keyText(
  settings: EncryptionSettings,
  findings: Findings,
): { readonly armored: string; readonly setting: string } | undefined {
  const { WALG_PGP_KEY: inline, WALG_PGP_KEY_PATH: path } = settings
  if (inline !== undefined && path !== undefined) {
    findings.problems.push({
      code: 'SETTING_CONFLICT',
      names: ['WALG_PGP_KEY', 'WALG_PGP_KEY_PATH'],
      message: 'WALG_PGP_KEY and WALG_PGP_KEY_PATH are both set: which key is meant?',
      hint: 'remove one of them',
    })
    return undefined
  }
  // one line in a config file or in the environment, with the two characters \n between the lines of the key
  if (inline !== undefined) return { armored: inline.replaceAll('\\n', '\n'), setting: 'WALG_PGP_KEY' }
  if (path === undefined) return undefined
  const armored = readKeyFile(path, 'WALG_PGP_KEY_PATH', findings)
  return armored === undefined ? undefined : { armored, setting: 'WALG_PGP_KEY_PATH' }
}

/** A key of gpg's: its public half is exported, its private half stays with the agent. */
async function gpgKey(
  keyId: string,
  passphrase: string | undefined,
  isForReading: boolean,
  findings: Findings,
): Promise<OpenPgpKey | undefined> {
  const setting = 'WALG_GPG_KEY_ID'
  const fail = (reason: string, hint: string): undefined => {
    findings.problems.push({
      code: 'SETTING_INVALID',
      names: [setting],
      message: `${setting} ${reason}`,
      hint,
    })
  }
  let armored: string
  let isPrivateThere: boolean
  try {
    armored = await exportPublicKey(keyId)
    isPrivateThere = !isForReading || (await hasPrivateKey(keyId))
  } catch (error) {
    if (!(error instanceof WalgError)) throw error
    return fail(error.message, 'look at: gpg --list-keys, as the user that runs wal-g and with its GNUPGHOME')
  }
  const use = { isForReading: false, isForWriting: true }
  const key = await keyOf(armored, setting, passphrase, findings, use)
  if (key === undefined) return undefined
  if (key.keyId.includes(',')) return fail('names several keys', 'give the fingerprint of one')
  if (isPrivateThere) return { ...key, isInAgent: true }
  return fail('names a key whose private half gpg does not have', 'look at: gpg --list-secret-keys')
}

/** Checks a key for what it is there for; a problem names the setting. */
export async function keyOf(
  armored: string,
  setting: string,
  passphrase: string | undefined,
  findings: Findings,
  use: { readonly isForReading: boolean; readonly isForWriting: boolean },
): Promise<OpenPgpKey | undefined> {
  const fail = (reason: string, hint: string): undefined => {
    findings.problems.push({
      code: 'SETTING_INVALID',
      names: [setting],
      message: `${setting} ${reason}`,
      hint,
    })
  }
  try {
    const ring = await KeyRing.parse(armored)
    if (use.isForWriting) await ring.encryptionKeyIds()
    const key: OpenPgpKey = {
      method: 'openpgp',
      keyId: ring.fingerprints.join(','),
      setting,
      ring: armored,
      ...(passphrase === undefined ? {} : { passphrase }),
    }
    if (!use.isForReading) return key
    if (!ring.hasPrivate) {
      return fail(
        'holds only a public key, and reading needs the private one',
        'export it with: gpg -a --export-secret-keys <id>',
      )
    }
    return { ...key, unlocked: await ring.unlockedBytes(passphrase) }
  } catch (error) {
    if (!(error instanceof WalgError)) throw error
    return fail(
      error.message,
      /passphrase/.test(error.message) ? PASSPHRASE_HINT : 'make one with: gpg -a --export <id>',
    )
  }
}
