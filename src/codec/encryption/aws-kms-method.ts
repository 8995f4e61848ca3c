import { randomBytes } from 'node:crypto'
import type { ByteSource } from '../../kit/bytes.ts'
import { assert, WalgError } from '../../kit/errors.ts'
import { openAwsKmsClient } from './aws-kms.ts'
import { DareSink, DareSource } from './dare.ts'
import type { AwsKmsKey, EncryptionMethod, OpenMethod } from './description.ts'
import { readHead, withHead } from './head-source.ts'
import { loadChaCha20 } from './secretstream.ts'
import { openWrappedKeys } from './wrapped-keys.ts'

const DATA_KEY_BYTES = 32
/** The format has no length field: a wrapped key has this many bytes, or the object cannot be read. */
const WRAPPED_BYTES = 184
const CHACHA20_POLY1305 = 1

/** A wrapped data key and a DARE stream: storage-format 6.4. */
export const openAwsKms: OpenMethod<AwsKmsKey> = ({ write, read }): EncryptionMethod => {
  const clients = read.map(openAwsKmsClient)
  const keys = openWrappedKeys(async wrapped => {
    let failure: unknown
    for (const client of clients) {
      try {
        return await client.decrypt(wrapped)
      } catch (error) {
        failure ??= error
      }
    }
    throw failure
  })
  let sealing: Promise<{ wrapped: Uint8Array; key: Uint8Array }> | undefined
  const newKey = async (): Promise<{ wrapped: Uint8Array; key: Uint8Array }> => {
    assert(write !== undefined, 'a key for writing')
    const key = randomBytes(DATA_KEY_BYTES)
    const wrapped = await openAwsKmsClient(write).encrypt(key)
    if (wrapped.length !== WRAPPED_BYTES) {
      throw new WalgError(
        'KEY_INVALID',
        `AWS KMS wraps with the key "${write.keyId}" to ${wrapped.length} bytes; the format holds ${WRAPPED_BYTES}`,
        { hint: 'use a symmetric key whose id in WALG_CSE_KMS_ID is a plain key id or its ARN' },
      )
    }
    keys.remember(wrapped, key)
    return { wrapped, key }
  }
  return {
    async encrypt(sink) {
      sealing ??= newKey()
      const { wrapped, key } = await sealing
      return new DareSink(sink, wrapped, key)
    },
    async decrypt(source): Promise<ByteSource> {
      const { head } = await readHead(source, WRAPPED_BYTES + 2)
      if (head.length < WRAPPED_BYTES) throw cut()
      const key = await keys.unwrap(head.slice(0, WRAPPED_BYTES))
      const stream = withHead(head.slice(WRAPPED_BYTES), source)
      const isChaCha20 = head[WRAPPED_BYTES + 1] === CHACHA20_POLY1305
      return isChaCha20 ? new DareSource(stream, key, await loadChaCha20()) : new DareSource(stream, key)
    },
  }
}

function cut(): WalgError {
  return new WalgError('FORMAT_TRUNCATED', 'the encrypted object is cut inside its wrapped key')
}
