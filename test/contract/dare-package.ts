import { randomBytes } from 'node:crypto'
import sodium from 'libsodium-wrappers'

/** One final DARE 2.0 package with ChaCha20-Poly1305 (storage-format 6.4). */
export async function sealChaCha20Package(key: Uint8Array, content: Uint8Array): Promise<Uint8Array> {
  await sodium.ready
  const header = new Uint8Array(16)
  header.set([0x20, 1, (content.length - 1) & 0xff, (content.length - 1) >> 8])
  header.set(randomBytes(12), 4)
  header[4]! |= 0x80
  const sealed = sodium.crypto_aead_chacha20poly1305_ietf_encrypt(
    content,
    header.slice(0, 4),
    null,
    header.slice(4),
    key,
  )
  return Buffer.concat([header, sealed])
}
