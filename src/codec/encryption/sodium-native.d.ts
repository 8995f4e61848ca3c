/** The few functions that are used; the package has no types of its own. */
declare module 'sodium-native' {
  export const crypto_secretstream_xchacha20poly1305_STATEBYTES: number
  export function crypto_secretstream_xchacha20poly1305_init_push(
    state: Uint8Array,
    header: Uint8Array,
    key: Uint8Array,
  ): void
  export function crypto_secretstream_xchacha20poly1305_push(
    state: Uint8Array,
    cipher: Uint8Array,
    message: Uint8Array,
    additional: Uint8Array | null,
    tag: number,
  ): number
  export function crypto_secretstream_xchacha20poly1305_init_pull(
    state: Uint8Array,
    header: Uint8Array,
    key: Uint8Array,
  ): void
  export function crypto_secretstream_xchacha20poly1305_pull(
    state: Uint8Array,
    message: Uint8Array,
    tag: Uint8Array,
    cipher: Uint8Array,
    additional: Uint8Array | null,
  ): number
}
