import { createHash } from 'node:crypto'
import { WalgError } from '../../kit/errors.ts'
import type { EncryptionSettings } from '../settings.ts'
import type { LibsodiumKey } from './description.ts'
import { type Findings, pathsOf, readKeyFile } from './key-file.ts'
import { deriveLibsodiumKey, isEncodedKeyUsedAsText, type KeyTransform } from './libsodium-key.ts'

const TRANSFORMS: readonly KeyTransform[] = ['none', 'base64', 'hex']

/** The key for new objects and the older ones, from the settings and their files. */
export function readLibsodiumKeys(
  settings: EncryptionSettings,
  findings: Findings,
): { readonly write: LibsodiumKey | undefined; readonly old: readonly LibsodiumKey[] } {
  const { WALG_LIBSODIUM_KEY: inline, WALG_LIBSODIUM_KEY_PATH: path } = settings
  const transform = settings.WALG_LIBSODIUM_KEY_TRANSFORM
  let write: LibsodiumKey | undefined
  if (inline !== undefined && path !== undefined) {
    findings.problems.push({
      code: 'SETTING_CONFLICT',
      names: ['WALG_LIBSODIUM_KEY', 'WALG_LIBSODIUM_KEY_PATH'],
      message: 'WALG_LIBSODIUM_KEY and WALG_LIBSODIUM_KEY_PATH are both set: which key is meant?',
      hint: 'remove one of them',
    })
  } else if (inline !== undefined) write = keyOf(inline, transform, 'WALG_LIBSODIUM_KEY', findings)
  else if (path !== undefined) {
    write = fileKey(path, transform, 'WALG_LIBSODIUM_KEY_PATH', findings)
  }
  const old = pathsOf(settings.WALG_LIBSODIUM_OLD_KEY_PATHS).flatMap(entry => {
    const { file, ownTransform } = splitTransform(entry)
    return fileKey(file, ownTransform ?? transform, 'WALG_LIBSODIUM_OLD_KEY_PATHS', findings) ?? []
  })
  return { write, old }
}

/** `/etc/key:hex`: a file whose key is written in another way than the current one. */
function splitTransform(entry: string): { file: string; ownTransform: KeyTransform | undefined } {
  const colon = entry.lastIndexOf(':')
  const ownTransform = TRANSFORMS.find(transform => transform === entry.slice(colon + 1))
  return colon > 0 && ownTransform !== undefined
    ? { file: entry.slice(0, colon), ownTransform }
    : { file: entry, ownTransform: undefined }
}

function fileKey(
  path: string,
  transform: KeyTransform,
  setting: string,
  findings: Findings,
): LibsodiumKey | undefined {
  const text = readKeyFile(path, setting, findings)
  return text === undefined ? undefined : keyOf(text.trim(), transform, setting, findings)
}

function keyOf(
  text: string,
  transform: KeyTransform,
  setting: string,
  findings: Findings,
): LibsodiumKey | undefined {
  try {
    const key = deriveLibsodiumKey(text, transform, setting)
    if (isEncodedKeyUsedAsText(text, transform)) {
      findings.warnings.push(
        `${setting} looks like an encoded key, but WALG_LIBSODIUM_KEY_TRANSFORM is none: only its first 32 characters are the key, as in the original. For a new archive set the transform to base64 or hex.`,
      )
    }
    return { method: 'libsodium', keyId: fingerprintOf(key), key }
  } catch (error) {
    if (!(error instanceof WalgError)) throw error
    const { message, hint } = error
    findings.problems.push({
      code: 'SETTING_INVALID',
      names: [setting],
      message,
      ...(hint === undefined ? {} : { hint }),
    })
    return undefined
  }
}

/** Tells keys apart without telling the key. */
function fingerprintOf(key: Uint8Array): string {
  return createHash('sha256').update('wal-g libsodium key\0').update(key).digest('hex').slice(0, 16)
}
