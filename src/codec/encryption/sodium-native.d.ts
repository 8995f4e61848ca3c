/** The few functions that are used; the package has no types of its own. */
declare module 'sodium-native' {
  export const crypto_secretstream_xchacha20poly1305_STATEBYTES: number
  export function crypto_secretstream_xchacha20poly1305_init_push(
    state: Buffer,
    header: Buffer,
    key: Buffer,
  ): void
  export function crypto_secretstream_xchacha20poly1305_push(
    state: Buffer,
    cipher: Buffer,
    message: Buffer,
    additional: Buffer | null,
    tag: number,
  ): number
  export function crypto_secretstream_xchacha20poly1305_init_pull(
    state: Buffer,
    header: Buffer,
    key: Buffer,
  ): void
  export function crypto_secretstream_xchacha20poly1305_pull(
    state: Buffer,
    message: Buffer,
    tag: Buffer,
    cipher: Buffer,
    additional: Buffer | null,
  ): number
}
