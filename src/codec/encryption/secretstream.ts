/** One direction of libsodium's crypto_secretstream_xchacha20poly1305 with one key. */
export interface SecretStreamPush {
  readonly header: Uint8Array
  /** Seals `message` into `into`, which has room for 17 bytes more. */
  push(message: Uint8Array, into: Uint8Array, isFinal: boolean): void
}

export interface SecretStreamPull {
  /** Opens `sealed` into `into`, which has room for 17 bytes less; undefined when it does not authenticate. */
  pull(sealed: Uint8Array, into: Uint8Array): { readonly isFinal: boolean } | undefined
}

/** Two engines with the same bytes: the native addon, and WebAssembly where the addon cannot be loaded. */
export interface SecretStreams {
  readonly engine: 'native' | 'wasm'
  openPush(key: Uint8Array): SecretStreamPush
  openPull(key: Uint8Array, header: Uint8Array): SecretStreamPull
}

export const HEADER_BYTES = 24
export const SEAL_BYTES = 17
export const KEY_BYTES = 32
const TAG_MESSAGE = 0
const TAG_FINAL = 3

let loaded: Promise<SecretStreams> | undefined

/** Loads the faster engine that works here; the addon's prebuild needs a newer C library than the program does. */
export function loadSecretStreams(): Promise<SecretStreams> {
  loaded ??= loadNative().catch(() => loadWasm())
  return loaded
}

/** The native addon. Throws when it cannot be loaded. */
export async function loadNative(): Promise<SecretStreams> {
  const sodium = await import('sodium-native')
  const final = Buffer.from([TAG_FINAL])
  const message = Buffer.from([TAG_MESSAGE])
  return {
    engine: 'native',
    openPush(key): SecretStreamPush {
      const state = Buffer.alloc(sodium.crypto_secretstream_xchacha20poly1305_STATEBYTES)
      const header = Buffer.alloc(HEADER_BYTES)
      sodium.crypto_secretstream_xchacha20poly1305_init_push(state, header, key)
      return {
        header,
        push(bytes, into, isFinal): void {
          sodium.crypto_secretstream_xchacha20poly1305_push(
            state,
            into,
            bytes,
            null,
            isFinal ? final[0]! : message[0]!,
          )
        },
      }
    },
    openPull(key, header): SecretStreamPull {
      const state = Buffer.alloc(sodium.crypto_secretstream_xchacha20poly1305_STATEBYTES)
      sodium.crypto_secretstream_xchacha20poly1305_init_pull(state, header, key)
      const tag = Buffer.alloc(1)
      return {
        pull(sealed, into) {
          try {
            sodium.crypto_secretstream_xchacha20poly1305_pull(state, into, tag, sealed, null)
          } catch {
            // the addon throws for one reason only: the bytes do not authenticate
            return undefined
          }
          return { isFinal: tag[0] === TAG_FINAL }
        },
      }
    },
  }
}

/** libsodium in WebAssembly: slower, runs everywhere. */
export async function loadWasm(): Promise<SecretStreams> {
  const { default: sodium } = await import('libsodium-wrappers')
  await sodium.ready
  return {
    engine: 'wasm',
    openPush(key): SecretStreamPush {
      const { state, header } = sodium.crypto_secretstream_xchacha20poly1305_init_push(key)
      return {
        header,
        push(bytes, into, isFinal): void {
          const tag = isFinal ? TAG_FINAL : TAG_MESSAGE
          into.set(sodium.crypto_secretstream_xchacha20poly1305_push(state, bytes, null, tag))
        },
      }
    },
    openPull(key, header): SecretStreamPull {
      const state = sodium.crypto_secretstream_xchacha20poly1305_init_pull(header, key)
      return {
        pull(sealed, into) {
          const opened = sodium.crypto_secretstream_xchacha20poly1305_pull(state, sealed, null)
          if (typeof opened === 'boolean') return undefined
          into.set(opened.message)
          return { isFinal: opened.tag === TAG_FINAL }
        },
      }
    },
  }
}

/** ChaCha20-Poly1305 of RFC 8439, which node:crypto does not have here: opens `sealed` (with its tag), or undefined. */
export type OpenChaCha20 = (
  key: Uint8Array,
  nonce: Uint8Array,
  sealed: Uint8Array,
  authenticated: Uint8Array,
) => Uint8Array | undefined

export async function loadChaCha20(): Promise<OpenChaCha20> {
  const { default: sodium } = await import('libsodium-wrappers')
  await sodium.ready
  return (key, nonce, sealed, authenticated) => {
    try {
      return sodium.crypto_aead_chacha20poly1305_ietf_decrypt(null, sealed, authenticated, nonce, key)
    } catch {
      // the only reason there is: it does not authenticate
      return undefined
    }
  }
}
