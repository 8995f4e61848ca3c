import { type ByteSource, concatBytes } from '../../kit/bytes.ts'
import { assert, WalgError } from '../../kit/errors.ts'
import { DareSink, DareSource } from './dare.ts'
import type { EncryptionMethod, OpenMethod, YandexKmsKey } from './description.ts'
import { readHead } from './head-source.ts'
import { openWrappedKeys } from './wrapped-keys.ts'
import { openYandexKmsClient } from './yandex-kms.ts'

const MAGIC: Uint8Array = new TextEncoder().encode('yckms\x01')
const LENGTH_BYTES = 4
const WRAPPED_BYTES_MAX = 4096

/** Magic, length, wrapped data key and a DARE stream with AES-256-GCM: storage-format 6.5. */
export const openYandexKms: OpenMethod<YandexKmsKey> = ({ write, read }): EncryptionMethod => {
  const keys = openWrappedKeys(async wrapped => {
    let failure: unknown
    for (const key of read) {
      try {
        return await openYandexKmsClient(key.keyId, key).decrypt(wrapped)
      } catch (error) {
        failure ??= error
      }
    }
    throw failure
  })
  let sealing: Promise<{ head: Uint8Array; key: Uint8Array }> | undefined
  const newKey = async (): Promise<{ head: Uint8Array; key: Uint8Array }> => {
    assert(write !== undefined, 'a key for writing')
    const { key, wrapped } = await openYandexKmsClient(write.keyId, write).generateDataKey()
    keys.remember(wrapped, key)
    return { head: concatBytes([MAGIC, lengthBytes(wrapped.length), wrapped]), key }
  }
  return {
    async encrypt(sink) {
      sealing ??= newKey()
      const { head, key } = await sealing
      return new DareSink(sink, head, key)
    },
    async decrypt(source): Promise<ByteSource> {
      await readExactly(source, MAGIC.length)
      const length = Buffer.from(await readExactly(source, LENGTH_BYTES)).readUInt32LE()
      if (length > WRAPPED_BYTES_MAX) {
        throw new WalgError('FORMAT_INVALID', `the wrapped key of the encrypted object has ${length} bytes`)
      }
      return new DareSource(source, await keys.unwrap(await readExactly(source, length)))
    },
  }
}

/** A length as four bytes, the lowest first. */
export function lengthBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(LENGTH_BYTES)
  new DataView(bytes.buffer).setUint32(0, length, true)
  return bytes
}

/** Throws FORMAT_TRUNCATED when the source has fewer bytes. */
export async function readExactly(source: ByteSource, count: number): Promise<Uint8Array> {
  const { head } = await readHead(source, count)
  if (head.length < count) {
    throw new WalgError('FORMAT_TRUNCATED', 'the encrypted object is cut inside its wrapped key')
  }
  return head
}
