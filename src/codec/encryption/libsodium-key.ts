import { WalgError } from '../../kit/errors.ts'
import { KEY_BYTES } from './secretstream.ts'

export type KeyTransform = 'none' | 'base64' | 'hex'

/** Shorter keys are refused with transform `none`, as in the original. */
const TEXT_KEY_BYTES_MIN = 25

/**
 * The 32 bytes behind a key text, by the original's rules (storage-format 6.1): `none` takes the text's bytes,
 * padded with zeros from 25 bytes on and cut after 32; `base64` and `hex` must give exactly 32 bytes.
 * `setting` is named in the error; the key never is. Throws KEY_INVALID.
 */
export function deriveLibsodiumKey(text: string, transform: KeyTransform, setting: string): Uint8Array {
  if (transform === 'none') {
    const bytes = Buffer.from(text, 'utf8')
    if (bytes.length < TEXT_KEY_BYTES_MIN) {
      throw invalid(setting, `has ${bytes.length} bytes, at least ${TEXT_KEY_BYTES_MIN} are needed`)
    }
    const key = new Uint8Array(KEY_BYTES)
    key.set(bytes.subarray(0, KEY_BYTES))
    return key
  }
  const isWellFormed =
    transform === 'hex'
      ? /^(?:[0-9A-Fa-f]{2})*$/.test(text)
      : /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text)
  if (!isWellFormed) throw invalid(setting, `is not ${transform}, as WALG_LIBSODIUM_KEY_TRANSFORM says`)
  const key = new Uint8Array(Buffer.from(text, transform))
  if (key.length !== KEY_BYTES) {
    throw invalid(setting, `decodes to ${key.length} bytes, exactly ${KEY_BYTES} are needed`)
  }
  return key
}

/** True for a text that looks like an encoded key but is taken as it stands: most of its strength is lost. */
export function isEncodedKeyUsedAsText(text: string, transform: KeyTransform): boolean {
  return transform === 'none' && (/^[A-Za-z0-9+/]{43}=$/.test(text) || /^[0-9A-Fa-f]{64}$/.test(text))
}

function invalid(setting: string, problem: string): WalgError {
  return new WalgError('KEY_INVALID', `the key in ${setting} ${problem}`, {
    facts: { setting },
    hint: 'make a key with: openssl rand -base64 32, and set WALG_LIBSODIUM_KEY_TRANSFORM=base64',
  })
}
