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

export interface OpenPgpKey {
  readonly method: 'openpgp'
  /** Fingerprints of the entities, joined by commas. */
  readonly keyId: string
  /** Where it comes from, for errors. */
  readonly setting: string
  /** Armored; public or private. */
  readonly ring: string
  /** The private keys without passphrase, once they were unlocked; used instead of `ring`. */
  readonly unlocked?: Uint8Array
  readonly passphrase?: string
  /** The private key stays with gpg and its agent, which unwrap session keys for us. */
  readonly isInAgent?: boolean
}

/** A key of AWS KMS that wraps data keys; credentials come from the settings, else as every AWS program finds them. */
export interface AwsKmsKey {
  readonly method: 'awskms'
  readonly keyId: string
  readonly region: string | undefined
  /** Of the settings; absent: as the SDK finds them. */
  readonly credentials?: {
    readonly accessKeyId: string
    readonly secretAccessKey: string
    readonly sessionToken?: string
  }
}

/** How Yandex Cloud is reached. */
export interface YandexAccess {
  /** JSON text of a service account's key; absent: the token of the virtual machine. */
  readonly serviceAccount?: string
  /** Host or URL that tells where the services are; absent: those of Yandex Cloud. */
  readonly endpoint?: string
}

/** A key of Yandex KMS that wraps data keys. */
export interface YandexKmsKey extends YandexAccess {
  readonly method: 'yckms'
  readonly keyId: string
}

/** An OpenPGP key that is itself wrapped by a key of Yandex KMS. */
export interface EnvelopeKey extends YandexAccess {
  readonly method: 'envelope-openpgp'
  /** Of the key in KMS. */
  readonly keyId: string
  /** The armored key as KMS has encrypted it. */
  readonly wrapped: Uint8Array
  /** How long an unwrapped key is kept; 0 = for ever. */
  readonly keptMs: number
}

export type EncryptionKey = LibsodiumKey | OpenPgpKey | AwsKmsKey | YandexKmsKey | EnvelopeKey

export type EncryptionMethodName = EncryptionKey['method']

/** One format of encrypted objects, opened in one thread for the keys of that method. */
export interface EncryptionMethod {
  /** Seals with the write key. */
  encrypt(sink: ByteSink): Awaitable<ByteSink>
  /** Throws DECRYPT_FAILED when no key fits, FORMAT_TRUNCATED and FORMAT_INVALID for damage anywhere. */
  decrypt(source: ByteSource): Awaitable<ByteSource>
  /**
   * For methods that can seal without being able to open: the two sides with a key of which this process has both
   * halves. Its `decrypt` throws when the sealed form is not addressed as it should be.
   */
  proof?(): Awaitable<Pick<EncryptionMethod, 'encrypt' | 'decrypt'>>
}

/** Opens a method for its keys: `write` when new objects are sealed with it. */
export type OpenMethod<K extends EncryptionKey> = (keys: {
  readonly write: K | undefined
  readonly read: readonly K[]
}) => Awaitable<EncryptionMethod>
