import { assert } from '../../kit/errors.ts'
import type { EncryptionMethod, LibsodiumKey, OpenMethod } from './description.ts'
import { decryptLibsodium, encryptLibsodium } from './libsodium.ts'
import { HEADER_BYTES, loadSecretStreams, SEAL_BYTES, type SecretStreams } from './secretstream.ts'

/** The most that must be read of an object to tell whether a key fits: its header and a full message. */
export const LIBSODIUM_TRIAL_BYTES: number = HEADER_BYTES + 8192 + SEAL_BYTES

/** Secretstream of libsodium: storage-format 6.1. */
export const openLibsodium: OpenMethod<LibsodiumKey> = async ({ write, read }): Promise<EncryptionMethod> => {
  const streams = await loadSecretStreams()
  const keys = read.map(({ key }) => key)
  return {
    encrypt(sink) {
      assert(write !== undefined, 'a key for writing')
      return encryptLibsodium(streams, write.key, sink)
    },
    decrypt: source => decryptLibsodium(streams, keys, source),
  }
}

/** True when one of the keys opens the first message of an object that begins with `head`. */
export async function fitsLibsodium(keys: readonly LibsodiumKey[], head: Uint8Array): Promise<boolean> {
  if (keys.length === 0 || head.length < HEADER_BYTES + SEAL_BYTES) return false
  const streams: SecretStreams = await loadSecretStreams()
  const header = head.slice(0, HEADER_BYTES)
  const first = head.subarray(HEADER_BYTES, LIBSODIUM_TRIAL_BYTES)
  const trial = new Uint8Array(first.length - SEAL_BYTES)
  const fits = keys.some(({ key }) => streams.openPull(key, header).pull(first, trial) !== undefined)
  trial.fill(0)
  return fits
}
