import type { Awaitable, ByteSink, ByteSource } from '../../kit/bytes.ts'

/**
 * Keys as plain data, from which every thread opens its own encryption. `keyId` is a fingerprint that may be shown
 * and stored; everything else in a key is secret.
 */
export interface EncryptionDescription {
  /** New objects are sealed with it; undefined: keys are there for reading only, and nothing is sealed. */
  readonly write: EncryptionKey | undefined
  /** Tried on reading, in this order; the write key is among them. */
  readonly read: readonly EncryptionKey[]
  /** Objects that are not encrypted are read, too. */
  readonly readsPlain: boolean
}

export interface LibsodiumKey {
  readonly method: 'libsodium'
  readonly keyId: string
  /** 32 bytes. */
  readonly key: Uint8Array
}

export type EncryptionKey = LibsodiumKey

export type EncryptionMethodName = EncryptionKey['method']

/** One format of encrypted objects, opened in one thread for the keys of that method. */
export interface EncryptionMethod {
  /** Seals with the write key. */
  encrypt(sink: ByteSink): Awaitable<ByteSink>
  /** Throws DECRYPT_FAILED when no key fits, FORMAT_TRUNCATED and FORMAT_INVALID for damage anywhere. */
  decrypt(source: ByteSource): Awaitable<ByteSource>
}

/** Opens a method for its keys: `write` when new objects are sealed with it. */
export type OpenMethod<K extends EncryptionKey> = (keys: {
  readonly write: K | undefined
  readonly read: readonly K[]
}) => Awaitable<EncryptionMethod>
