import { type ByteSource, concatBytes } from '../../kit/bytes.ts'
import { assert, WalgError } from '../../kit/errors.ts'
import type { EncryptionMethod, EnvelopeKey, OpenMethod } from './description.ts'
import { KeyRing, unwrapSessionKeys } from './openpgp-keys.ts'
import { openMessage, sealMessage } from './openpgp-method.ts'
import { openYandexKmsClient } from './yandex-kms.ts'
import { lengthBytes, readExactly } from './yandex-kms-method.ts'

const MAGIC: Uint8Array = new TextEncoder().encode('envelope-yc-kms\x01')
const LENGTH_BYTES = 4
const HEADER_BYTES_MAX = 8192

/** Magic, key ids, wrapped OpenPGP key, and an OpenPGP message to that key: storage-format 6.3. */
export const openEnvelope: OpenMethod<EnvelopeKey> = ({ write, read }): EncryptionMethod => {
  const rings = new Map<string, { readonly ring: Promise<KeyRing>; readonly untilMs: number }>()
  const ringOf = (wrapped: Uint8Array, keptMs: number): Promise<KeyRing> => {
    const name = Buffer.from(wrapped).toString('base64')
    const known = rings.get(name)
    if (known !== undefined && performance.now() < known.untilMs) return known.ring
    const ring = unwrapRing(wrapped, read)
    rings.set(name, { ring, untilMs: keptMs === 0 ? Number.POSITIVE_INFINITY : performance.now() + keptMs })
    ring.catch(() => rings.delete(name))
    return ring
  }
  return {
    async encrypt(sink) {
      assert(write !== undefined, 'a key for writing')
      const ring = await ringOf(write.wrapped, write.keptMs)
      const id = new TextEncoder().encode(ring.primaryKeyIds.join(','))
      const parts = [MAGIC, lengthBytes(id.length), id, lengthBytes(write.wrapped.length), write.wrapped]
      const head = concatBytes(parts)
      if (head.length > HEADER_BYTES_MAX) {
        throw new WalgError(
          'KEY_INVALID',
          `the wrapped OpenPGP key is too long: ${write.wrapped.length} bytes`,
        )
      }
      await sink.write(head)
      return sealMessage(ring, sink)
    },
    async decrypt(source): Promise<ByteSource> {
      await readExactly(source, MAGIC.length)
      await readField(source)
      const ring = await ringOf(await readField(source), read[0]?.keptMs ?? 0)
      const keys = await ring.unlock(undefined)
      return openMessage(source, async ({ bytes, recipients }) => {
        const found = await unwrapSessionKeys(bytes, keys)
        if (found.length > 0) return found
        const message = `the OpenPGP key in the envelope does not open the object, which is for ${recipients.join(', ')}`
        throw new WalgError('DECRYPT_FAILED', message, {
          hint: 'the object is damaged, or its KEY was exchanged',
        })
      })
    },
  }
}

async function readField(source: ByteSource): Promise<Uint8Array> {
  const length = Buffer.from(await readExactly(source, LENGTH_BYTES)).readUInt32LE()
  if (length <= HEADER_BYTES_MAX) return readExactly(source, length)
  throw new WalgError('FORMAT_INVALID', `a field of the envelope has ${length} bytes`)
}

async function unwrapRing(wrapped: Uint8Array, keys: readonly EnvelopeKey[]): Promise<KeyRing> {
  let failure: unknown
  for (const key of keys) {
    try {
      const armored = await openYandexKmsClient(key.keyId, key).decrypt(wrapped)
      return await KeyRing.parse(Buffer.from(armored).toString('latin1'))
    } catch (error) {
      failure ??= error
    }
  }
  throw failure
}
