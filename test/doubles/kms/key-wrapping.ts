import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto'

const NONCE_BYTES = 12
const TAG_BYTES = 16
const KEY_HASH_BYTES = 32

/** The keys of a service: each wraps with AES-256-GCM and names itself in what it wraps. */
export class WrappingKeys {
  readonly #keys = new Map<string, Buffer>()

  constructor(...ids: string[]) {
    for (const id of ids) this.#keys.set(id, randomBytes(32))
  }

  has(id: string): boolean {
    return this.#keys.has(id)
  }

  /** `sizeBytes`: padded in front to that size, as a service with more to say would do. */
  wrap(id: string, plain: Uint8Array, sizeBytes = 0): Buffer {
    const nonce = randomBytes(NONCE_BYTES)
    const cipher = createCipheriv('aes-256-gcm', this.#keys.get(id)!, nonce)
    const sealed = Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()])
    const body = Buffer.concat([hashOf(id), nonce, sealed])
    const padding = Buffer.alloc(Math.max(0, sizeBytes - body.length - 2), 1)
    const length = Buffer.alloc(2)
    length.writeUInt16BE(padding.length)
    return Buffer.concat([length, padding, body])
  }

  /** Undefined when it was wrapped by another key, or changed. */
  unwrap(id: string, wrapped: Uint8Array): Buffer | undefined {
    const bytes = Buffer.from(wrapped)
    const at = 2 + bytes.readUInt16BE(0)
    if (bytes.subarray(2, at).some(byte => byte !== 1)) return undefined
    const body = bytes.subarray(at)
    if (!body.subarray(0, KEY_HASH_BYTES).equals(hashOf(id))) return undefined
    const rest = body.subarray(KEY_HASH_BYTES)
    const decipher = createDecipheriv('aes-256-gcm', this.#keys.get(id)!, rest.subarray(0, NONCE_BYTES))
    decipher.setAuthTag(rest.subarray(rest.length - TAG_BYTES))
    try {
      const sealed = rest.subarray(NONCE_BYTES, rest.length - TAG_BYTES)
      return Buffer.concat([decipher.update(sealed), decipher.final()])
    } catch {
      return undefined
    }
  }
}

function hashOf(id: string): Buffer {
  return createHash('sha256').update(id).digest()
}
